// Walks over nests.
#include "codegen/tile/nest.h"

#include <algorithm>

namespace heed {

std::int64_t Nest::row_count() const {
  std::int64_t count = 1;
  for (AxisRef row : rows) count *= row->size;
  return square ? count * square->count() : count;
}

bool Nest::has_part(ArrayRef array) const { return std::ranges::find(parts, array, &Part::array) != parts.end(); }

namespace {

template <class Visit>
void visit(auto& nest, Visit each) {
  for (auto& sweep : nest.sweeps) {
    for (auto& accumulation : sweep.accumulations) each(accumulation.body);
    for (auto& store : sweep.stores) {
      each(store.value);
      if (store.guard) each(store.guard);
      if (store.onto) each(store.onto);
    }
  }
}

}  // namespace

std::vector<Expr> Nest::roots() const {
  std::vector<Expr> all;
  visit(*this, [&](Expr root) { all.push_back(root); });
  return all;
}

void rewrite_nest(Nest& nest, const std::function<Expr(Expr)>& change) {
  visit(nest, [&](Expr& root) { root = change(root); });
  for (Sweep& sweep : nest.sweeps)
    for (NestStore& store : sweep.stores)
      store.address = linear_form(change(linear(store.address.terms, store.address.constant, *store.value->arena)));
}

}  // namespace heed
