// Warps multiply by the tensor cores (mma.sync). Slices lie in shared memory as lines along the depth, 64 bytes of each, so that ldmatrix
// brings the fragments of both operands as they are; a line's 80 bytes keep its reads free of conflicts of banks.
#include <llvm/IR/IRBuilder.h>

#include <algorithm>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/product_engine.h"
#include "codegen/cuda/warp_tile.h"

namespace heed {
namespace {

constexpr std::int64_t line_bytes = 64, pitch = 80, step_bytes = 32;  // a step: 16 factors of 16 bits, or 8 of tf32
constexpr std::int64_t words = line_bytes / 4;

class TensorCores : public BufferedEngine {
 public:
  explicit TensorCores(const ProductTile& tile) : BufferedEngine(tile), warps_(tile), in_word_(s.precision == Precision::tf32 ? 1 : 2) {
    auto registers = [&](std::int64_t count) {
      std::vector<llvm::AllocaInst*> made;
      for (std::int64_t k = 0; k < count; ++k)
        made.push_back(t.e.make_register(b().getFloatTy(), llvm::ConstantFP::get(b().getFloatTy(), 0)));
      return made;
    };
    a_ = registers(s.tile.rows * words / block_threads * in_word_);
    b_ = registers(s.tile.columns * words / block_threads * in_word_);
  }

  void fetch(llvm::Value* begin) override {
    auto take = [&](bool is_a, std::int64_t lines, Along along, const std::vector<llvm::AllocaInst*>& into) {
      for (std::size_t k = 0; k < into.size(); ++k) {
        auto element = static_cast<std::int64_t>(k);
        auto [line, word] = place(element / in_word_, lines, along);
        t.e.set(into[k], t.operand(is_a, line, begin, plus(times(word, in_word_), number(element % in_word_))));
      }
    };
    take(true, s.tile.rows, s.a_along, a_);
    take(false, s.tile.columns, s.b_along, b_);
  }

  void keep(llvm::Value* which) override {
    auto put = [&](const std::vector<llvm::AllocaInst*>& values, std::int64_t lines, Along along, std::int64_t start) {
      for (std::size_t k = 0; k < values.size(); k += static_cast<std::size_t>(in_word_)) {
        auto [line, word] = place(static_cast<std::int64_t>(k) / in_word_, lines, along);
        llvm::Value* at = plus(times(plus(line, number(start)), pitch), times(word, 4));
        b().CreateAlignedStore(packed(values, k), shared(plus(times(which, slice_bytes()), at)), llvm::Align(4));
      }
    };
    put(a_, s.tile.rows, s.a_along, 0);
    put(b_, s.tile.columns, s.b_along, s.tile.rows);
  }

  void multiply(llvm::Value* which) override {
    llvm::Value* slice = times(which, slice_bytes());
    // Of an operand's lines `first` …: one matrix of 8 lines and 16 bytes for each 8 lanes.
    auto load = [&](llvm::Value* first, llvm::Value* line, llvm::Value* chunk, std::int64_t step) {
      llvm::Value* at = plus(times(plus(first, line), pitch), plus(times(chunk, 16), number(step * step_bytes)));
      return load_matrices(b(), shared(plus(slice, at)));
    };
    llvm::Value* lane = warps_.lane();
    std::vector<std::vector<llvm::Value*>> b_parts;  // of each 8 columns: two words a step
    for (std::int64_t j = 0; j < warps_.wide(); ++j) {
      llvm::Value* first = plus(warps_.first_column(), number(s.tile.rows + j * 8));
      b_parts.push_back(load(first, b().CreateURem(lane, number(8)), b().CreateUDiv(lane, number(8)), 0));
    }
    std::vector<llvm::Value*> sums = warps_.sums();
    for (std::int64_t step = 0; step < line_bytes / step_bytes; ++step)
      for (std::int64_t i = 0; i < warps_.tall(); ++i) {
        llvm::Value* first = plus(warps_.first_row(), number(i * 16));
        auto a = load(first, b().CreateURem(lane, number(16)), b().CreateUDiv(lane, number(16)), step);
        for (std::int64_t j = 0; j < warps_.wide(); ++j) {
          const auto at = sums.begin() + (i * warps_.wide() + j) * 4;
          const auto& part = b_parts[static_cast<std::size_t>(j)];
          auto next = multiply_matrices(
              b(), kind(), a, {part[static_cast<std::size_t>(2 * step)], part[static_cast<std::size_t>(2 * step + 1)]}, {at, at + 4});
          std::ranges::copy(next, at);
        }
      }
    warps_.set_sums(sums);
  }

  void stage(std::int64_t group) override { warps_.stage(group); }

 private:
  llvm::IRBuilderBase& b() { return t.e.builder(); }
  llvm::Value* number(std::int64_t value) { return t.e.number(value); }
  llvm::Value* plus(llvm::Value* x, llvm::Value* y) { return b().CreateAdd(x, y); }
  llvm::Value* times(llvm::Value* x, std::int64_t y) { return b().CreateMul(x, number(y)); }
  llvm::Value* shared(llvm::Value* bytes) { return b().CreateGEP(b().getInt8Ty(), shared_memory(b()), bytes); }
  std::int64_t slice_bytes() const { return (s.tile.rows + s.tile.columns) * pitch; }
  MatrixKind kind() const {
    return s.precision == Precision::tf32 ? MatrixKind::tf32 : s.precision == Precision::bf16 ? MatrixKind::bf16 : MatrixKind::f16;
  }

  // Where in a slice this thread's word `k` of an operand is: its line, and its place in it.
  std::pair<llvm::Value*, llvm::Value*> place(std::int64_t k, std::int64_t lines, Along along) {
    std::int64_t fast = along == Along::depth ? words : lines, step = block_threads / fast;
    llvm::Value* inner = b().CreateURem(t.thread, number(fast));
    llvm::Value* outer = plus(b().CreateUDiv(t.thread, number(fast)), number(k * step));
    return along == Along::depth ? std::pair(outer, inner) : std::pair(inner, outer);
  }

  llvm::Value* packed(const std::vector<llvm::AllocaInst*>& values, std::size_t k) {
    llvm::Value* low = t.e.get(values[k]);
    if (s.precision == Precision::tf32) {  // 10 bits after the point, to nearest
      llvm::Value* bits = b().CreateBitCast(low, b().getInt32Ty());
      return b().CreateAnd(b().CreateAdd(bits, b().getInt32(0x1000)), b().getInt32(0xFFFFE000U));
    }
    return pack_halves(b(), kind(), low, t.e.get(values[k + 1]));
  }

  WarpTile warps_;
  std::int64_t in_word_;
  std::vector<llvm::AllocaInst*> a_, b_;
};

}  // namespace

std::unique_ptr<ProductEngine> tensor_core_engine(const ProductTile& tile) { return std::make_unique<TensorCores>(tile); }

std::int64_t tensor_core_bytes(const GpuProductSchedule& s) {
  return std::max(2 * (s.tile.rows + s.tile.columns) * pitch, s.staged_rows() * s.staged_line() * 4);
}

}  // namespace heed
