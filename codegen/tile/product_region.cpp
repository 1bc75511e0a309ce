// Opens what a product region does not store, and flattens the axes of each role.
#include "codegen/tile/product_region.h"

#include <algorithm>
#include <unordered_map>

#include "ir/algebra.h"
#include "ir/region_frame.h"

namespace heed {
namespace {

// Where the arrays of a region lie along the product's positions. Axes of one element may be anywhere.
class Places {
 public:
  Places(const RegionFrame& frame, ArrayRef product) {
    const auto of_product = static_cast<std::size_t>(std::ranges::find(frame.arrays, product) - frame.arrays.begin());
    std::unordered_map<int, AxisRef> own;
    for (AxisRef axis : positions(product))
      if (axis->size > 1) own[frame.axis_of[of_product].at(axis)] = axis;
    for (std::size_t k = 0; k < frame.arrays.size(); ++k) {
      std::vector<Expr> indices;
      for (AxisRef axis : positions(frame.arrays[k])) {
        if (axis->size == 1) {
          indices.push_back(integer(*product->arena, 0));
          continue;
        }
        auto found = own.find(frame.axis_of[k].at(axis));
        if (found == own.end()) break;
        indices.push_back(value(found->second));
      }
      const std::size_t count = std::ranges::count_if(positions(frame.arrays[k]), [](AxisRef axis) { return axis->size > 1; });
      if (indices.size() == frame.arrays[k]->shape.size() && count == own.size()) indices_[frame.arrays[k]] = std::move(indices);
    }
  }
  // Its positions, in terms of the product's; null if it has others, or not all of them.
  const std::vector<Expr>* of(ArrayRef array) const {
    auto found = indices_.find(array);
    return found == indices_.end() ? nullptr : &found->second;
  }

 private:
  std::unordered_map<ArrayRef, std::vector<Expr>> indices_;
};

Expr at(ArrayRef array, std::span<const Expr> indices) {
  Substitution table;
  const std::vector<AxisRef> own = positions(array);
  for (std::size_t i = 0; i < own.size(); ++i) table.emplace_back(own[i], indices[i]);
  return substitute(array->body, table);
}

// Rewrites expressions at the product's positions in terms of what lies in memory and of the sum.
class Opener {
 public:
  Opener(const Region& region, Expr sum, Expr stand_in, ArrayRef product, const Places& places, const Slices& slices)
      : product_(product), places_(places), slices_(slices) {
    done_.emplace(sum, stand_in);
    for (ArrayRef array : region.locals) inside_.push_back(array);
    for (ArrayRef array : region.outputs) inside_.push_back(array);
  }

  // Null if it reads the product at other positions than its own.
  Expr open(Expr x) {
    if (auto found = done_.find(x); found != done_.end()) return found->second;
    std::vector<Expr> operands;
    for (Expr operand : x->operands) {
      operands.push_back(open(operand));
      if (!operands.back()) return done_[x] = nullptr;
    }
    bool is_inside = x->op == Op::read && std::find(inside_.begin(), inside_.end(), x->array) != inside_.end();
    return done_[x] = is_inside ? open_read(x, operands) : x->op == Op::read ? outside(x, operands) : with_operands(x, operands);
  }

 private:
  Expr outside(Expr read, const std::vector<Expr>& indices) const {
    if (!slices_.contains(read->array)) return with_operands(read, indices);
    Element element = element_of(read->array, indices, slices_);
    return read_stored(element.array, element.indices);
  }
  Expr open_read(Expr x, const std::vector<Expr>& indices) {
    const std::vector<Expr>* place = places_.of(x->array);
    if (follows_product(x->array) && (!place || !std::ranges::equal(*place, indices))) return nullptr;
    Expr body = open(at(x->array, indices));
    if (!body) return nullptr;
    return compute_type(x->array->dtype) == x->array->dtype ? body : cast(x->array->dtype, body);
  }
  bool follows_product(ArrayRef array) const {
    auto all = in_order(std::vector<ArrayRef>{array});
    return std::find(all.begin(), all.end(), product_) != all.end();
  }

  ArrayRef product_;
  const Places& places_;
  const Slices& slices_;
  std::vector<ArrayRef> inside_;
  std::unordered_map<Expr, Expr> done_;
};

// Each axis as a digit of the flat one; the last axis runs fastest.
void add_digits(Substitution& table, const std::vector<AxisRef>& axes, AxisRef flat) {
  std::int64_t inner = 1;
  for (auto axis = axes.rbegin(); axis != axes.rend(); ++axis) {
    Expr digit = inner == 1 ? value(flat) : floor_divide(value(flat), inner);
    if (axis + 1 != axes.rend()) digit = remainder(digit, (*axis)->size);
    table.emplace_back(*axis, digit);
    inner *= (*axis)->size;
  }
}

// The order of summed axes that lies in memory from slow to fast in most of what the operands read.
std::vector<AxisRef> by_stride(const AxisSet& axes, std::initializer_list<Expr> operands) {
  struct Entry {
    AxisRef axis;
    std::int64_t stride;
  };
  std::vector<Entry> entries;
  for (AxisRef axis : axes) {
    Entry entry{axis, 0};
    for (Expr operand : operands) {
      for (Expr x : nodes_of(operand)) {
        if (x->op != Op::read || entry.stride != 0) continue;
        std::int64_t stride = 1;
        for (std::size_t i = x->operands.size(); i-- > 0; stride *= x->array->shape[i])
          for (const IntegerTerm& term : linear_form(x->operands[i]).terms)
            if (term.x == value(axis)) entry.stride += std::abs(term.weight) * stride;
      }
    }
    entries.push_back(entry);
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& x, const Entry& y) { return x.stride != y.stride ? x.stride > y.stride : x.axis->key < y.axis->key; });
  std::vector<AxisRef> out;
  for (const Entry& entry : entries) out.push_back(entry.axis);
  return out;
}

std::vector<AxisRef> by_position(const AxisSet& axes) {
  std::vector<AxisRef> out(axes.begin(), axes.end());
  std::sort(out.begin(), out.end(), [](AxisRef x, AxisRef y) { return x->key < y->key; });
  return out;
}

}  // namespace

std::optional<FlatProduct> flat_product(const Region& region, bool swapped, const Slices& slices, Numbers numbers) {
  std::vector<ArrayRef> arrays = region.locals;
  arrays.insert(arrays.end(), region.outputs.begin(), region.outputs.end());
  ArrayRef product = nullptr;
  for (ArrayRef array : arrays) {
    if (array->kind != Array::Kind::definition) return {};
    if (!array->body->has_reduction) continue;
    if (product) return {};
    product = array;
  }
  if (!product) return {};
  std::optional<ProductForm> form = product_form_of(product, numbers);
  if (!form) return {};
  if (swapped) {
    std::swap(form->a, form->b);
    std::swap(form->m, form->n);
  }

  Arena& arena = *product->arena;
  FlatProduct flat{.dtype = form->sum->dtype};
  flat.batch = fresh_axis(arena, span_of(form->batch));
  flat.row = fresh_axis(arena, span_of(form->m));
  flat.column = fresh_axis(arena, span_of(form->n));
  flat.depth = fresh_axis(arena, span_of(form->k));
  flat.sum = input(arena, "sum", {}, flat.dtype);
  const std::optional<RegionFrame> frame = region_frame(region);
  if (!frame) return {};
  const Places own(*frame, product);
  Opener opener(region, form->sum, read_stored(flat.sum, {}), product, own, slices);

  Substitution places, depth;
  add_digits(places, by_position(form->batch), flat.batch);
  add_digits(places, by_position(form->m), flat.row);
  add_digits(places, by_position(form->n), flat.column);
  Expr a = opener.open(form->a), b = opener.open(form->b);
  if (!a || !b || a->has_reduction || b->has_reduction) return {};
  add_digits(depth, by_stride(form->k, {a, b}), flat.depth);
  depth.insert(depth.end(), places.begin(), places.end());
  flat.a = substitute(a, depth);
  flat.b = substitute(b, depth);
  for (ArrayRef array : region.outputs) {
    const std::vector<Expr>* place = own.of(array);
    Expr value = place ? opener.open(at(array, *place)) : nullptr;
    if (!value || value->has_reduction) return {};
    std::vector<Expr> indices;
    for (Expr index : *place) indices.push_back(substitute(index, places));
    Element element = element_of(array, indices, slices);
    LinearForm address = address_of(element);
    flat.outputs.push_back({element.array, substitute(value, places), linear(address.terms, address.constant, arena)});
  }
  return flat;
}

}  // namespace heed
