// Gradients as expressions.
#include <fmt/format.h>

#include "ir/ops/operation.h"

namespace heed {
namespace {

Value grad(Call& call) {
  ShapedArray target = call.floating(0);
  if (!target.shape.empty())
    call.fail(0, fmt::format("`grad` is of a scalar, but this is {}", describe(call.values[0])),
              fmt::format("add it up: `sum({})`", call.source(0)));
  const auto* list = get_if<List>(call.values[1]);
  std::vector<Value> items = list ? *list->items : std::vector<Value>{call.values[1]};
  std::vector<ArrayRef> wrt;
  std::vector<ShapedArray> shapes;
  for (const Value& item : items) {
    const auto* array = get_if<ShapedArray>(item);
    if (!array) call.fail(1, fmt::format("`grad` is by arrays, not {}", describe(item)));
    if (!is_floating(array->dtype())) call.fail(1, fmt::format("`grad` is by floating values, not {}", describe(item)));
    wrt.push_back(array->array);
    shapes.push_back(*array);
  }
  std::vector<ArrayRef> gradients = gradient(target.array, wrt);
  std::vector<Value> result;
  for (std::size_t k = 0; k < gradients.size(); ++k) result.push_back(ShapedArray{gradients[k], shapes[k].shape});
  return list ? Value(list_of(std::move(result))) : result[0];
}

const Operation records[] = {
    {"grad", "(target, by)", "derivatives of a scalar by an array, or a list of them by each array of a list",
     "rank(grad(sum([1.0, 2.0]), full(1.0, []))) == 0", grad},
};

}  // namespace

std::span<const Operation> gradient_operations() { return records; }

}  // namespace heed
