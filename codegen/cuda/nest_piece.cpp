// Each thread runs the sweeps of its row, or its part of them, in scalar code; sums go through shuffles within a warp and through
// shared memory between warps, in an order that depends on the nest alone.
#include "codegen/cuda/nest_piece.h"

#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <memory>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/target.h"
#include "codegen/tile/emitter_state.h"
#include "codegen/tile/reduce.h"

namespace heed {
namespace {

constexpr std::int64_t slot_bytes = 8;
constexpr int warps = block_threads / warp_threads;

// Threads that reduce one row are in several warps.
bool crosses_warps(const Spread& spread) {
  return spread.along > (spread.rows_adjacent ? warp_threads / std::min(spread.rows, warp_threads) : warp_threads);
}

class NestWriter {
 public:
  NestWriter(llvm::Module& module, const KernelFrame& frame, const Nest& nest, const Accesses& accesses, VectorShape shape)
      : e_(module, frame, accesses, shape), nest_(nest), spread_(nest.spread) {}

  void emit() {
    llvm::Value* row = place_thread();
    // Threads of a row come together: then those without a row do the last one's reductions once more. Else they do nothing. What depends
    // on no row is made by all before that, so where there is nothing else all come together.
    const bool has_work_of_rows =
        nest_.row_count() > 1 || std::ranges::any_of(nest_.sweeps, [](const Sweep& sweep) { return !sweep.axes.empty(); });
    are_alone_ = spread_.along == 1 && (!exists_ || has_work_of_rows);
    const bool alone = are_alone_ && exists_;
    if (alone) e_.open_if(exists_);
    bind_digits(nest_.rows, row, nest_.row_count());
    for (std::size_t k = 0; k < nest_.sweeps.size(); ++k) {
      if (k > 0 && spread_.along > 1) come_together();
      emit(nest_.sweeps[k]);
    }
    if (alone) e_.close_if();
    e_.finish();
  }

 private:
  llvm::IRBuilderBase& b() { return e_.builder(); }
  llvm::Value* word(std::int64_t value) { return b().getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* wide(llvm::Value* value) { return b().CreateZExt(value, b().getInt64Ty()); }

  // Which row and which part of its sweeps are this thread's.
  llvm::Value* place_thread() {
    thread_ = thread_index(b());
    llvm::Value* row = nullptr;
    if (spread_.rows_adjacent) {
      row = b().CreateURem(thread_, word(spread_.rows));
      along_ = b().CreateUDiv(thread_, word(spread_.rows));
    } else {
      row = b().CreateUDiv(thread_, word(spread_.along));
      along_ = b().CreateURem(thread_, word(spread_.along));
    }
    std::int64_t count = nest_.row_count();
    llvm::Value* index = b().CreateAdd(b().CreateMul(e_.task(), e_.number(spread_.rows)), wide(row));
    if (count % spread_.rows != 0) {
      exists_ = b().CreateICmpSLT(index, e_.number(count));
      index = b().CreateBinaryIntrinsic(llvm::Intrinsic::smin, index, e_.number(count - 1));
    }
    return index;
  }

  // The axes at a flat index; the last one varies fastest.
  void bind_digits(const std::vector<AxisRef>& axes, llvm::Value* index, std::int64_t count) {
    bool narrow = count <= std::int64_t{1} << 31;
    if (narrow) index = b().CreateTrunc(index, b().getInt32Ty());
    for (std::size_t k = axes.size(); k-- > 0;) {
      llvm::Value* size = narrow ? word(axes[k]->size) : e_.number(axes[k]->size);
      llvm::Value* digit = k == 0 ? index : b().CreateURem(index, size);
      if (k > 0) index = b().CreateUDiv(index, size);
      e_.bind_axis(axes[k], narrow ? wide(digit) : digit);
    }
  }

  void come_together() {
    if (crosses_warps(spread_))
      block_barrier(b());
    else
      warp_barrier(b());
  }

  void emit(const Sweep& sweep) {
    std::vector<Accumulator> accumulators;
    for (const Accumulation& each : sweep.accumulations) accumulators.emplace_back(e_, each.reduction, each.body->dtype, false);
    auto body = [&] {
      for (std::size_t k = 0; k < sweep.accumulations.size(); ++k) {
        e_.emit_checks(sweep.accumulations[k].body, 1);
        accumulators[k].add(sweep.accumulations[k].body, sweep.axes[0], 0, nullptr);
      }
      stores(sweep);
    };
    std::int64_t count = 1;
    for (AxisRef axis : sweep.axes) count *= axis->size;
    bool is_shared = !sweep.axes.empty() && spread_.along > 1;
    if (sweep.axes.empty()) {
      once_a_row(sweep);
    } else if (count > 0 && !is_shared) {
      for (AxisRef axis : sweep.axes) e_.open_loop(axis, axis->size);
      body();
      for (std::size_t k = 0; k < sweep.axes.size(); ++k) e_.close_loop();
    } else if (count > 0) {
      llvm::Value* first = wide(along_);
      llvm::Value* works = exists_;
      if (count < spread_.along) {
        llvm::Value* inside = b().CreateICmpSLT(first, e_.number(count));
        works = works ? b().CreateAnd(works, inside) : inside;
      }
      if (works) e_.open_if(works);
      bind_digits(fastest_last(sweep), e_.open_counter(first, e_.number(count), spread_.along), count);
      body();
      e_.close_loop();
      if (works) e_.close_if();
    }
    for (std::size_t k = 0; k < sweep.accumulations.size(); ++k) {
      if (is_shared) combine(accumulators[k]);
      e_.bind_array(sweep.accumulations[k].into, {accumulators[k].result()}, false);
    }
  }

  // One thread of the row stores, in place perhaps of what the others have read.
  void once_a_row(const Sweep& sweep) {
    if (are_alone_) return stores(sweep);
    std::vector<llvm::Value*> values = values_of(sweep);
    if (exists_)
      block_barrier(b());  // threads beyond the last row have read it, too
    else
      come_together();
    llvm::Value* stores = b().CreateICmpEQ(along_, word(0));
    e_.open_if(exists_ ? b().CreateAnd(stores, exists_) : stores);
    for (std::size_t k = 0; k < sweep.stores.size(); ++k) emit(sweep.stores[k], values[k]);
    e_.close_if();
  }

  static std::vector<AxisRef> fastest_last(const Sweep& sweep) {
    std::vector<AxisRef> axes = sweep.axes;
    auto fastest = std::ranges::find(axes, sweep.lane_axis);
    if (fastest != axes.end()) std::rotate(fastest, fastest + 1, axes.end());
    return axes;
  }

  // Every thread of a row gets the whole.
  void combine(Accumulator& total) {
    int step = spread_.rows_adjacent ? std::min(spread_.rows, warp_threads) : 1;  // lanes between threads of one row
    int lanes = spread_.rows_adjacent ? warp_threads : std::min(spread_.along, warp_threads);
    for (int mask = lanes / 2; mask >= step; mask /= 2) {
      std::vector<llvm::Value*> others;
      for (llvm::Value* part : total.parts()) others.push_back(shuffle_xor(b(), part, mask));
      total.merge_parts(others);
    }
    if (crosses_warps(spread_)) combine_warps(total, step);
  }

  // Slot [warp][lane % step]; the warps of a row are `apart` apart.
  void combine_warps(Accumulator& total, int step) {
    int apart = spread_.rows_adjacent ? std::max(1, spread_.rows / warp_threads) : 1;
    int of_a_row = spread_.rows_adjacent ? warps / apart : spread_.along / warp_threads;
    llvm::Value* lane = b().CreateURem(thread_, word(warp_threads));
    llvm::Value* warp = b().CreateUDiv(thread_, word(warp_threads));
    llvm::Value* inside = b().CreateURem(lane, word(step));
    auto slot = [&](llvm::Value* of_warp, std::size_t part, llvm::Type* type) {
      llvm::Value* index = b().CreateAdd(b().CreateMul(of_warp, word(step)), inside);
      index = b().CreateAdd(index, word(static_cast<std::int64_t>(part) * warps * warp_threads));
      llvm::Value* place = b().CreateGEP(b().getInt64Ty(), shared_memory(b()), wide(index));
      return std::pair(place, type);
    };
    block_barrier(b());  // nobody still reads what an earlier reduction left
    std::vector<llvm::Value*> parts = total.parts();
    e_.open_if(b().CreateICmpULT(lane, word(step)));
    for (std::size_t k = 0; k < parts.size(); ++k) {
      bool boolean = parts[k]->getType()->isIntegerTy(1);
      llvm::Value* value = boolean ? b().CreateZExt(parts[k], b().getInt8Ty()) : parts[k];
      b().CreateAlignedStore(value, slot(warp, k, value->getType()).first, llvm::Align(8));
    }
    e_.close_if();
    block_barrier(b());
    llvm::Value* first =
        spread_.rows_adjacent ? b().CreateURem(warp, word(apart)) : b().CreateMul(b().CreateUDiv(warp, word(of_a_row)), word(of_a_row));
    for (int other = 0; other < of_a_row; ++other) {
      llvm::Value* of_warp = b().CreateAdd(first, word(static_cast<std::int64_t>(other) * apart));
      std::vector<llvm::Value*> loaded;
      for (std::size_t k = 0; k < parts.size(); ++k) {
        bool boolean = parts[k]->getType()->isIntegerTy(1);
        llvm::Type* type = boolean ? b().getInt8Ty() : parts[k]->getType();
        llvm::Value* value = b().CreateAlignedLoad(type, slot(of_warp, k, type).first, llvm::Align(8));
        loaded.push_back(boolean ? b().CreateTrunc(value, b().getInt1Ty()) : value);
      }
      if (other == 0)
        total.set_parts(loaded);
      else
        total.merge_parts(loaded);
    }
  }

  // All values before any store: a store may be in place of what another value reads.
  void stores(const Sweep& sweep) {
    std::vector<llvm::Value*> values = values_of(sweep);
    for (std::size_t k = 0; k < sweep.stores.size(); ++k) emit(sweep.stores[k], values[k]);
  }
  std::vector<llvm::Value*> values_of(const Sweep& sweep) {
    std::vector<llvm::Value*> values;
    for (const NestStore& store : sweep.stores) {
      e_.emit_checks(store.value, 1);
      values.push_back(e_.emit(store.value));
    }
    return values;
  }

  void emit(const NestStore& store, llvm::Value* value) {
    if (!store.add) {
      e_.store_at(store.array->dtype, e_.buffer(store.array), store.address, value, 0);
      return;
    }
    e_.open_if(e_.emit_scalar(store.guard));
    llvm::Value* element = e_.state().scalar_sum(store.address, true);
    llvm::Value* old = e_.load(store.array->dtype, e_.buffer(store.array), element, false);
    llvm::Value* sum = is_floating(store.array->dtype) ? b().CreateFAdd(old, value) : b().CreateAdd(old, value);
    e_.store(store.array->dtype, e_.buffer(store.array), element, sum);
    e_.close_if();
  }

  Emitter e_;
  const Nest& nest_;
  Spread spread_;
  llvm::Value *thread_ = nullptr, *along_ = nullptr;
  llvm::Value* exists_ = nullptr;  // the thread's row; null: every thread has one
  bool are_alone_ = false;         // threads, each with its row
};

}  // namespace

VectorShape gpu_shape(bool is_shared) { return {.lanes = 1, .has_fma = true, .is_shared = is_shared, .block_threads = block_threads}; }

Piece nest_piece(Nest nest, FaultPlaces& places, bool is_shared) {
  auto kept = std::make_shared<Nest>(std::move(nest));
  auto accesses = std::make_shared<Accesses>(places);
  prepare_nest(*kept, *accesses);
  VectorShape shape = gpu_shape(is_shared);
  Piece piece;
  piece.key = text_of(*kept, *accesses, shape);
  piece.buffers = accesses->buffers();
  piece.tasks = kept->tasks;
  piece.shared_bytes = crosses_warps(kept->spread) ? 2 * warps * warp_threads * slot_bytes : 0;
  piece.emit = [kept, accesses, shape](llvm::Module& module, const KernelFrame& frame) {
    NestWriter(module, frame, *kept, *accesses, shape).emit();
  };
  return piece;
}

}  // namespace heed
