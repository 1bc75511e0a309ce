// An operand whose pairs lie side by side is read as words, any other at even and at odd places.
#include "codegen/tile/product_pairs.h"

#include <algorithm>

#include "codegen/tile/access.h"
#include "ir/algebra.h"

namespace heed {
namespace {

bool holds_bf16(Expr x) {
  switch (x->op) {
    case Op::constant:
      return round_to(DType::bf16, x->real) == x->real;
    case Op::read:
      return x->array->dtype == DType::bf16;
    case Op::cast:
      return x->to == DType::bf16;
    case Op::select:
      return holds_bf16(x->operands[1]) && holds_bf16(x->operands[2]);
    default:
      return false;
  }
}

bool is_even(std::int64_t x) { return x % 2 == 0; }

// A read of words that are the pairs; nothing if the operand is no read of neighbours.
std::optional<FlatProduct::Words> words_of(Expr even, Expr odd) {
  auto is_plain = [](Expr x) { return x->op == Op::read && std::ranges::all_of(x->operands, is_affine); };
  if (!is_plain(even) || !is_plain(odd) || even->array != odd->array) return {};
  LinearForm low = affine_address(even), high = affine_address(odd);
  auto same = [](const IntegerTerm& a, const IntegerTerm& b) { return a.weight == b.weight && a.x == b.x; };
  if (high.constant != low.constant + 1 || !std::ranges::equal(low.terms, high.terms, same)) return {};
  if (!is_even(low.constant) || !std::ranges::all_of(low.terms, [](const IntegerTerm& term) { return is_even(term.weight); })) return {};
  for (IntegerTerm& term : low.terms) term.weight /= 2;
  Arena& arena = *even->arena;
  ArrayRef words = input(arena, even->array->name, {element_count(even->array) / 2}, DType::f32);
  const Expr at[] = {linear(low.terms, low.constant / 2, arena)};
  return FlatProduct::Words{words, even->array, read_stored(words, at)};
}

}  // namespace

std::optional<FlatProduct> over_pairs(const FlatProduct& product) {
  if (product.dtype != DType::f32 || !holds_bf16(product.a) || !holds_bf16(product.b)) return {};
  Arena& arena = *product.a->arena;
  const std::int64_t k = product.depth->size;
  FlatProduct paired = product;
  paired.is_paired = true;
  paired.depth = fresh_axis(arena, (k + 1) / 2);
  Expr even_place = scale(std::int64_t{2}, value(paired.depth)), odd_place = shift(even_place, 1);
  auto over_depth = [&](Expr& x, Expr& odd) {
    Expr whole = x;
    x = substitute(whole, {{product.depth, even_place}});
    odd = substitute(whole, {{product.depth, odd_place}});
    if (!is_even(k))
      odd = select(inside(odd_place, k), odd, real(arena, 0, odd->dtype));
    else if (auto words = words_of(x, odd)) {
      x = words->read;
      odd = nullptr;
      paired.words.push_back(*words);
    }
  };
  over_depth(paired.a, paired.a_odd);
  over_depth(paired.b, paired.b_odd);
  return paired;
}

}  // namespace heed
