// Chains, and the search for the cheapest.
#include "passes/chains.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/arena.h"
#include "ir/product_form.h"
#include "passes/cancel_quotients.h"
#include "passes/opening.h"

namespace heed {

namespace {

constexpr double swept = 4;        // a multiplication of more than two operands, which is no matrix product, costs so many
constexpr int most_attempts = 32;  // chains looked at for one sum
constexpr std::size_t most_parts = 12, most_axes = 60;

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

double span(const std::vector<AxisRef>& axes) {
  double count = 1;
  for (AxisRef axis : axes) count *= static_cast<double>(axis->size);
  return count;
}

std::vector<Part> parts_of(Expr x) {
  if (x->op != Op::product) return {{x, 1}};
  std::vector<Part> parts;
  for (std::size_t k = 0; k < x->operands.size(); ++k) parts.push_back({x->operands[k], x->weights[k]});
  return parts;
}

bool has_terms(Expr x) { return x->op == Op::linear && (x->operands.size() > 1 || x->real != 0) && std::isfinite(x->real); }

// What is multiplied in a body, also under its sum and in its terms, to the power of 1.
std::vector<Expr> plain_factors(Expr body) {
  std::vector<Expr> terms{body}, factors;
  for (std::size_t k = 0; k < terms.size(); ++k) {
    Expr term = terms[k];
    if (term->op == Op::linear || is_sum(term)) {
      terms.insert(terms.end(), term->operands.begin(), term->operands.end());
      continue;
    }
    for (const Part& part : parts_of(term)) {
      if (part.power != 1) continue;
      if (part.x != term && part.x->op == Op::linear)
        terms.push_back(part.x);
      else
        factors.push_back(part.x);
    }
  }
  return factors;
}

// A product with a factor that is the same along some axis: weights that were normalised.
bool has_free_factor(Expr body) {
  return body->op == Op::product && std::ranges::any_of(body->operands, [&](Expr factor) { return factor->free != body->free; });
}

// What it costs to make the arrays that a part reads, unless they are made anyway.
void add_needed(const Part& part, ArrayCosts& costs, std::map<ArrayRef, double>& needed) {
  if (costs.can_look_into(part.x)) {
    double& known = needed[part.x->array];
    known = std::max(known, part.share * costs.share(part.x->array) * costs.making(part.x->array));
  } else if (part.x->op == Op::linear) {
    for (Expr factor : plain_factors(part.x)) add_needed({factor, 1, part.share}, costs, needed);
  }
}

class Search {
 public:
  Search(ArrayCosts& costs, Signs& signs, bool distributes) : costs_(costs), signs_(signs), distributes_(distributes) {}

  Found best(Chain chain) {
    while (chain.decided < chain.parts.size() && !is_question(chain.parts[chain.decided])) ++chain.decided;
    if (chain.decided == chain.parts.size()) return arranged(chain);
    const std::vector<Chain> opened = looked_into(chain);
    ++chain.decided;
    Found kept = best(chain);
    if (opened.empty()) return kept;
    Found other;
    for (const Chain& each : opened) {
      Found made = best(each);
      other.work += made.work;
      other.chains.insert(other.chains.end(), made.chains.begin(), made.chains.end());
      for (const auto& [array, cost] : made.needed) {
        double& known = other.needed[array];
        known = std::max(known, cost);
      }
    }
    return other.cost() < kept.cost() ? other : kept;
  }

 private:
  bool is_question(const Part& part) {
    if (part.power != 1) return false;
    if (has_terms(part.x)) return distributes_;
    return costs_.can_look_into(part.x) && (distributes_ || !has_terms(part.x->array->body));
  }

  Found arranged(Chain chain) {
    Found found;
    cancel_quotients(chain, signs_);
    Arrangement arrangement = arrangement_of(chain);
    for (const Part& part : chain.parts)
      if (part.power == 1) add_needed(part, costs_, found.needed);
    found.work = arrangement.order ? arrangement.order->cost() : std::numeric_limits<double>::infinity();
    found.chains = {std::move(chain)};
    return found;
  }

  // The chain with what the next part is made of in its place; none if that would be too much.
  std::vector<Chain> looked_into(const Chain& chain) {
    if (attempts_ <= 0) return {};
    const Part part = chain.parts[chain.decided];
    double share = part.share;
    Expr x = part.x;
    if (x->op == Op::read) {
      share *= costs_.share(x->array);
      x = opened(x->array, x->operands);
    }
    std::vector<Chain> result;
    for (const Chain& term : terms_of(x)) {
      Chain next = chain;
      next.parts.erase(next.parts.begin() + static_cast<std::ptrdiff_t>(chain.decided));
      next.weight *= term.weight;
      next.summed.insert(next.summed.end(), term.summed.begin(), term.summed.end());
      for (const Part& each : term.parts) next.parts.push_back({each.x, each.power, share});
      if (next.parts.size() > most_parts || has_condition(next)) return {};
      result.push_back(std::move(next));
    }
    attempts_ -= static_cast<int>(result.size());
    return result;
  }

  ArrayCosts& costs_;
  Signs& signs_;
  bool distributes_;
  int attempts_ = most_attempts;
};

}  // namespace

bool is_sum(Expr x) { return x->op == Op::reduction && x->reduction == Reduction::sum && is_floating(x->dtype); }

bool has_condition(const Chain& chain) {
  return std::ranges::any_of(chain.parts, [](const Part& part) { return part.x->op == Op::select; });
}

Chain chain_of(Expr sum) {
  Chain chain{1, {}, {}};
  Substitution table;
  for (AxisRef axis : sum->axes) {
    chain.summed.push_back(fresh_axis(*sum->arena, axis->size));
    table.emplace_back(axis, value(chain.summed.back()));
  }
  auto [weight, body] = scaled_form(substitute(sum->operands[0], table));
  chain.weight = weight;
  chain.parts = parts_of(body);
  return chain;
}

std::vector<Chain> terms_of(Expr x) {
  auto term = [](double weight, Expr of) {
    Chain chain = is_sum(of) ? chain_of(of) : Chain{1, {}, parts_of(of)};
    chain.weight *= weight;
    return chain;
  };
  if (!has_terms(x)) {
    auto [weight, rest] = scaled_form(x);
    return {term(weight, rest)};
  }
  std::vector<Chain> terms;
  for (std::size_t k = 0; k < x->operands.size(); ++k) terms.push_back(term(x->weights[k], x->operands[k]));
  if (x->real != 0) terms.push_back({x->real, {}, {}});
  return terms;
}

Arrangement arrangement_of(const Chain& chain) {
  Arrangement result;
  AxisSet summed(chain.summed.begin(), chain.summed.end());
  std::vector<Part> inside;
  for (const Part& part : chain.parts)
    if (std::ranges::any_of(part.x->free, [&](AxisRef axis) { return has(summed, axis); }))
      inside.push_back(part);
    else
      result.outside.push_back({part.x, part.power});
  std::ranges::sort(inside, [](const Part& a, const Part& b) {
    return a.x->free.size() != b.x->free.size() ? a.x->free.size() > b.x->free.size() : a.x->id < b.x->id;
  });
  std::vector<AxisSet> sets;
  for (const Part& part : inside) {
    std::size_t home = sets.size();  // Of those that have its axes the smallest.
    for (std::size_t k = 0; k < sets.size(); ++k)
      if (is_subset(part.x->free, sets[k]) && (home == sets.size() || span_of(sets[k]) < span_of(sets[home]))) home = k;
    if (home == sets.size()) {
      sets.push_back(part.x->free);
      result.operands.emplace_back();
    }
    result.operands[home].push_back({part.x, part.power});
    for (AxisRef axis : part.x->free)
      if (!has(result.axes, axis)) result.axes.push_back(axis);
  }
  result.written = span(result.axes);
  if (result.axes.size() > most_axes || sets.size() > ContractionOrder::most_operands) return result;
  std::vector<double> sizes;
  AxisBits kept = 0;
  for (std::size_t k = 0; k < result.axes.size(); ++k) {
    sizes.push_back(static_cast<double>(result.axes[k]->size));
    if (!has(summed, result.axes[k])) kept |= AxisBits{1} << k;
  }
  if (sets.empty()) sets.emplace_back();
  std::vector<AxisBits> operands;
  for (const AxisSet& set : sets) {
    AxisBits bits = 0;
    for (AxisRef axis : set) bits |= AxisBits{1} << (std::ranges::find(result.axes, axis) - result.axes.begin());
    operands.push_back(bits);
  }
  result.order.emplace(std::move(operands), kept, std::move(sizes), storing_cost);
  return result;
}

ArrayCosts::ArrayCosts(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& kept,
                       const std::unordered_set<ArrayRef>& closed)
    : closed_(closed) {
  std::unordered_map<ArrayRef, int> readers;
  std::unordered_set<ArrayRef> needed = kept;
  // Readers come after what they read: of each it is known whether it has to be made.
  for (auto each = arrays.rbegin(); each != arrays.rend(); ++each) {
    ArrayRef array = *each;
    std::unordered_set<ArrayRef> looked_into;
    const bool is_definition = array->kind == Array::Kind::definition;
    if (is_definition && (is_sum(scaled_form(array->body).second) || (is_open(array) && !needed.contains(array))))
      for (Expr factor : plain_factors(array->body))
        if (factor->op == Op::read) looked_into.insert(factor->array);
    for (ArrayRef read : reads_of(array)) {
      ++readers[read];
      if (!looked_into.contains(read)) needed.insert(read);
    }
  }
  for (ArrayRef array : arrays) share_[array] = needed.contains(array) ? 0 : 1.0 / std::max(readers[array], 1);
}

void ArrayCosts::stands_for(ArrayRef made, ArrayRef before) {
  share_[made] = share(before);
  if (closed_.contains(before)) closed_.insert(made);
}

bool ArrayCosts::is_open(ArrayRef array) {
  if (array->kind != Array::Kind::definition || !is_floating(array->dtype) || compute_type(array->dtype) != array->dtype) return false;
  auto [found, is_new] = is_open_.try_emplace(array, false);
  if (!is_new) return found->second;
  Expr body = scaled_form(array->body).second;
  const bool holds = is_sum(body) || has_free_factor(body) ||
                     std::ranges::any_of(plain_factors(array->body), [&](Expr factor) { return can_look_into(factor); });
  return is_open_[array] = holds;
}

bool ArrayCosts::can_look_into(Expr x) {
  return x->op == Op::read && x->dtype == x->array->dtype && !closed_.contains(x->array) && std::ranges::all_of(x->operands, is_affine) &&
         is_open(x->array);
}

double ArrayCosts::share(ArrayRef array) const {
  auto found = share_.find(array);
  return found == share_.end() ? 1 : found->second;
}

double ArrayCosts::making(ArrayRef array) {
  if (auto found = making_.find(array); found != making_.end()) return found->second;
  Expr body = scaled_form(array->body).second;
  double cost = static_cast<double>(element_count(array)) * (is_sum(body) ? span(body->axes) : 1);
  std::unordered_set<ArrayRef> counted;
  for (Expr factor : plain_factors(body))
    if (can_look_into(factor) && counted.insert(factor->array).second) cost += share(factor->array) * making(factor->array);
  making_.emplace(array, cost);
  return cost;
}

double Found::cost() const {
  double total = work;
  for (const auto& [array, each] : needed) total += each;
  return total;
}

Found cheapest(const Chain& chain, ArrayCosts& costs, Signs& signs, bool distributes) {
  return Search(costs, signs, distributes).best(chain);
}

Found as_written(const Chain& chain, ArrayCosts& costs) {
  const Arrangement arrangement = arrangement_of(chain);
  Found found{(arrangement.operands.size() > 2 ? swept : 1) * arrangement.written, {}, {chain}};
  for (const Part& part : chain.parts)
    if (part.power == 1) add_needed(part, costs, found.needed);
  return found;
}

}  // namespace heed
