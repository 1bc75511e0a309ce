// Addresses, checks and which arrays a kernel touches.
#include "codegen/tile/access.h"

#include <fmt/format.h>

#include <algorithm>

namespace heed {

std::vector<std::int64_t> strides_of(const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t stride = 1;
  for (std::size_t k = shape.size(); k-- > 0; stride *= std::max<std::int64_t>(1, shape[k])) strides[k] = stride;
  return strides;
}

std::string fault_text(ArrayRef array, Expr read) {
  const Origin& origin = read->arena->origin(read->origin);
  std::string name = array->name.empty() ? "an array" : array->name;
  return origin.line > 0 ? fmt::format("{} ({}:{})", name, origin.file, origin.line) : name;
}

int FaultPlaces::place(const std::string& text) {
  ++asked_;
  auto [found, added] = index_.try_emplace(text, static_cast<int>(texts_.size()) + 1);
  if (added) texts_.push_back(text);
  return found->second;
}

int Accesses::add_buffer(ArrayRef array) {
  auto [found, added] = buffer_index_.try_emplace(array, static_cast<int>(buffers_.size()));
  if (added) buffers_.push_back(array);
  return found->second;
}

void Accesses::prepare(Expr root) {
  note_nodes(root);
  add_checks(root, root, nullptr);
}

void Accesses::note_nodes(Expr root) {
  if (has_checked_.contains(root)) return;
  for (Expr x : nodes_of(root)) {
    if (has_checked_.contains(x)) continue;
    bool checked = false;
    std::vector<ArrayRef> locals;
    for (Expr operand : x->operands) {
      checked = checked || has_checked_.at(operand);
      for (ArrayRef local : locals_in_.at(operand))
        if (std::find(locals.begin(), locals.end(), local) == locals.end()) locals.push_back(local);
    }
    if (x->op == Op::read) {
      add_access(x);
      if (is_local(x->array))
        locals.push_back(x->array);
      else
        add_buffer(x->array);
      checked = checked || !accesses_.at(x).checked.empty();
    }
    has_checked_[x] = checked;
    locals_in_[x] = std::move(locals);
  }
}

LinearForm affine_address(Expr read) {
  std::vector<std::int64_t> strides = strides_of(read->array->shape);
  std::vector<IntegerTerm> terms;
  for (std::size_t k = 0; k < strides.size(); ++k)  // of one element only index 0 is inside
    if (is_affine(read->operands[k]) && read->array->shape[k] != 1) terms.push_back({strides[k], read->operands[k]});
  return linear_form(linear(terms, 0, *read->arena));
}

std::optional<std::int64_t> lane_stride(const LinearForm& address, AxisRef lane) {
  std::int64_t stride = 0;
  for (const IntegerTerm& term : address.terms) {
    if (std::find(term.x->free.begin(), term.x->free.end(), lane) == term.x->free.end()) continue;
    if (term.x != value(lane)) return {};
    stride += term.weight;
  }
  return stride;
}

void Accesses::add_access(Expr read) {
  Access access{.array = read->array, .address = affine_address(read)};
  for (const IntegerTerm& term : access.address.terms) note_nodes(term.x);  // joined digits may be nodes of their own
  std::vector<std::int64_t> strides = strides_of(read->array->shape);
  std::int64_t span = element_count(read->array);
  for (std::size_t k = 0; k < strides.size(); ++k) {
    if (is_affine(read->operands[k])) continue;
    access.checked.push_back({read->operands[k], strides[k], read->array->shape[k]});
    span -= (read->array->shape[k] - 1) * strides[k];
  }
  Interval range = intervals_.of(linear(access.address.terms, access.address.constant, *read->arena));
  access.inside = range.low >= 0 && range.high < span;
  accesses_[read] = std::move(access);
}

void Accesses::add_checks(Expr owner, Expr x, Expr guard) {
  if (!has_checked_.at(x) || !visited_.insert({owner, x, guard}).second) return;
  auto with = [&](Expr condition) { return guard ? both(guard, condition) : condition; };
  if (x->op == Op::select) {
    add_checks(owner, x->operands[0], guard);
    add_checks(owner, x->operands[1], with(x->operands[0]));
    add_checks(owner, x->operands[2], with(negate(x->operands[0])));
    for (Expr operand : x->operands) add_guards(x, guards_in(operand));
    return;
  }
  if (x->op == Op::reduction) owner = x;
  for (Expr operand : x->operands) {
    add_checks(owner, operand, guard);
    add_guards(x, guards_in(operand));
  }
  if (x->op == Op::reduction && guard) {
    note_nodes(guard);
    add_guards(x, {guard});
  }
  if (x->op != Op::read) return;
  if (guard) {
    if (is_constant(guard, 0)) return;
    note_nodes(guard);  // combined here, so that nobody else has prepared it
  }
  for (const Access::Checked& each : accesses_.at(x).checked) {
    Check check{each.index, each.limit, guard, places_->place(fault_text(x->array, x))};
    std::vector<Check>& known = checks_[owner];
    if (std::find(known.begin(), known.end(), check) == known.end()) known.push_back(check);
  }
}

void Accesses::add_guards(Expr x, const std::vector<Expr>& guards) {
  if (guards.empty()) return;
  std::vector<Expr>& known = guards_in_[x];
  for (Expr guard : guards)
    if (std::find(known.begin(), known.end(), guard) == known.end()) known.push_back(guard);
}

const std::vector<Expr>& Accesses::guards_in(Expr x) const {
  static const std::vector<Expr> none;
  auto found = guards_in_.find(x);
  return found == guards_in_.end() ? none : found->second;
}

const std::vector<Check>& Accesses::checks(Expr owner) const {
  static const std::vector<Check> none;
  auto found = checks_.find(owner);
  return found == checks_.end() ? none : found->second;
}

const std::vector<ArrayRef>& Accesses::locals_in(Expr x) const { return locals_in_.at(x); }

}  // namespace heed
