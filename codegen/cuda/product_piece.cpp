// A block of threads computes a tile of the result: slices of both operands go through shared memory, two of each at a time, while the
// engine keeps sums in registers. Sums then go through shared memory once more, so that what follows the product is computed and stored
// along memory whatever thread the sum was in.
#include "codegen/cuda/product_piece.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <memory>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/nest_piece.h"
#include "codegen/cuda/product_engine.h"
#include "codegen/cuda/target.h"
#include "codegen/tile/emitter_state.h"
#include "codegen/tile/expression_text.h"
#include "codegen/tile/product_region.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr std::int64_t fewest_lines = 4;  // rows and columns of a product that is worth tiles

struct Prepared {
  FlatProduct product;
  GpuProductSchedule schedule;
  std::vector<StoredOperand> stored;  // a and b, where the schedule has a ring
  std::vector<TensorMap> maps;        // of both, where products are wide
  ArrayRef workspace = nullptr;       // sums of the parts: [part, batch, row, column]
  std::vector<LinearForm> addresses;
  bool rows_fastest = false;  // results lie side by side along the rows
  Accesses accesses;
  explicit Prepared(FaultPlaces& places) : accesses(places) {}
};

class Writer {
 public:
  Writer(llvm::Module& module, const KernelFrame& frame, const Prepared& prepared)
      : p(prepared), s(prepared.schedule), e(module, frame, prepared.accesses, gpu_shape(true)), maps_(frame.maps) {}

  void product() {
    decode_task();
    ProductTile tile{e,
                     s,
                     p.product.dtype,
                     thread_,
                     number(0),
                     number(s.slices()),
                     [this](bool is_a, llvm::Value* line, llvm::Value* begin, llvm::Value* inside) {
                       return is_a ? operand(p.product.a, p.product.row, s.m, s.tile.rows, first_row_, line, begin, inside)
                                   : operand(p.product.b, p.product.column, s.n, s.tile.columns, first_column_, line, begin, inside);
                     }};
    if (s.ring > 0) {
      tile.first_slice = times(part_, s.slices_of_part());
      tile.a = {&p.stored[0], first_row_, s.m}, tile.b = {&p.stored[1], first_column_, s.n};
      tile.batch = batch_, tile.maps = maps_;
    } else if (s.parts > 1) {
      tile.first_slice = b().CreateUDiv(times(part_, s.slices()), number(s.parts));
      tile.end_slice = b().CreateUDiv(times(plus(part_, number(1)), s.slices()), number(s.parts));
    }
    e.bind_axis(p.product.batch, batch_);
    auto engine = product_engine(tile);
    const std::int64_t groups = s.tile.rows / s.staged_rows();
    if (s.feeders() > 0) {
      llvm::Value* is_feeder = b().CreateICmpSLT(thread_, number(0));
      e.open_if(is_feeder);
      engine->feed();
      for (std::int64_t barrier = 0; barrier < 2 * groups - 1; ++barrier) block_barrier(b());  // the others' below
      e.close_if();
      e.open_if(b().CreateNot(is_feeder));
    }
    engine->accumulate();
    for (std::int64_t group = 0; group < groups; ++group) {
      if (group > 0) block_barrier(b());
      engine->stage(group);
      block_barrier(b());
      finish(group);
    }
    if (s.feeders() > 0) e.close_if();
    e.finish();
  }

  // Adds the sums of the parts in order, and maps the results.
  void combine() {
    std::int64_t count = s.batches * s.m * s.n;
    llvm::Value* index = plus(times(e.task(), block_threads), wide(thread_index(b())));
    e.open_if(b().CreateICmpSLT(index, number(count)));
    llvm::Value* column = b().CreateURem(index, number(s.n));
    llvm::Value* line = b().CreateUDiv(index, number(s.n));
    e.bind_axis(p.product.batch, b().CreateUDiv(line, number(s.m)));
    e.bind_axis(p.product.row, b().CreateURem(line, number(s.m)));
    e.bind_axis(p.product.column, column);
    llvm::AllocaInst* total = e.make_register(element(), llvm::Constant::getNullValue(element()));
    llvm::Value* part = e.open_counter(number(0), number(s.parts));
    llvm::Value* next = b().CreateLoad(element(), b().CreateGEP(element(), e.buffer(p.workspace), plus(times(part, count), index)));
    e.set(total, b().CreateFAdd(e.get(total), next));
    e.close_loop();
    store_outputs(e.get(total));
    e.close_if();
    e.finish();
  }

 private:
  llvm::IRBuilderBase& b() { return e.builder(); }
  llvm::Value* number(std::int64_t value) { return e.number(value); }
  llvm::Value* wide(llvm::Value* x) { return b().CreateZExt(x, b().getInt64Ty()); }
  llvm::Value* plus(llvm::Value* x, llvm::Value* y) { return b().CreateAdd(x, y); }
  llvm::Value* times(llvm::Value* x, std::int64_t y) { return b().CreateMul(x, number(y)); }
  llvm::Value* smaller(llvm::Value* x, llvm::Value* y) { return b().CreateBinaryIntrinsic(llvm::Intrinsic::smin, x, y); }
  llvm::Type* element() { return e.type_of(p.product.dtype, false); }
  llvm::Value* shared(llvm::Value* offset) { return b().CreateGEP(element(), shared_memory(b()), offset); }

  void decode_task() {
    llvm::Value* rest = e.task();
    auto digit = [&](std::int64_t size) { return e.take_digit(rest, size); };
    first_row_ = times(digit(s.row_tiles()), s.tile.rows);
    first_column_ = times(digit(s.column_tiles()), s.tile.columns);
    batch_ = digit(s.batches);
    part_ = rest;
    thread_ = b().CreateSub(wide(thread_index(b())), number(s.feeders()));
  }

  llvm::Value* operand(Expr x, AxisRef axis, std::int64_t lines, std::int64_t tile, llvm::Value* first, llvm::Value* line,
                       llvm::Value* begin, llvm::Value* inside) {
    e.open_counter(number(0), number(1));  // runs once: bindings of its own
    llvm::Value* index = plus(first, line);
    if (lines % tile != 0) index = smaller(index, number(lines - 1));  // sums of lines beyond are not stored
    e.bind_axis(axis, index);
    llvm::Value* depth = plus(begin, inside);
    llvm::Value* exists = s.k % s.depth != 0 ? b().CreateICmpSLT(depth, number(s.k)) : nullptr;
    e.bind_axis(p.product.depth, exists ? smaller(depth, number(s.k - 1)) : depth);
    e.emit_checks(x);
    llvm::Value* value = e.emit_scalar(x);
    if (exists) value = b().CreateSelect(exists, value, llvm::Constant::getNullValue(value->getType()));
    e.close_loop();
    return value;
  }

  // Sums that are in shared memory go through the maps to where they are stored.
  void finish(std::int64_t group) {
    llvm::Value* index = e.open_counter(thread_, number(s.staged_rows() * s.tile.columns), block_threads);
    std::int64_t fast = p.rows_fastest ? s.staged_rows() : s.tile.columns;
    llvm::Value *inner = b().CreateURem(index, number(fast)), *outer = b().CreateUDiv(index, number(fast));
    llvm::Value *staged_row = p.rows_fastest ? inner : outer, *staged_column = p.rows_fastest ? outer : inner;
    llvm::Value* row = plus(first_row_, plus(staged_row, number(group * s.staged_rows())));
    llvm::Value* column = plus(first_column_, staged_column);
    llvm::Value* exists = nullptr;
    if (s.m % s.tile.rows != 0) exists = b().CreateICmpSLT(row, number(s.m));
    if (s.n % s.tile.columns != 0) {
      llvm::Value* inside = b().CreateICmpSLT(column, number(s.n));
      exists = exists ? b().CreateAnd(exists, inside) : inside;
    }
    if (exists) e.open_if(exists);
    e.bind_axis(p.product.row, row);
    e.bind_axis(p.product.column, column);
    llvm::Value* sum = b().CreateAlignedLoad(element(), shared(plus(times(staged_row, s.staged_line()), staged_column)),
                                             llvm::Align(static_cast<std::uint64_t>(byte_size(p.product.dtype))));
    if (s.parts > 1) {
      llvm::Value* line = plus(times(plus(times(part_, s.batches), batch_), s.m), row);
      b().CreateStore(sum, b().CreateGEP(element(), e.buffer(p.workspace), plus(times(line, s.n), column)));
    } else {
      store_outputs(sum);
    }
    if (exists) e.close_if();
    e.close_loop();
  }

  // All values before any store: a store may be in place of what another value reads.
  void store_outputs(llvm::Value* sum) {
    e.bind_array(p.product.sum, {sum}, false);
    std::vector<llvm::Value*> values;
    for (const auto& output : p.product.outputs) {
      e.emit_checks(output.value);
      values.push_back(e.emit_scalar(output.value));
    }
    for (std::size_t k = 0; k < values.size(); ++k) {
      ArrayRef array = p.product.outputs[k].array;
      e.store_at(array->dtype, e.buffer(array), p.addresses[k], values[k], 0);
    }
  }

  const Prepared& p;
  const GpuProductSchedule& s;
  Emitter e;
  llvm::Value *first_row_ = nullptr, *first_column_ = nullptr, *batch_ = nullptr, *part_ = nullptr;
  llvm::Value* thread_ = nullptr;  // of those that make sums; feeders are before
  std::vector<llvm::Value*> maps_;
};

void prepare(Prepared& p) {
  Arena& arena = *p.product.a->arena;
  p.accesses.add_local(p.product.sum);
  p.accesses.prepare(p.product.a);
  p.accesses.prepare(p.product.b);
  for (const StoredOperand& each : p.stored)
    for (const LinearForm* form : {&each.lines, &each.slices})
      for (const IntegerTerm& term : form->terms) p.accesses.prepare(term.x);
  for (const auto& output : p.product.outputs) {
    p.accesses.prepare(output.value);
    p.addresses.push_back(linear_form(output.address));
    for (const IntegerTerm& term : p.addresses.back().terms) {
      p.accesses.prepare(term.x);
      p.rows_fastest = p.rows_fastest || (term.weight == 1 && term.x == value(p.product.row));
    }
    p.accesses.add_buffer(output.array);
  }
  if (p.schedule.parts > 1) {
    const GpuProductSchedule& s = p.schedule;
    p.workspace = input(arena, "workspace", {s.parts, s.batches, s.m, s.n}, p.product.dtype);
    p.accesses.add_buffer(p.workspace);
  }
  if (!p.schedule.is_wide) return;
  const GpuProductSchedule& s = p.schedule;
  p.maps = {wide_map(p.stored[0], s, p.product.batch, s.m, s.tile.rows), wide_map(p.stored[1], s, p.product.batch, s.n, s.tile.columns)};
  for (std::size_t k = 0; k < 2; ++k) p.maps[k].buffer = p.accesses.buffer(p.stored[k].read->array);
}

std::string key_of(const Prepared& p) {
  const GpuProductSchedule& s = p.schedule;
  ExpressionText text;
  text.add(fmt::format("gpu product {} x {} x {} x {} tile {} {} depth {} parts {} along {} {} {} in {} ring {} warps {} wide {}",
                       s.batches, s.m, s.n, s.k, s.tile.rows, s.tile.columns, s.depth, s.parts, static_cast<int>(s.a_along),
                       static_cast<int>(s.b_along), p.rows_fastest, static_cast<int>(s.precision), s.ring, s.warp_rows, s.is_wide));
  for (ArrayRef array : p.accesses.buffers()) text.add(array);
  for (AxisRef axis : {p.product.batch, p.product.row, p.product.column, p.product.depth}) text.add(axis);
  text.add(p.product.a);
  text.add(p.product.b);
  auto checks = [&](Expr owner) {
    for (const Check& check : p.accesses.checks(owner)) text.add(fmt::format("check {} {}", check.place, check.limit));
  };
  checks(p.product.a), checks(p.product.b);
  for (const auto& output : p.product.outputs) {
    text.add(output.array);
    text.add(output.value);
    text.add(output.address);
    checks(output.value);
  }
  return text.text();
}

}  // namespace

std::optional<ProductPieces> product_pieces(const Region& region, const Slices& slices, Precision precision, const ProductPlace& place,
                                            FaultPlaces& places) {
  std::optional<FlatProduct> flat = flat_product(region, false, slices, Numbers::floating);
  if (!flat || std::min(flat->row->size, flat->column->size) < fewest_lines || flat->depth->size < 1) return {};
  auto prepared = std::make_shared<Prepared>(places);
  prepared->product = std::move(*flat);
  prepared->schedule = schedule_gpu_product(prepared->product, precision, place, prepared->stored);
  prepare(*prepared);
  const GpuProductSchedule& s = prepared->schedule;
  ProductPieces out{{}, prepared->workspace};
  std::string key = key_of(*prepared);
  out.pieces.push_back({key, prepared->accesses.buffers(), s.tasks(), product_engine_bytes(s, prepared->product.dtype),
                        [prepared](llvm::Module& module, const KernelFrame& frame) { Writer(module, frame, *prepared).product(); },
                        static_cast<int>(s.threads()), prepared->maps});
  if (s.parts > 1)
    out.pieces.push_back({"sums of parts\n" + key, prepared->accesses.buffers(), ceil_divide(s.batches * s.m * s.n, block_threads), 0,
                          [prepared](llvm::Module& module, const KernelFrame& frame) { Writer(module, frame, *prepared).combine(); }});
  return out;
}

}  // namespace heed
