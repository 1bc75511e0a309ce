// Arrays cut into pieces and put together: split, concat, stack, and `rearrange` by named axes.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "ir/ops/operation.h"

namespace heed {
namespace {

using Positions = std::span<const Expr>;

Value split(Call& call) {
  ShapedArray x = call.array(0);
  std::size_t axis = call.axis(2, x.shape.size());
  std::vector<Dimension> sizes;
  const Dimension& whole = x.shape[axis];
  if (is<List>(call.values[1])) {
    sizes = call.shape(1);
    Dimension total(0);
    for (const Dimension& size : sizes) total = total + size;
    if (!(total == whole))
      call.fail(1, fmt::format("`split` of {} along axis {}: the parts add up to {}, not {}", describe(call.values[0]), axis,
                               total.size.text(), whole.size.text()));
  } else {
    Dimension parts = call.dimension(1);
    if (parts.value <= 0) call.fail(1, fmt::format("`split` makes one part or more, not {}", parts.size.text()));
    if (whole.value % parts.value != 0) {
      call.builder.suit_nominal(whole, parts.value / std::gcd(whole.value, parts.value), 1);
      call.fail(1, fmt::format("`split` of {} into {} parts: {} / {} leaves a remainder", describe(call.values[0]), parts.size.text(),
                               whole.size.text(), parts.size.text()));
    }
    sizes.assign(parts.value, {exact_quotient(whole.size, parts.size), whole.value / parts.value});
  }
  std::vector<Value> parts;
  std::int64_t offset = 0;
  for (const Dimension& size : sizes) {
    std::vector<Dimension> shape = x.shape;
    shape[axis] = size;
    parts.push_back(call.builder.define(shape, x.dtype(), [&](Positions positions) {
      std::vector<Expr> indices(positions.begin(), positions.end());
      indices[axis] = shift(indices[axis], offset);
      return at(x, indices);
    }));
    offset += size.value;
  }
  return list_of(std::move(parts));
}

std::vector<ShapedArray> arrays_of(const Call& call) {
  const auto* list = get_if<List>(call.values[0]);
  if (!list || list->items->empty())
    call.fail(0, fmt::format("`{}` takes a list of arrays, not {}", call.operation.name, describe(call.values[0])));
  std::vector<ShapedArray> result;
  for (const Value& item : *list->items) result.push_back(array_of(call.builder, item, call.spans[0]));
  for (const ShapedArray& array : result) {
    if (array.dtype() != result[0].dtype())
      call.fail(0, fmt::format("`{}` of {} and {}: the types {} and {} differ", call.operation.name, describe(result[0]), describe(array),
                               name_of(result[0].dtype()), name_of(array.dtype())));
    if (array.shape.size() != result[0].shape.size())
      call.fail(0, fmt::format("`{}` of {} and {}: {} axes and {} differ", call.operation.name, describe(result[0]), describe(array),
                               result[0].shape.size(), array.shape.size()));
  }
  return result;
}

Value concat(Call& call) {
  std::vector<ShapedArray> arrays = arrays_of(call);
  std::size_t rank = arrays[0].shape.size();
  if (rank == 0) call.fail(0, "`concat` takes arrays with an axis, not scalars", "put scalars together by `stack`");
  Call first = call;
  first.values[0] = arrays[0];
  std::size_t axis = first.axis(1, rank);
  std::vector<Dimension> shape = arrays[0].shape;
  shape[axis] = 0;
  for (const ShapedArray& array : arrays) {
    for (std::size_t k = 0; k < rank; ++k)
      if (k != axis && !(array.shape[k] == shape[k]))
        call.fail(0, fmt::format("`concat` of {} and {} along axis {}: dimensions {} and {} differ", describe(arrays[0]), describe(array),
                                 axis, shape[k].size.text(), array.shape[k].size.text()));
    shape[axis] = shape[axis] + array.shape[axis];
  }
  return call.builder.define(shape, arrays[0].dtype(), [&](Positions positions) {
    std::int64_t offset = shape[axis].value;
    Expr result = nullptr;
    for (std::size_t k = arrays.size(); k-- > 0;) {
      if (arrays[k].shape[axis].value == 0) continue;
      offset -= arrays[k].shape[axis].value;
      std::vector<Expr> indices(positions.begin(), positions.end());
      indices[axis] = shift(indices[axis], -offset);
      Expr part = at(arrays[k], indices);
      std::int64_t end = offset + arrays[k].shape[axis].value;
      result = result ? select(greater(integer(call.builder.arena(), end), positions[axis]), part, result) : part;
    }
    return result ? result : at(arrays[0], positions);
  });
}

Value stack(Call& call) {
  std::vector<ShapedArray> arrays = arrays_of(call);
  std::vector<Dimension> shape = arrays[0].shape;
  Call first = call;
  first.values[0] = arrays[0];
  std::size_t axis = first.axis(1, shape.size() + 1);
  for (const ShapedArray& array : arrays)
    if (!(array.shape == shape)) call.fail(0, fmt::format("`stack` of {} and {}: the shapes differ", describe(arrays[0]), describe(array)));
  shape.insert(shape.begin() + axis, Dimension(static_cast<std::int64_t>(arrays.size())));
  return call.builder.define(shape, arrays[0].dtype(), [&](Positions positions) {
    std::vector<Expr> indices(positions.begin(), positions.end());
    indices.erase(indices.begin() + axis);
    Expr result = at(arrays.back(), indices);
    for (std::size_t k = arrays.size() - 1; k-- > 0;)
      result =
          select(greater(integer(call.builder.arena(), static_cast<std::int64_t>(k) + 1), positions[axis]), at(arrays[k], indices), result);
    return result;
  });
}

// --- rearrange(x, "b t (h e) -> b h t e", h = heads)
using Group = std::vector<std::string>;

std::vector<Group> groups_of(const Call& call, std::string_view text) {
  std::vector<Group> groups;
  bool open = false;
  for (std::size_t k = 0; k < text.size();) {
    char c = text[k];
    if (c == ' ') {
      ++k;
    } else if (c == '(' || c == ')') {
      if (open == (c == '(')) call.fail(1, fmt::format("\"{}\": brackets do not pair", text));
      open = c == '(';
      if (open) groups.emplace_back();
      ++k;
    } else {
      std::size_t end = std::min(text.find_first_of(" ()", k), text.size());
      std::string name(text.substr(k, end - k));
      k = end;
      if (!open) groups.emplace_back();
      if (name != "1") groups.back().push_back(name);
    }
  }
  if (open) call.fail(1, fmt::format("\"{}\": brackets do not pair", text));
  return groups;
}

Dimension size_of(const Group& group, const std::map<std::string, Dimension>& sizes) {
  Dimension result(1);
  for (const std::string& name : group) result = result * sizes.at(name);
  return result;
}

// Sizes of the named axes on the left: given by name, or what is left of the dimension.
std::map<std::string, Dimension> axis_sizes(const Call& call, const ShapedArray& x, const std::vector<Group>& groups) {
  std::map<std::string, Dimension> sizes;
  for (const auto& [name, value] : call.further) {
    const auto* size = get_if<Dimension>(value);
    if (!size) call.fail(fmt::format("`{}` of `rearrange` is a size, not {}", name, describe(value)));
    sizes[name] = *size;
  }
  std::vector<std::string> met;
  for (std::size_t k = 0; k < groups.size(); ++k) {
    Dimension known(1);
    std::vector<std::string> open;
    for (const std::string& name : groups[k]) {
      if (std::find(met.begin(), met.end(), name) != met.end()) call.fail(1, fmt::format("axis `{}` is twice on the left", name));
      met.push_back(name);
      if (sizes.contains(name))
        known = known * sizes[name];
      else
        open.push_back(name);
    }
    const Dimension& whole = x.shape[k];
    if (open.size() > 1)
      call.fail(1, fmt::format("the sizes of `{}` and `{}` are not known", open[0], open[1]), fmt::format("give one: `{} = …`", open[0]));
    if (open.empty()) {
      if (!(known == whole))
        call.fail(1, fmt::format("axis {} of {} is {}, but ({}) makes {}", k, describe(call.values[0]), whole.size.text(),
                                 fmt::join(groups[k], " "), known.size.text()));
      continue;
    }
    if (known.value == 0 || whole.value % known.value != 0) {
      call.builder.suit_nominal(whole, known.value / std::gcd(whole.value, known.value), 1);
      call.fail(1, fmt::format("`{}` of `rearrange`: {} / {} leaves a remainder", open[0], whole.size.text(), known.size.text()));
    }
    sizes[open[0]] = {exact_quotient(whole.size, known.size), whole.value / known.value};
  }
  for (const auto& [name, value] : call.further)
    if (std::find(met.begin(), met.end(), name) == met.end())
      call.fail(fmt::format("`rearrange` has no axis `{}` on the left", name), did_you_mean(name, met));
  return sizes;
}

Value rearrange(Call& call) {
  ShapedArray x = call.array(0);
  const std::string& text = call.text(1);
  std::size_t arrow = text.find("->");
  if (arrow == std::string::npos) call.fail(1, fmt::format("\"{}\" has no result: write \"b t (h e) -> b h t e\"", text));
  std::vector<Group> left = groups_of(call, std::string_view(text).substr(0, arrow)),
                     right = groups_of(call, std::string_view(text).substr(arrow + 2));
  if (left.size() != x.shape.size())
    call.fail(1, fmt::format("\"{}\" names {} axes, but {} has {}", text.substr(0, arrow), left.size(), describe(call.values[0]),
                             x.shape.size()));
  std::map<std::string, Dimension> sizes = axis_sizes(call, x, left);
  std::vector<std::string> names, wanted;
  for (const Group& group : left) names.insert(names.end(), group.begin(), group.end());
  for (const Group& group : right) wanted.insert(wanted.end(), group.begin(), group.end());
  for (const std::string& name : wanted)
    if (std::find(names.begin(), names.end(), name) == names.end())
      call.fail(1, fmt::format("axis `{}` of the result is not on the left", name), did_you_mean(name, names));
  for (const std::string& name : names)
    if (std::count(wanted.begin(), wanted.end(), name) != 1)
      call.fail(1, fmt::format("axis `{}` must be once in the result", name), "sum over axes by `sum` or `einsum`");
  std::vector<Dimension> shape;
  for (const Group& group : right) shape.push_back(size_of(group, sizes));
  return call.builder.define(shape, x.dtype(), [&](Positions positions) {
    std::map<std::string, Expr> values;
    for (std::size_t k = 0; k < right.size(); ++k) {
      Expr rest = positions[k];
      for (std::size_t n = right[k].size(); n-- > 0;) {
        std::int64_t size = std::max<std::int64_t>(sizes[right[k][n]].value, 1);
        values[right[k][n]] = n == 0 ? rest : remainder(rest, size);
        rest = floor_divide(rest, size);
      }
    }
    std::vector<Expr> indices;
    for (const Group& group : left) {
      std::vector<IntegerTerm> terms;
      std::int64_t stride = 1;
      for (std::size_t n = group.size(); n-- > 0; stride *= sizes[group[n]].value) terms.push_back({stride, values[group[n]]});
      indices.push_back(linear(terms, 0, call.builder.arena()));
    }
    return at(x, indices);
  });
}

const Operation records[] = {
    {"split", "(x, parts, axis = -1)", "a list of equal parts along an axis, or of parts of the sizes in a list",
     "split([1, 2, 3, 4], 2)[1] == [3, 4]", split},
    {"concat", "(arrays, axis = 0)", "arrays one after another along an axis", "concat([[1, 2], [3]]) == [1, 2, 3]", concat},
    {"stack", "(arrays, axis = 0)", "equal shapes along a new axis", "stack([[1, 2], [3, 4]], axis = 1) == [[1, 3], [2, 4]]", stack},
    {"rearrange", "(x, axes, …)", "axes split, merged and reordered by name; sizes that cannot be found are given by name",
     "rearrange([1, 2, 3, 4], \"(a b) -> b a\", a = 2) == [[1, 3], [2, 4]]", rearrange},
};

}  // namespace

std::span<const Operation> arrangement_operations() { return records; }

}  // namespace heed
