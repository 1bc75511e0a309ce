// Operators and other functions of one position; arrays broadcast to each other as in NumPy.
#include <fmt/format.h>

#include "ir/ops/operation.h"

namespace heed {
namespace {

DType numeric(ScalarCall& call) {
  DType dtype = call.common(0, call.values.size());
  if (dtype == DType::boolean)
    call.fail(fmt::format("`{}` takes numbers, not {}", call.operation.name, call.described[0]),
              fmt::format("convert it: `f32({})`", source_text(call.spans[0])));
  return dtype;
}

DType floating(ScalarCall& call) {
  DType dtype = call.common(0, call.values.size(), true);
  if (!is_floating(dtype))
    call.fail(fmt::format("`{}` takes floating values, not {}", call.operation.name, call.described[0]),
              call.operation.name == "/" ? fmt::format("convert them, `f32({})`, or divide integers by `//`", source_text(call.spans[0]))
                                         : fmt::format("convert it: `f32({})`", source_text(call.spans[0])));
  return dtype;
}

void truths(ScalarCall& call) {
  if (call.common(0, call.values.size()) != DType::boolean)
    call.fail(fmt::format("`{}` takes truths, not {}", call.operation.name, call.described[0]),
              fmt::format("compare it: `{} != 0`", source_text(call.spans[0])));
}

// An axis as a number goes on adapting its type in sums and multiples.
bool adapts(const ScalarCall& call) {
  for (const Value& value : call.values)
    if (!get_if<Scalar>(value)->adapts && !is_constant(get_if<Scalar>(value)->expression)) return false;
  return true;
}

Scalar whole_quotient(ScalarCall& call, const char* record, Expr (*by_constant)(Expr, std::int64_t)) {
  DType dtype = numeric(call);
  if (is_integer(dtype) && call[1]->op == Op::constant && call[1]->integer == 0) call.fail("division by 0");
  if (is_integer(dtype) && call[1]->op == Op::constant && call[1]->integer > 0)
    return {by_constant(call[0], call[1]->integer), dtype, adapts(call)};
  return {apply(*find_function(record), {call[0], call[1]}), dtype};
}

Expr opposite(Expr x) { return is_floating(x->dtype) ? scale(-1.0, x) : scale(std::int64_t{-1}, x); }
Expr larger(Expr a, Expr b) { return apply(functions::maximum, {a, b}); }
Expr smaller(Expr a, Expr b) { return opposite(larger(opposite(a), opposite(b))); }

Scalar compare(ScalarCall& call, Expr (*condition)(Expr, Expr)) {
  numeric(call);
  return {condition(call[0], call[1]), DType::boolean};
}

// `f32(x)`: the name of the record is that of the type.
Scalar convert(ScalarCall& call) {
  DType from = call.common(0, 1), to = *dtype_named(call.operation.name);
  Expr x = call[0];
  if (from == to) return {x, to};
  if (to == DType::boolean)
    return {heed::negate(equal(x, is_floating(x->dtype) ? real(*x->arena, 0, x->dtype) : integer(*x->arena, 0))), to};
  return {cast(to, x), to};
}

const Operation records[] = {
    {"+", "(a, b)", "sum", "[1.0, 2.0] + 1 == [2.0, 3.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {add(call[0], call[1]), dtype, adapts(call)};
     }},
    {"-", "(a, b)", "difference", "[1.0, 2.0] - 1 == [0.0, 1.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {subtract(call[0], call[1]), dtype, adapts(call)};
     }},
    {"*", "(a, b)", "product", "[1.0, 2.0] * [3.0, 4.0] == [3.0, 8.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {multiply(call[0], call[1]), dtype, adapts(call)};
     }},
    {"/", "(a, b)", "quotient of floating values", "[1.0, 2.0] / 2 == [0.5, 1.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = floating(call);
       return {divide(call[0], call[1]), dtype};
     }},
    {"//", "(a, b)", "quotient rounded down", "[-7, 7] // 2 == [-4, 3]", nullptr,
     [](ScalarCall& call) { return whole_quotient(call, "floor_divide", floor_divide); }},
    {"%", "(a, b)", "what `//` leaves; its sign is that of b", "[-7, 7] % 4 == [1, 3]", nullptr,
     [](ScalarCall& call) { return whole_quotient(call, "remainder", remainder); }},
    {"**", "(a, b)", "power", "[2.0, 3.0] ** 2 == [4.0, 9.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       Expr exponent = call[1];
       if (is_floating(dtype) && exponent->op == Op::constant) return {power(call[0], exponent->real), dtype};
       if (exponent->op == Op::constant && exponent->integer >= 0) return {power(call[0], static_cast<double>(exponent->integer)), dtype};
       return {apply(*find_function("pow"), {call[0], exponent}), dtype};
     }},
    {"negate", "(x)", "-x", "-[1.0, -2.0] == [-1.0, 2.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {opposite(call[0]), dtype, adapts(call)};
     }},
    {"==", "(a, b)", "are they equal", "all(([1, 2] == [1, 3]) == [true, false])", nullptr,
     [](ScalarCall& call) -> Scalar {
       call.common(0, 2);
       return {equal(call[0], call[1]), DType::boolean};
     }},
    {"!=", "(a, b)", "do they differ", "all(([1, 2] != [1, 3]) == [false, true])", nullptr,
     [](ScalarCall& call) -> Scalar {
       call.common(0, 2);
       return {negate(equal(call[0], call[1])), DType::boolean};
     }},
    {"<", "(a, b)", "is a less than b", "[1.0, 2.0] < 3", nullptr,
     [](ScalarCall& call) { return compare(call, [](Expr a, Expr b) { return greater(b, a); }); }},
    {"<=", "(a, b)", "is a at most b", "[1.0, 2.0] <= 2", nullptr,
     [](ScalarCall& call) { return compare(call, [](Expr a, Expr b) { return at_least(b, a); }); }},
    {">", "(a, b)", "is a greater than b", "[1.0, 2.0] > 0", nullptr, [](ScalarCall& call) { return compare(call, greater); }},
    {">=", "(a, b)", "is a at least b", "[1.0, 2.0] >= 1", nullptr, [](ScalarCall& call) { return compare(call, at_least); }},
    {"and", "(a, b)", "are both true", "not ([1, 2] == 1 and [1, 2] == 2)", nullptr,
     [](ScalarCall& call) -> Scalar {
       truths(call);
       return {both(call[0], call[1]), DType::boolean};
     }},
    {"or", "(a, b)", "is one of them true", "[1, 2] == 1 or [1, 2] == 2", nullptr,
     [](ScalarCall& call) -> Scalar {
       truths(call);
       return {either(call[0], call[1]), DType::boolean};
     }},
    {"not", "(x)", "is it false", "not ([1, 2] == 3)", nullptr,
     [](ScalarCall& call) -> Scalar {
       truths(call);
       return {heed::negate(call[0]), DType::boolean};
     }},
    {.name = "where",
     .signature = "(condition, a, b)",
     .summary = "a where the condition is true, else b; only the one that counts is evaluated",
     .example = "where([1, 2, 3] > 1, 10.0, 0.0) == [0.0, 10.0, 10.0]",
     .elementwise = [](ScalarCall& call) -> Scalar {
       if (call.common(0, 1) != DType::boolean)
         call.fail(fmt::format("`where` takes a condition, not {}", call.described[0]),
                   fmt::format("compare it: `{} != 0`", source_text(call.spans[0])));
       DType dtype = call.common(1, 2);
       return {select(call[0], call[1], call[2]), dtype};
     },
     .chooses = true},
    {"minimum", "(a, b)", "the smaller of two values; NaN wins", "minimum([1.0, 2.0], 1.5) == [1.0, 1.5]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {smaller(call[0], call[1]), dtype};
     }},
    {"clamp", "(x, low, high)", "x, but not below `low` nor above `high`", "clamp([-1.0, 0.5, 2.0], 0, 1) == [0.0, 0.5, 1.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {smaller(larger(call[0], call[1]), call[2]), dtype};
     }},
    {"abs", "(x)", "absolute value", "abs([-1.0, 2.0]) == [1.0, 2.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = numeric(call);
       return {larger(call[0], opposite(call[0])), dtype};
     }},
    {"sqrt", "(x)", "square root", "sqrt([4.0, 9.0]) == [2.0, 3.0]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = floating(call);
       return {power(call[0], 0.5), dtype};
     }},
    {"rsqrt", "(x)", "1 / sqrt(x)", "rsqrt([4.0, 16.0]) == [0.5, 0.25]", nullptr,
     [](ScalarCall& call) -> Scalar {
       DType dtype = floating(call);
       return {power(call[0], -0.5), dtype};
     }},
    {"is_nan", "(x)", "is it no number", "not is_nan([1.0, inf])", nullptr,
     [](ScalarCall& call) -> Scalar {
       floating(call);
       return {heed::negate(equal(call[0], call[0])), DType::boolean};
     }},
    {"f64", "(x)", "as f64", "f64([1, 2]) == f64([1.0, 2.0])", nullptr, convert},
    {"f32", "(x)", "as f32", "f32([1, 2]) == [1.0, 2.0]", nullptr, convert},
    {"f16", "(x)", "as f16, rounded to even", "f32(f16([2049.0])) == [2048.0]", nullptr, convert},
    {"bf16", "(x)", "as bf16, rounded to even", "f32(bf16([257.0])) == [256.0]", nullptr, convert},
    {"i64", "(x)", "as i64; of floating values the whole part", "i64([1.5, -1.5]) == i64([1, -1])", nullptr, convert},
    {"i32", "(x)", "as i32; of floating values the whole part", "i32([1.5, -1.5]) == [1, -1]", nullptr, convert},
    {"i8", "(x)", "as i8; integers wrap", "i32(i8([200])) == [-56]", nullptr, convert},
    {"u8", "(x)", "as u8; integers wrap", "i32(u8([257])) == [1]", nullptr, convert},
    {"bool", "(x)", "is it not 0", "all(bool([0, 2]) == [false, true])", nullptr, convert},
};

}  // namespace

std::span<const Operation> elementwise_operations() { return records; }

}  // namespace heed
