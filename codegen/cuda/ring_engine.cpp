// Warps multiply by the tensor cores what copies that go on meanwhile have put into a ring of slices in shared memory. Operands lie there
// as in memory: lines along the depth, or lines of one place of the depth, which ldmatrix transposes.
#include <llvm/IR/IRBuilder.h>

#include <algorithm>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/product_engine.h"
#include "codegen/cuda/shared_tile.h"
#include "codegen/cuda/warp_tile.h"
#include "codegen/tile/emitter_state.h"

namespace heed {
namespace {

constexpr std::int64_t step = 16;     // of the depth, of one mma.sync
constexpr std::int64_t in_chunk = 8;  // elements

SharedTile tile_of(std::int64_t lines, Along along, std::int64_t depth) {
  return along == Along::depth ? SharedTile{lines, depth / in_chunk} : SharedTile{depth, lines / in_chunk};
}

// An operand on its way.
struct Stream {
  StoredLines of;
  SharedTile tile;
  std::int64_t start;                      // bytes from the start of a slot
  std::vector<TileShare> shares;           // of this thread
  std::vector<llvm::AllocaInst*> sources;  // of this thread's shares of one slice
  llvm::Value* own_place = nullptr;        // i32: this thread's first place in the depth of a slice
  llvm::Value* present = nullptr;          // i32: bytes of this thread's chunks that exist where lines end inside of chunks
  llvm::Value* base = nullptr;             // i32: bytes from the start of a slot to where this lane's first fragment is
};

class Ring : public ProductEngine {
 public:
  explicit Ring(const ProductTile& tile) : t(tile), s(tile.s), warps_(tile), thread_(b().CreateTrunc(t.thread, b().getInt32Ty())) {
    a_ = stream(t.a, s.tile.rows, 0);
    b_ = stream(t.b, s.tile.columns, a_.tile.bytes());
    // What ldmatrix brings first: of a, 16 rows by 16 of the depth; of b, 16 columns. Their quarters follow each other differently.
    llvm::Value* lane = b().CreateTrunc(warps_.lane(), b().getInt32Ty());
    llvm::Value *low = b().CreateURem(lane, word(8)), *first_bit = b().CreateURem(b().CreateUDiv(lane, word(8)), word(2)),
                *second_bit = b().CreateUDiv(lane, word(16));
    a_.base = base(a_, warps_.first_row(), low, first_bit, second_bit);
    b_.base = base(b_, warps_.first_column(), low, second_bit, first_bit);
  }

  void accumulate() override {
    const std::int64_t slices = s.slices_of_part(), turns = slices / s.ring, rest = slices % s.ring;
    for (std::int64_t ahead = 0; ahead < s.ring - 1; ++ahead) {
      if (ahead < slices) request(ahead, t.e.number(0), ahead);
      commit_copies(b());
    }
    for (Stream* each : {&a_, &b_}) advance(*each, s.ring - 1);
    sources_at_ = s.ring - 1;
    if (turns > 0) {
      llvm::Value* turn = t.e.open_counter(t.e.number(0), t.e.number(turns * s.ring), s.ring);
      std::vector<llvm::Value*> sums = warps_.sums();
      for (std::int64_t slot = 0; slot < s.ring; ++slot) {
        next_slice(static_cast<int>(s.ring - 2));
        request((slot + s.ring - 1) % s.ring, turn, slot + s.ring - 1);
        commit_copies(b());
        multiply(slot, sums);
      }
      warps_.set_sums(sums);
      for (Stream* each : {&a_, &b_}) advance(*each, s.ring);
      t.e.close_loop();
    }
    std::vector<llvm::Value*> sums = warps_.sums();
    for (std::int64_t slot = 0; slot < rest; ++slot) {
      next_slice(static_cast<int>(std::max<std::int64_t>(0, s.ring - 2 - slot)));
      multiply(slot, sums);
    }
    warps_.set_sums(sums);
    next_slice(0);
  }

  void stage(std::int64_t group) override { warps_.stage(group); }

 private:
  llvm::IRBuilderBase& b() { return t.e.builder(); }
  llvm::Value* word(std::int64_t value) { return b().getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* narrow(llvm::Value* x) { return b().CreateTrunc(x, b().getInt32Ty()); }
  llvm::Value* shared(llvm::Value* place, std::int64_t further) {
    llvm::Value* at = b().CreateGEP(b().getInt8Ty(), shared_memory(b()), b().CreateZExt(place, b().getInt64Ty()));
    return b().CreateConstInBoundsGEP1_64(b().getInt8Ty(), at, static_cast<std::uint64_t>(further));
  }
  std::int64_t slot_bytes() const { return a_.tile.bytes() + b_.tile.bytes(); }

  // All threads' copies for the next slice have landed, and nobody reads the slot before it any more.
  void next_slice(int under_way) {
    wait_for_copies(b(), under_way);
    block_barrier(b());
  }

  Stream stream(const StoredLines& of, std::int64_t lines, std::int64_t start) {
    Stream out{of, tile_of(lines, of.operand->along, s.depth), start};
    out.shares = tile_shares(b(), out.tile, thread_, block_threads);
    const bool along_depth = of.operand->along == Along::depth;
    llvm::Value* chunk = b().CreateMul(out.shares[0].chunk, word(in_chunk));
    out.own_place = along_depth ? chunk : out.shares[0].line;
    if (!along_depth && of.count % in_chunk != 0) {
      llvm::Value* left = b().CreateSub(word(of.count), b().CreateAdd(narrow(of.first), chunk));
      out.present = bytes_of(left);
    } else if (!along_depth && of.count % lines != 0) {
      llvm::Value* exists = b().CreateICmpSLT(b().CreateAdd(narrow(of.first), chunk), word(of.count));
      out.present = b().CreateSelect(exists, word(chunk_bytes), word(0));
    }
    for (const TileShare& share : out.shares) {
      t.e.open_counter(t.e.number(0), t.e.number(1));  // runs once: a binding of its own
      llvm::Value* line = b().CreateZExt(share.line, b().getInt64Ty());
      llvm::Value* in_line = b().CreateMul(b().CreateZExt(share.chunk, b().getInt64Ty()), t.e.number(in_chunk));
      llvm::Value *index = b().CreateAdd(of.first, along_depth ? line : in_line), *last = t.e.number(of.count - 1);
      if (of.count % lines != 0) index = b().CreateBinaryIntrinsic(llvm::Intrinsic::smin, index, last);  // beyond: anything
      if (!along_depth) index = b().CreateUDiv(index, t.e.number(in_chunk));
      t.e.bind_axis(of.operand->line, index);
      llvm::Value* element = t.e.address_of(of.operand->lines);
      llvm::Value* inside = along_depth ? in_line : b().CreateMul(line, t.e.number(of.operand->pitch));
      element = b().CreateAdd(element, inside);
      if (auto step = of.operand->slice_step()) element = b().CreateAdd(element, b().CreateMul(t.first_slice, t.e.number(*step)));
      llvm::Value* source = b().CreateGEP(b().getInt16Ty(), t.e.buffer(of.operand->read->array), element);
      t.e.close_loop();
      out.sources.push_back(t.e.make_register(b().getPtrTy(), source));
    }
    return out;
  }

  // Bytes of a chunk of which so many elements and those after them exist.
  llvm::Value* bytes_of(llvm::Value* elements) {
    llvm::Value* least = b().CreateBinaryIntrinsic(llvm::Intrinsic::smax, elements, word(0));
    return b().CreateMul(b().CreateBinaryIntrinsic(llvm::Intrinsic::smin, least, word(in_chunk)), word(2));
  }

  // Begins to copy slice turn + ahead; `turn` counts slices of this part.
  void request(std::int64_t slot, llvm::Value* turn, std::int64_t ahead) {
    for (Stream* each : {&a_, &b_}) {
      const StoredOperand& operand = *each->of.operand;
      const bool along_depth = operand.along == Along::depth;
      // The depth that is left from the beginning of the turn on.
      llvm::Value* first = narrow(b().CreateAdd(t.first_slice, turn));
      llvm::Value* left = b().CreateSub(word(s.k), b().CreateMul(first, word(s.depth)));
      if (s.k % s.depth != 0) left = b().CreateSub(left, each->own_place);
      llvm::Value* further = nullptr;
      std::optional<std::int64_t> step = operand.slice_step();
      if (!step) {
        t.e.open_counter(t.e.number(0), t.e.number(1));
        t.e.bind_axis(operand.slice, b().CreateAdd(t.first_slice, b().CreateAdd(turn, t.e.number(ahead))));
        further = t.e.address_of(operand.slices);
        t.e.close_loop();
      }
      for (std::size_t k = 0; k < each->shares.size(); ++k) {
        const TileShare& share = each->shares[k];
        // Shares lie below each other; along the depth all have the same place in it.
        const std::int64_t below = along_depth || s.k % s.depth == 0 ? 0 : static_cast<std::int64_t>(k) * block_threads / each->tile.chunks;
        llvm::Value* present = each->present ? each->present : word(chunk_bytes);
        if (along_depth && s.k % in_chunk != 0)
          present = bytes_of(b().CreateSub(left, word(ahead * s.depth)));
        else
          present = b().CreateSelect(b().CreateICmpSGT(left, word(ahead * s.depth + below)), present, word(0));
        llvm::Value* from = t.e.get(each->sources[k]);
        from = b().CreateGEP(b().getInt16Ty(), from, step ? t.e.number((ahead - sources_at_) * *step) : further);
        copy_async(b(), shared(share.place, slot * slot_bytes() + each->start), from, chunk_bytes, present);
      }
    }
  }

  void advance(Stream& each, std::int64_t slices) {
    std::optional<std::int64_t> step = each.of.operand->slice_step();
    if (!step) return;
    for (llvm::AllocaInst* source : each.sources) {
      llvm::Value* next = b().CreateGEP(b().getInt16Ty(), t.e.get(source), t.e.number(slices * *step));
      t.e.set(source, hidden(b(), next));
    }
  }

  // Of the 16 lines and 16 places of the depth from `first` (i64) on, this lane's line of eight; the bits say which half of either it is
  // in.
  llvm::Value* base(const Stream& of, llvm::Value* first, llvm::Value* low, llvm::Value* line_bit, llvm::Value* depth_bit) {
    llvm::Value* start = narrow(first);
    auto plus = [&](llvm::Value* x, llvm::Value* y) { return b().CreateAdd(x, y); };
    llvm::Value* place =
        of.of.operand->along == Along::depth
            ? tile_place(b(), of.tile, plus(plus(start, low), b().CreateMul(line_bit, word(8))), depth_bit)
            : tile_place(b(), of.tile, plus(low, b().CreateMul(depth_bit, word(8))), plus(b().CreateUDiv(start, word(in_chunk)), line_bit));
    return plus(place, word(of.start));
  }

  // The 16 lines from 16 * index of the warp on, at a step of a slice's depth.
  std::vector<llvm::Value*> fragment(const Stream& of, std::int64_t slot, std::int64_t index, std::int64_t at) {
    const bool along_depth = of.of.operand->along == Along::depth;
    const std::int64_t lines = along_depth ? 16 * index : step * at, chunks = 2 * (along_depth ? at : index);
    llvm::Value* place = moved_place(b(), of.tile, of.base, 0, chunks % of.tile.group());
    const std::int64_t further = lines * of.tile.line_bytes() + chunks / of.tile.group() * of.tile.group() * chunk_bytes;
    return load_matrices(b(), shared(place, slot * slot_bytes() + further), !along_depth);
  }

  void multiply(std::int64_t slot, std::vector<llvm::Value*>& sums) {
    const MatrixKind kind = s.precision == Precision::bf16 ? MatrixKind::bf16 : MatrixKind::f16;
    for (std::int64_t at = 0; at < s.depth / step; ++at) {
      std::vector<std::vector<llvm::Value*>> left;
      for (std::int64_t i = 0; i < warps_.tall(); ++i) left.push_back(fragment(a_, slot, i, at));
      for (std::int64_t j = 0; j < warps_.wide(); j += 2) {
        std::vector<llvm::Value*> right = fragment(b_, slot, j / 2, at);
        for (std::int64_t half = 0; half < 2; ++half)
          for (std::int64_t i = 0; i < warps_.tall(); ++i) {
            const auto first = sums.begin() + (i * warps_.wide() + j + half) * 4;
            auto next = multiply_matrices(b(), kind, left[static_cast<std::size_t>(i)],
                                          {right[static_cast<std::size_t>(2 * half)], right[static_cast<std::size_t>(2 * half + 1)]},
                                          {first, first + 4});
            std::ranges::copy(next, first);
          }
      }
    }
  }

  ProductTile t;
  const GpuProductSchedule& s;
  WarpTile warps_;
  llvm::Value* thread_;
  Stream a_, b_;
  std::int64_t sources_at_ = 0;  // slices from the turn's first
};

}  // namespace

std::unique_ptr<ProductEngine> ring_engine(const ProductTile& tile) { return std::make_unique<Ring>(tile); }

std::int64_t ring_bytes(const GpuProductSchedule& s) {
  return std::max(s.ring * (s.tile.rows + s.tile.columns) * s.depth * 2, s.staged_rows() * s.staged_line() * 4);
}

}  // namespace heed
