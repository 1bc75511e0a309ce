// Elements of slices by the indices of the whole.
#include "codegen/tile/slices.h"

#include "codegen/tile/access.h"

namespace heed {

Element element_of(ArrayRef array, std::span<const Expr> indices, const Slices& slices) {
  auto found = slices.find(array);
  if (found == slices.end()) return {array, {indices.begin(), indices.end()}};
  Substitution table;
  std::vector<AxisRef> places = positions(array);
  for (std::size_t k = 0; k < places.size(); ++k) table.emplace_back(places[k], indices[k]);
  Element element{found->second.whole, {}};
  for (Expr index : found->second.indices) element.indices.push_back(substitute(index, table));
  return element;
}

LinearForm address_of(const Element& element) {
  std::vector<std::int64_t> strides = strides_of(element.array->shape);
  std::vector<IntegerTerm> terms;
  for (std::size_t k = 0; k < strides.size(); ++k)
    if (element.array->shape[k] != 1) terms.push_back({strides[k], element.indices[k]});
  return linear_form(linear(terms, 0, *element.array->arena));
}

}  // namespace heed
