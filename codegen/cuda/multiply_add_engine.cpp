// Each thread multiplies a few lines of one slice with a few of the other, and keeps the sums in registers.
#include <llvm/IR/IRBuilder.h>

#include <algorithm>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/product_engine.h"

namespace heed {
namespace {

constexpr std::int64_t padding = 4;  // elements after each line of shared memory, against conflicts of banks
constexpr std::int64_t across = 16;  // threads along the columns of a tile, and along its rows

class MultiplyAdds : public BufferedEngine {
 public:
  explicit MultiplyAdds(const ProductTile& tile)
      : BufferedEngine(tile), bytes_(byte_size(tile.dtype)), micro_rows_(s.tile.rows / across), micro_columns_(s.tile.columns / across) {
    thread_column_ = b().CreateURem(t.thread, number(across));
    thread_row_ = b().CreateUDiv(t.thread, number(across));
    auto registers = [&](std::int64_t count) {
      std::vector<llvm::AllocaInst*> made;
      for (std::int64_t k = 0; k < count; ++k) made.push_back(t.e.make_register(element(), llvm::Constant::getNullValue(element())));
      return made;
    };
    sums_ = registers(micro_rows_ * micro_columns_);
    a_ = registers(s.tile.rows * s.depth / block_threads);
    b_ = registers(s.tile.columns * s.depth / block_threads);
  }

  void fetch(llvm::Value* begin) override {
    auto take = [&](bool is_a, std::int64_t lines, Along along, const std::vector<llvm::AllocaInst*>& into) {
      for (std::size_t k = 0; k < into.size(); ++k) {
        auto [line, inside] = place(static_cast<std::int64_t>(k), lines, along);
        t.e.set(into[k], t.operand(is_a, line, begin, inside));
      }
    };
    take(true, s.tile.rows, s.a_along, a_);
    take(false, s.tile.columns, s.b_along, b_);
  }

  void keep(llvm::Value* which) override {
    llvm::Value* slice = times(which, slice_elements());
    auto put = [&](const std::vector<llvm::AllocaInst*>& values, std::int64_t lines, Along along, std::int64_t line, std::int64_t start) {
      for (std::size_t k = 0; k < values.size(); ++k) {
        auto [at, inside] = place(static_cast<std::int64_t>(k), lines, along);
        llvm::Value* offset = plus(plus(times(inside, line), at), plus(slice, number(start)));
        b().CreateAlignedStore(t.e.get(values[k]), shared(offset), alignment(1));
      }
    };
    put(a_, s.tile.rows, s.a_along, a_line(), 0);
    put(b_, s.tile.columns, s.b_along, b_line(), s.depth * a_line());
  }

  void multiply(llvm::Value* which) override {
    llvm::Value* slice = times(which, slice_elements());
    for (std::int64_t k = 0; k < s.depth; ++k) {
      auto a = load(micro_rows_, s.tile.rows, thread_row_, plus(slice, number(k * a_line())));
      auto c = load(micro_columns_, s.tile.columns, thread_column_, plus(slice, number(s.depth * a_line() + k * b_line())));
      for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < c.size(); ++j) {
          llvm::AllocaInst* sum = sums_[i * c.size() + j];
          t.e.set(sum, b().CreateIntrinsic(llvm::Intrinsic::fma, {element()}, {a[i], c[j], t.e.get(sum)}));
        }
    }
  }

  void stage(std::int64_t group) override {
    for (std::int64_t i = 0; i < micro_rows_; ++i) {
      std::int64_t first = line_of(i, micro_rows_, s.tile.rows) - group * s.staged_rows();  // of thread row 0
      if (first < 0 || first >= s.staged_rows()) continue;
      for (std::int64_t j = 0; j < micro_columns_; ++j) {
        llvm::Value* row = plus(times(thread_row_, side_by_side(micro_rows_)), number(first));
        llvm::Value* column = plus(times(thread_column_, side_by_side(micro_columns_)), number(line_of(j, micro_columns_, s.tile.columns)));
        llvm::Value* sum = t.e.get(sums_[static_cast<std::size_t>(i * micro_columns_ + j)]);
        b().CreateAlignedStore(sum, shared(plus(times(row, s.staged_line()), column)), alignment(1));
      }
    }
  }

  std::int64_t slice_elements() const { return s.depth * (a_line() + b_line()); }

 private:
  llvm::IRBuilderBase& b() { return t.e.builder(); }
  llvm::Value* number(std::int64_t value) { return t.e.number(value); }
  llvm::Value* plus(llvm::Value* x, llvm::Value* y) { return b().CreateAdd(x, y); }
  llvm::Value* times(llvm::Value* x, std::int64_t y) { return b().CreateMul(x, number(y)); }
  llvm::Type* element() { return t.e.type_of(t.dtype, false); }
  llvm::Value* shared(llvm::Value* offset) { return b().CreateGEP(element(), shared_memory(b()), offset); }
  llvm::Align alignment(std::int64_t elements) const {
    return llvm::Align(static_cast<std::uint64_t>(std::min<std::int64_t>(16, elements * bytes_)));
  }
  std::int64_t a_line() const { return s.tile.rows + padding; }
  std::int64_t b_line() const { return s.tile.columns + padding; }

  // Lines that a thread has side by side; the next ones are half a tile away, so that vectors of neighbours lie side by side.
  static std::int64_t side_by_side(std::int64_t micro) { return std::min<std::int64_t>(4, micro); }
  static std::int64_t line_of(std::int64_t index, std::int64_t micro, std::int64_t lines) {
    std::int64_t group = side_by_side(micro);
    return index / group * (lines / (micro / group)) + index % group;
  }

  // Where in a slice this thread's element `k` of an operand is: its line, and its place in the depth.
  std::pair<llvm::Value*, llvm::Value*> place(std::int64_t k, std::int64_t lines, Along along) {
    std::int64_t fast = along == Along::depth ? s.depth : lines, step = block_threads / fast;
    llvm::Value* inner = b().CreateURem(t.thread, number(fast));
    llvm::Value* outer = plus(b().CreateUDiv(t.thread, number(fast)), number(k * step));
    return along == Along::depth ? std::pair(outer, inner) : std::pair(inner, outer);
  }

  std::vector<llvm::Value*> load(std::int64_t micro, std::int64_t lines, llvm::Value* thread, llvm::Value* line) {
    std::int64_t group = side_by_side(micro);
    auto* type = llvm::FixedVectorType::get(element(), static_cast<unsigned>(group));
    std::vector<llvm::Value*> values;
    for (std::int64_t first = 0; first < micro; first += group) {
      llvm::Value* offset = plus(line, plus(times(thread, group), number(line_of(first, micro, lines))));
      llvm::Value* vector = b().CreateAlignedLoad(type, shared(offset), alignment(group));
      for (std::int64_t k = 0; k < group; ++k) values.push_back(b().CreateExtractElement(vector, static_cast<std::uint64_t>(k)));
    }
    return values;
  }

  std::int64_t bytes_, micro_rows_, micro_columns_;
  llvm::Value *thread_row_ = nullptr, *thread_column_ = nullptr;
  std::vector<llvm::AllocaInst*> sums_, a_, b_;
};

}  // namespace

std::unique_ptr<ProductEngine> multiply_add_engine(const ProductTile& tile) { return std::make_unique<MultiplyAdds>(tile); }

std::int64_t multiply_add_bytes(const GpuProductSchedule& s, DType dtype) {
  std::int64_t slices = 2 * s.depth * (s.tile.rows + s.tile.columns + 2 * padding);
  return std::max(slices, s.staged_rows() * s.staged_line()) * byte_size(dtype);
}

}  // namespace heed
