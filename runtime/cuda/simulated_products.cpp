// Tensor cores: loads of matrices, products of a warp (mma.sync) and of four (wgmma).
#include <bit>
#include <cstring>

#include "runtime/cuda/simulation.h"
#include "runtime/tensor.h"

namespace heed::simulated {
namespace {

constexpr std::int64_t box_line = 128;
constexpr std::int32_t bf16_kind = 1;  // MatrixKind::bf16 of codegen/cuda/builtins.h

// Matrix m's line l is where lane 8 m + l says. `take(matrix, lines)` gives this lane's word of a matrix.
template <class Take>
void load_matrices(std::int32_t* results, const std::byte* line, Take take) {
  check(simulation->watch.access(line, 16, AccessKind::read, own_touch()));
  Meeting& warp = own_warp();
  const int lane = simulation->running->index % warp_size;
  warp.places[lane] = line;
  meet(warp, warp_size, "load of matrices");
  for (int matrix = 0; matrix < 4; ++matrix)
    results[matrix] = take(lane, [&](int k) { return static_cast<const std::byte*>(warp.places[matrix * 8 + k]); });
  meet(warp, warp_size, "load of matrices");
  ++simulation->running->warp_time;
}

void load_plain(std::int32_t* results, const std::byte* line) {
  load_matrices(results, line, [](int lane, auto lines) {
    std::int32_t word = 0;
    std::memcpy(&word, lines(lane / 4) + lane % 4 * 4, 4);
    return word;
  });
}

void load_transposed(std::int32_t* results, const std::byte* line) {
  load_matrices(results, line, [](int lane, auto lines) {
    std::uint16_t halves[2];
    for (int k = 0; k < 2; ++k) std::memcpy(&halves[k], lines(lane % 4 * 2 + k) + lane / 4 * 2, 2);
    return static_cast<std::int32_t>(halves[0] | static_cast<std::uint32_t>(halves[1]) << 16);
  });
}

// The fragments that a lane brings to a product of matrices.
struct Fragments {
  std::int32_t left[4], right[2];
  float sums[4];
};

float factor_tf32(std::int32_t word, int) { return std::bit_cast<float>(word); }
float factor_bf16(std::int32_t word, int half) {
  const auto bits = static_cast<std::uint32_t>(word);
  return std::bit_cast<float>(half == 0 ? bits << 16 : bits & 0xFFFF0000U);
}
float factor_f16(std::int32_t word, int half) {
  auto bits = static_cast<std::uint16_t>(static_cast<std::uint32_t>(word) >> (16 * half));
  return static_cast<float>(floating_at("f16", reinterpret_cast<const std::byte*>(&bits)));
}

// PTX's mma.sync of 16 x 8 sums: `in_word` factors in a word, 8 words along the depth.
template <float factor(std::int32_t word, int half), int in_word>
void multiply(float* results, const Fragments& own) {
  Meeting& warp = own_warp();
  const int lane = simulation->running->index % warp_size;
  warp.places[lane] = &own;
  meet(warp, warp_size, "product of matrices");
  auto of = [&](int other) { return static_cast<const Fragments*>(warp.places[other]); };
  for (int k = 0; k < 4; ++k) {
    const int row = lane / 4 + k / 2 * 8, column = lane % 4 * 2 + k % 2;
    float sum = own.sums[k];
    for (int word = 0; word < 8; ++word)
      for (int half = 0; half < in_word; ++half)
        sum += factor(of(row % 8 * 4 + word % 4)->left[row / 8 + word / 4 * 2], half) *
               factor(of(column * 4 + word % 4)->right[word / 4], half);
    results[k] = sum;
  }
  meet(warp, warp_size, "product of matrices");
  ++simulation->running->warp_time;
}

std::uint64_t matrix_place(const std::byte* at, std::int32_t leading, std::int32_t stride) {
  const auto offset = static_cast<std::uint64_t>(at - simulation->block.shared);
  return std::uint64_t{1} << 62 | static_cast<std::uint64_t>(stride >> 4) << 32 | static_cast<std::uint64_t>(leading >> 4) << 16 |
         offset >> 4;
}

// An operand of a product as its word says.
struct WideOperand {
  std::int64_t start, leading, stride;
  bool across;
  WideOperand(std::uint64_t place, bool across)
      : start(static_cast<std::int64_t>(place & 0x3FFF) << 4),
        leading(static_cast<std::int64_t>(place >> 16 & 0x3FFF) << 4),
        stride(static_cast<std::int64_t>(place >> 32 & 0x3FFF) << 4),
        across(across) {}
  // Of line i and place k of the depth, in shared memory.
  std::int64_t at(std::int64_t i, std::int64_t k) const {
    return permuted(
        start + (across ? i / 64 * leading + k / 8 * stride + k % 8 * box_line + i % 64 * 2 : i / 8 * stride + i % 8 * box_line + k * 2));
  }
  // The lines of 128 bytes that `lines` lines of it are in.
  template <class Each>
  void each_range(std::int64_t lines, Each each) const {
    const std::int64_t first = start / box_line * box_line;
    if (across)
      for (std::int64_t block = 0; block * 64 < lines; ++block)
        for (std::int64_t k = 0; k < 16; k += 8) each(first + block * leading + k / 8 * stride, 8 * box_line);
    else
      for (std::int64_t group = 0; group * 8 < lines; ++group) each(first + group * stride, 8 * box_line);
  }
};

void begin_products() {}

void begin_reading(const WideOperand& operand, std::int64_t lines) {
  Simulation& s = *simulation;
  const Thread& self = *s.running;
  operand.each_range(lines, [&](std::int64_t at, std::int64_t bytes) {
    check(s.watch.read_untraced(s.block.shared + at, bytes, true));
    s.block.readings.push_back({s.block.shared + at, s.block.shared + at + bytes, self.index / warp_size, self.product_groups});
  });
}

void multiply_wide(std::int32_t kind, std::int32_t columns, std::int32_t left_across, std::int32_t right_across, std::int32_t is_first,
                   float* sums, std::uint64_t left, std::uint64_t right) {
  Thread& self = *simulation->running;
  meet(own_warp(), warp_size, "wide product");
  if (self.index % warp_size == 0) {
    begin_reading({left, left_across != 0}, 64);
    begin_reading({right, right_across != 0}, columns);
  }
  self.products.push_back({kind, columns, left_across != 0, right_across != 0, is_first != 0, sums, left, right, self.product_groups});
}

// Lanes of a quad have the words of a row: of each 8 places of the depth two neighbours.
void multiply_wide_held(std::int32_t kind, std::int32_t columns, std::int32_t, std::int32_t right_across, std::int32_t is_first,
                        float* sums, std::int32_t a0, std::int32_t a1, std::int32_t a2, std::int32_t a3, std::uint64_t right) {
  Thread& self = *simulation->running;
  const std::int32_t own[] = {a0, a1, a2, a3};
  Meeting& warp = own_warp();
  const int lane = self.index % warp_size;
  warp.places[lane] = own;
  meet(warp, warp_size, "wide product");
  WideMultiply product{kind, columns, false, right_across != 0, is_first != 0, sums, 0, right, self.product_groups};
  product.held.emplace();
  for (std::size_t row = 0; row < 2; ++row)
    for (std::size_t k = 0; k < 16; ++k) {
      const auto* words = static_cast<const std::int32_t*>(warp.places[static_cast<std::size_t>(lane) / 4 * 4 + k % 8 / 2]);
      const std::int32_t word = words[row + k / 8 * 2];
      const int half = static_cast<int>(k % 2);
      (*product.held)[row][k] = kind == bf16_kind ? factor_bf16(word, half) : factor_f16(word, half);
    }
  meet(warp, warp_size, "wide product");  // nobody's next words before all have read
  if (lane == 0) begin_reading({right, right_across != 0}, columns);
  self.products.push_back(product);
}

void hold_until_known(float, float, float*) {}

void read_quad(float* results, const std::byte* shared) {
  check(simulation->watch.access(shared, 16, AccessKind::read, own_touch()));
  std::memcpy(results, shared, 16);
}

void commit_products() { ++simulation->running->product_groups; }

// A thread has, of each 8 columns, two neighbours of its row, and two of the row 8 below.
template <float factor(std::int32_t word, int half)>
void finish(const WideMultiply& product, int thread) {
  const std::byte* shared = simulation->block.shared;
  auto element = [&](std::int64_t at) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, shared + at, 2);
    return factor(bits, 0);
  };
  const WideOperand left(product.left, product.left_across), right(product.right, product.right_across);
  std::array<std::array<float, 16>, 2> rows = product.held.value_or(std::array<std::array<float, 16>, 2>{});
  const int row = thread / warp_size * 16 + thread % warp_size / 4;
  for (std::size_t half = 0; half < 2 && !product.held; ++half)
    for (std::size_t k = 0; k < 16; ++k) rows[half][k] = element(left.at(row + 8 * static_cast<int>(half), static_cast<std::int64_t>(k)));
  if (product.is_first) std::fill_n(product.sums, product.columns / 2, 0.0F);
  for (int column = 0; column < product.columns; column += 8)
    for (int one = 0; one < 2; ++one)
      for (std::size_t k = 0; k < 16; ++k) {
        const float there = element(right.at(column + thread % 4 * 2 + one, static_cast<std::int64_t>(k)));
        for (int half = 0; half < 2; ++half) product.sums[column / 2 + 2 * half + one] += rows[static_cast<std::size_t>(half)][k] * there;
      }
}

void wait_for_products(std::int32_t still, float*, std::int32_t) {
  Simulation& s = *simulation;
  Thread& self = *s.running;
  auto landed = [&](std::uint32_t group) { return group + static_cast<std::uint32_t>(still) < self.product_groups; };
  for (const WideMultiply& product : self.products) {
    if (!landed(product.group)) continue;
    constexpr int warpgroup = 128;
    product.kind == bf16_kind ? finish<factor_bf16>(product, self.index % warpgroup) : finish<factor_f16>(product, self.index % warpgroup);
  }
  std::erase_if(self.products, [&](const WideMultiply& product) { return landed(product.group); });
  meet(own_warp(), warp_size, "wait for products");
  ++self.warp_time;
  if (self.index % warp_size == 0)
    std::erase_if(s.block.readings, [&](const Reading& each) { return each.warp == self.index / warp_size && landed(each.group); });
}

using Word = std::int32_t;
void multiply_tf32(float* results, Word a0, Word a1, Word a2, Word a3, Word b0, Word b1, float c0, float c1, float c2, float c3) {
  multiply<factor_tf32, 1>(results, {{a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}});
}
void multiply_bf16(float* results, Word a0, Word a1, Word a2, Word a3, Word b0, Word b1, float c0, float c1, float c2, float c3) {
  multiply<factor_bf16, 2>(results, {{a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}});
}
void multiply_f16(float* results, Word a0, Word a1, Word a2, Word a3, Word b0, Word b1, float c0, float c1, float c2, float c3) {
  multiply<factor_f16, 2>(results, {{a0, a1, a2, a3}, {b0, b1}, {c0, c1, c2, c3}});
}

Word pack_bf16(float low, float high) {
  const float both[] = {low, high};
  Word word = 0;
  convert_elements("f32", reinterpret_cast<const std::byte*>(both), "bf16", reinterpret_cast<std::byte*>(&word), 2);
  return word;
}

}  // namespace

Builtins product_builtins() {
  return {{"heed.load_matrices", pointer_to(load_plain)},          {"heed.load_matrices_transposed", pointer_to(load_transposed)},
          {"heed.multiply_tf32", pointer_to(multiply_tf32)},       {"heed.multiply_bf16", pointer_to(multiply_bf16)},
          {"heed.multiply_f16", pointer_to(multiply_f16)},         {"heed.pack_bf16", pointer_to(pack_bf16)},
          {"heed.matrix_place", pointer_to(matrix_place)},         {"heed.begin_products", pointer_to(begin_products)},
          {"heed.multiply_wide", pointer_to(multiply_wide)},       {"heed.multiply_wide_held", pointer_to(multiply_wide_held)},
          {"heed.hold_until_known", pointer_to(hold_until_known)}, {"heed.read_quad", pointer_to(read_quad)},
          {"heed.commit_products", pointer_to(commit_products)},   {"heed.wait_for_products", pointer_to(wait_for_products)}};
}

}  // namespace heed::simulated
