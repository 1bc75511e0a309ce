// What random graphs are made of: sizes, inputs, functions of one position, reads at random places.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string_view>
#include <vector>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {

inline constexpr std::int64_t most_elements = 4096, largest_id = 3;  // what check.cpp fills integers with

class Ingredients {
 protected:
  using Axes = std::vector<AxisRef>;

  Ingredients(std::uint64_t seed, bool smooth);

  std::uint64_t below(std::uint64_t n) { return n ? random_() % n : 0; }
  bool chance(double share) { return static_cast<double>(random_() >> 11) * 0x1p-53 < share; }
  Arena& arena() { return *graph_.arena; }
  std::int64_t size() { return sizes_[below(sizes_.size())]; }
  ArrayRef any() { return pool_[chance(0.6) ? pool_.size() - 1 : below(pool_.size())]; }
  Expr constant(double value) { return real(arena(), value); }
  Expr call(std::string_view name, std::initializer_list<Expr> arguments) { return apply(*find_function(name), arguments); }

  std::vector<std::int64_t> shape(std::uint64_t rank);
  ArrayRef given(std::vector<std::int64_t> of_shape, DType dtype = DType::f32);
  void drop_unread_inputs();
  Axes axes_of(const std::vector<std::int64_t>& of_shape);
  static Expr at(ArrayRef array, const Axes& axes);
  ArrayRef made(const Axes& axes, Expr body, DType dtype = DType::f32) { return define(axes, body, dtype, "v"); }

  // --- functions of one position
  Expr map(Expr x);

  // --- reads at indices made of what axes there are; what may leave the array is guarded
  Expr index(std::int64_t wanted, const Axes& axes, std::vector<Expr>& guards);
  Expr read_somehow(ArrayRef array, const Axes& axes);

  bool smooth_;
  Graph graph_;
  std::mt19937_64 random_;
  std::vector<std::int64_t> sizes_;
  std::vector<ArrayRef> pool_;
};

}  // namespace heed
