// Arrays from nothing, random ones, and what an array's type says.
#include <fmt/format.h>

#include <numbers>

#include "ir/ops/operation.h"

namespace heed {
namespace {

using Positions = std::span<const Expr>;

// The shape argument, or that of the parameter that is initialised.
std::vector<Dimension> shape_to_fill(const Call& call, std::size_t k) {
  if (!call.is_none(k)) return call.shape(k);
  if (!call.builder.filled)
    call.fail(fmt::format("`{}` needs a shape outside of a parameter's initial value", call.operation.name),
              fmt::format("`{}(…, shape = [2, 3])`", call.operation.name));
  return call.builder.filled->shape;
}

Value full_of(Call& call, std::vector<Dimension> shape, const Value& number, DType dtype, Span span) {
  return call.builder.define(std::move(shape), dtype, [&](Positions) { return scalar_of(call.builder, number, dtype, span).expression; });
}

DType dtype_to_fill(const Call& call, std::size_t k) {
  if (!call.is_none(k)) return call.dtype(k);
  return call.builder.filled ? call.builder.filled->dtype() : DType::f32;
}

Value constant_number(DType dtype, std::int64_t number) { return dtype == DType::boolean ? Value(number != 0) : Value(Dimension(number)); }

Value zeros(Call& call) {
  DType dtype = dtype_to_fill(call, 1);
  return full_of(call, shape_to_fill(call, 0), constant_number(dtype, call.operation.name == "ones"), dtype, call.span);
}

Value zeros_like(Call& call) {
  ShapedArray x = call.array(0);
  return full_of(call, x.shape, constant_number(x.dtype(), call.operation.name == "ones_like"), x.dtype(), call.span);
}

Value full(Call& call) {
  std::vector<Dimension> shape = shape_to_fill(call, 1);
  const Value& number = call.values[0];
  if (const auto* array = get_if<ShapedArray>(number); array && array->shape.empty())
    return call.builder.define(shape, array->dtype(), [&](Positions) { return at(*array, {}); });
  if (!is_compile_time_scalar(number)) call.fail(0, fmt::format("`full` takes a number, not {}", describe(number)));
  return full_of(call, shape, number, is<bool>(number) ? DType::boolean : dtype_to_fill(call, 2), call.spans[0]);
}

Value iota(Call& call) {
  return call.builder.define({call.dimension(0)}, DType::i32, [](Positions positions) { return positions[0]; });
}

// Scalars that say how random numbers are scaled: compile-time numbers or arrays without axes.
Expr parameter_at(const Call& call, std::size_t k) {
  const Value& value = call.values[k];
  if (const auto* array = get_if<ShapedArray>(value)) {
    if (!array->shape.empty() || !is_floating(array->dtype()))
      call.fail(k, fmt::format("`{}` takes a number, not {}", call.operation.name, describe(value)));
    return cast(DType::f32, at(*array, {}));
  }
  return real(call.builder.arena(), call.number(k), DType::f32);
}

ShapedArray as_dtype(Builder& builder, const ShapedArray& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  return builder.define(x.shape, dtype, [&](Positions positions) { return cast(dtype, at(x, positions)); });
}

ShapedArray uniform_numbers(Call& call, const std::vector<Dimension>& shape, DType dtype, std::size_t low, std::size_t high) {
  std::string name = std::exchange(call.builder.name_hint, {});
  ShapedArray unit = call.builder.random(shape);
  call.builder.name_hint = name;
  ShapedArray result = call.builder.define(shape, DType::f32, [&](Positions positions) {
    Expr from = parameter_at(call, low), to = parameter_at(call, high);
    return add(multiply(at(unit, positions), subtract(to, from)), from);
  });
  return as_dtype(call.builder, result, dtype);
}

// By Box and Muller, from two uniform numbers.
ShapedArray normal_numbers(Call& call, const std::vector<Dimension>& shape, DType dtype, std::size_t mean, std::size_t deviation) {
  std::string name = std::exchange(call.builder.name_hint, {});
  ShapedArray radius = call.builder.random(shape), angle = call.builder.random(shape);
  call.builder.name_hint = name;
  ShapedArray result = call.builder.define(shape, DType::f32, [&](Positions positions) {
    Expr one = real(call.builder.arena(), 1);
    Expr length = power(scale(-2.0, apply(functions::log, {subtract(one, at(radius, positions))})), 0.5);
    Expr normal = multiply(length, apply(*find_function("cos"), {scale(2 * std::numbers::pi, at(angle, positions))}));
    return add(multiply(normal, parameter_at(call, deviation)), parameter_at(call, mean));
  });
  return as_dtype(call.builder, result, dtype);
}

DType floating_like(const Call& call, const ShapedArray& x) {
  if (!is_floating(x.dtype()))
    call.fail(0, fmt::format("`{}` makes floating values, but {} is not", call.operation.name, describe(call.values[0])));
  return x.dtype();
}

Value uniform(Call& call) { return uniform_numbers(call, shape_to_fill(call, 2), dtype_to_fill(call, 3), 0, 1); }
Value normal(Call& call) { return normal_numbers(call, shape_to_fill(call, 2), dtype_to_fill(call, 3), 0, 1); }
Value uniform_like(Call& call) {
  ShapedArray x = call.array(0);
  return uniform_numbers(call, x.shape, floating_like(call, x), 1, 2);
}
Value normal_like(Call& call) {
  ShapedArray x = call.array(0);
  return normal_numbers(call, x.shape, floating_like(call, x), 1, 2);
}

// In a parameter's initial value: the parameter itself has no values yet.
ShapedArray typed(const Call& call) {
  if (const auto* array = get_if<ShapedArray>(call.values[0])) return *array;
  if (is<Scalar>(call.values[0])) return {nullptr, {}};
  return call.array(0);
}

const Operation records[] = {
    {"zeros", "(shape = none, dtype = none)", "f32 zeros; as a parameter's initial value of its shape and type", "zeros([2]) == [0.0, 0.0]",
     zeros},
    {"ones", "(shape = none, dtype = none)", "f32 ones; as a parameter's initial value of its shape and type", "ones([2]) == [1.0, 1.0]",
     zeros},
    {"full", "(value, shape = none, dtype = none)", "one value everywhere", "full(2.5, [2]) == [2.5, 2.5]", full},
    {"zeros_like", "(x)", "zeros of the shape and type of x", "zeros_like([1.0, 2.0]) == [0.0, 0.0]", zeros_like},
    {"ones_like", "(x)", "ones of the shape and type of x", "ones_like([1.0, 2.0]) == [1.0, 1.0]", zeros_like},
    {"iota", "(size)", "0, 1, 2, … as i32", "iota(3) == [0, 1, 2]", iota},
    {"uniform", "(low = 0, high = 1, shape = none, dtype = none)",
     "random numbers between low and high, another at every place, step and seed", "uniform(2, 3, shape = [2]) >= 2", uniform},
    {"normal", "(mean = 0, deviation = 1, shape = none, dtype = none)", "normally distributed random numbers",
     "abs(normal(5, 0, shape = [2]) - 5) < 1e-6", normal},
    {"uniform_like", "(x, low = 0, high = 1)", "random numbers in the shape and type of x", "uniform_like([1.0, 2.0]) < 1", uniform_like},
    {"normal_like", "(x, mean = 0, deviation = 1)", "normally distributed random numbers in the shape and type of x",
     "abs(normal_like([1.0, 2.0])) < 10", normal_like},
    {"shape", "(x)", "the sizes of x, known at compile time", "shape([[1, 2, 3]])[1] == 3",
     [](Call& call) -> Value {
       std::vector<Value> sizes;
       for (const Dimension& size : typed(call).shape) sizes.push_back(size);
       return list_of(std::move(sizes));
     }},
    {"rank", "(x)", "how many axes x has", "rank([[1, 2, 3]]) == 2",
     [](Call& call) -> Value { return Dimension(static_cast<std::int64_t>(typed(call).shape.size())); }},
    {"length", "(list)", "how many items a list has, known at compile time", "length([1, 2, 3]) == 3",
     [](Call& call) -> Value {
       const auto* list = get_if<List>(call.values[0]);
       if (!list)
         call.fail(0, fmt::format("`length` is of a list, not {}", describe(call.values[0])), "the size of an axis is `shape(x)[0]`");
       return Dimension(static_cast<std::int64_t>(list->items->size()));
     }},
    {"dtype", "(x)", "the element type of x", "dtype([1.0]) == f32",
     [](Call& call) -> Value {
       if (const auto* scalar = get_if<Scalar>(call.values[0])) return scalar->dtype;
       return call.array(0).dtype();
     }},
};

}  // namespace

std::span<const Operation> creation_operations() { return records; }

}  // namespace heed
