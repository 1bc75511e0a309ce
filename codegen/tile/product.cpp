// Writes the loops of a product: tasks, blocks of the depth, packing, tiles, and the maps over their results.
#include "codegen/tile/product.h"

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <functional>
#include <memory>

#include "codegen/tile/matrix_registers.h"
#include "codegen/tile/product_prepared.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr std::int64_t alignment = 64;
std::int64_t aligned(std::int64_t bytes) { return round_up(bytes, alignment); }

// What packing so many panels works in.
std::int64_t spare_elements(const ProductSchedule& s, std::int64_t panels) {
  return std::max<std::int64_t>(s.tile.lanes * s.tile.lanes, panels * s.tile.columns() + 2 * s.b_run + 2 * s.tile.lanes);
}

// Whether sums of a whole strip wait to be mapped; else those of a row of tiles do, or, over several blocks of the depth, of a task.
bool keeps_strip(const PreparedProduct& p) { return p.schedule.has_tile_panels() && !p.maps_in_registers; }

// Where a task keeps what, in elements from the start of its scratch memory.
struct Scratch {
  std::int64_t b, a, c, spare, end;
};
Scratch scratch_of(const PreparedProduct& p) {
  const ProductSchedule& s = p.schedule;
  const std::int64_t bytes = byte_size(p.product.dtype);
  auto elements = [&](std::int64_t count) { return aligned(count * bytes) / bytes; };
  Scratch out{};
  std::int64_t packed_panels = s.b_packing == Packing::in_place ? 1 : s.most_panels();
  out.a = out.b + (s.keeps_b ? 0 : elements(packed_panels * s.depth_block * s.tile.columns() + s.tile.lanes * s.tile.columns()));
  out.c = out.a + (s.a_packing == Packing::in_place ? 0 : elements(packed_elements(s)));
  std::int64_t rows = 0;
  if (s.parts == 1) rows = s.most_height() * (s.depth_blocks > 1 ? s.most_tiles() : keeps_strip(p) ? s.tiles_a_strip : 1);
  out.spare = out.c + elements(rows * s.most_panels() * s.tile.columns());
  out.end = out.spare + elements(std::max(spare_elements(s, s.keeps_b ? 0 : s.most_panels()), spare_for_rows(s)));
  return out;
}

// How b is packed whole: a task has some panels of one block of the depth, about 256 kB.
std::int64_t panels_a_packing_task(const ProductSchedule& s, std::int64_t bytes) {
  return std::clamp<std::int64_t>((1 << 18) / (s.kept_panel() * bytes), 1, s.panels);
}

class Writer {
 public:
  Writer(llvm::Module& module, const std::string& symbol, const PreparedProduct& prepared)
      : p(prepared),
        s(prepared.schedule),
        module_(module),
        symbol_(symbol),
        e(module, symbol, prepared.accesses, prepared.shape),
        bytes_(byte_size(p.product.dtype)),
        scratch_(scratch_of(prepared)) {}

  void product() {
    decode_task();
    open_batches();
    auto [first, last] = even_share(part_, s.depth_blocks, s.parts);
    llvm::Value* block = e.open_counter(first, last);
    e.bind_axis(p.block, block);
    llvm::Value* begin = times(block, s.depth_block);
    llvm::Value* count = smaller(number(s.depth_block), minus(number(s.k), begin));
    PackPlace place{e, begin, count};
    pack_b(place);
    strips(place, block, first, last);
    e.close_loop();
    e.close_loop();
    if (s.multiplier == Multiplier::matrices) release_matrices(b());
    e.finish();
  }

  // Packs panels of b for all tasks of many runs.
  void keep_b(std::int64_t panels_a_task) {
    llvm::Value* rest = e.task();
    llvm::Value* group = e.take_digit(rest, ceil_divide(s.panels, panels_a_task));
    llvm::Value* block = e.take_digit(rest, s.depth_blocks);
    batch_ = rest;
    e.bind_axis(p.product.batch, batch_);
    e.bind_axis(p.block, block);
    llvm::Value* begin = times(block, s.depth_block);
    PackPlace place{e, begin, smaller(number(s.depth_block), minus(number(s.k), begin))};
    llvm::Value* first = times(group, panels_a_task);
    llvm::Value* end = smaller(times(plus(first, number(panels_a_task)), s.tile.columns()), number(s.n));
    pack(place, {kept_panel(block, first), times(first, s.tile.columns()), end, scratch(0), s.tile.vectors, s.kept_panel()});
    e.finish();
  }

  // Adds the sums of the parts in order, and maps the results.
  void combine(std::int64_t rows_a_task) {
    llvm::Value* tasks = number(ceil_divide(s.m, rows_a_task));
    llvm::Value* batch = b().CreateUDiv(e.task(), tasks);
    llvm::Value* begin = b().CreateMul(b().CreateURem(e.task(), tasks), number(rows_a_task));
    e.bind_axis(p.product.batch, batch);
    llvm::Value* row = e.open_counter(begin, smaller(number(s.m), plus(begin, number(rows_a_task))));
    e.bind_axis(p.product.row, row);
    for_vectors(e, p.columns, number(0), number(s.n), [&](llvm::Value* column, bool whole) {
      llvm::Value* line = b().CreateAdd(b().CreateMul(batch, number(s.m)), row);
      llvm::Value* place = plus(times(line, padded_columns()), column);
      llvm::Value* start = e.buffer(p.workspace);
      llvm::Value* sum = load_vector(start, place);
      llvm::AllocaInst* total = e.make_register(sum->getType(), sum);
      if (s.parts > 1) {
        llvm::Value* part = e.open_counter(number(1), number(s.parts));
        llvm::Value* next = load_vector(start, plus(place, times(part, s.batches * s.m * padded_columns())));
        e.set(total, plus_vector(b(), e.get(total), next));
        e.close_loop();
      }
      store_outputs(e, p, e.get(total), whole);
    });
    e.close_loop();
    e.finish();
  }

 private:
  llvm::IRBuilderBase& b() { return e.builder(); }
  llvm::Value* number(std::int64_t value) { return e.number(value); }
  llvm::Value* plus(llvm::Value* x, llvm::Value* y) { return b().CreateAdd(x, y); }
  llvm::Value* minus(llvm::Value* x, llvm::Value* y) { return b().CreateSub(x, y); }
  llvm::Value* times(llvm::Value* x, std::int64_t y) { return b().CreateMul(x, number(y)); }
  llvm::Value* smaller(llvm::Value* x, llvm::Value* y) { return b().CreateSelect(b().CreateICmpSLT(x, y), x, y); }
  llvm::Type* element() { return e.type_of(p.product.dtype, false); }
  llvm::Value* at(llvm::Value* pointer, llvm::Value* offset) { return b().CreateInBoundsGEP(element(), pointer, offset); }
  llvm::Value* arguments() {  // of a tile that maps its sums
    if (!arguments_) arguments_ = e.make_array(MappedTile::argument_count);
    return arguments_;
  }
  llvm::Value* scratch(std::int64_t offset) { return at(e.scratch(), number(offset)); }
  llvm::Value* load_vector(llvm::Value* pointer, llvm::Value* offset) {
    return b().CreateAlignedLoad(e.type_of(p.product.dtype, true), at(pointer, offset), llvm::Align(static_cast<std::uint64_t>(bytes_)));
  }
  std::int64_t padded_columns() const { return s.panels * s.tile.columns(); }

  // Begin and end of share `index` of `count` things among `shares`; the first ones are larger by one.
  std::pair<llvm::Value*, llvm::Value*> even_share(llvm::Value* index, std::int64_t count, std::int64_t shares) {
    llvm::Value* larger = number(count % shares);
    auto begin = [&](llvm::Value* i) { return plus(times(i, count / shares), smaller(i, larger)); };
    return {begin(index), begin(plus(index, number(1)))};
  }

  void decode_task() {
    llvm::Value* rest = e.task();
    auto digit = [&](std::int64_t size) { return e.take_digit(rest, size); };
    std::tie(first_panel_, end_panel_) = even_share(digit(s.column_tasks), s.panels, s.column_tasks);
    std::tie(first_tile_, end_tile_) = even_share(digit(s.row_tasks), s.row_tiles, s.row_tasks);
    part_ = digit(s.parts);
    batch_group_ = rest;
  }

  void open_batches() {
    llvm::Value* begin = times(batch_group_, s.batches_a_task);
    llvm::Value* end = s.batches_a_task == 1 ? plus(begin, number(1)) : smaller(number(s.batches), plus(begin, number(s.batches_a_task)));
    batch_ = e.open_counter(begin, end);
    e.bind_axis(p.product.batch, batch_);
  }

  // The last panel is packed even where the others are read in place: it may be narrow.
  bool last_is_special() const {
    bool may_be_partial = s.b_packing == Packing::in_place || p.maps_in_registers;
    return s.last_vectors < s.tile.vectors || (may_be_partial && s.n % s.tile.columns() != 0);
  }

  llvm::Value* kept_panel(llvm::Value* block, llvm::Value* panel) {
    llvm::Value* line = plus(times(batch_, s.depth_blocks), block);
    return at(e.buffer(p.kept_b), times(plus(times(line, s.panels), panel), s.kept_panel()));
  }

  void pack(PackPlace& place, const PanelLayout& layout) {
    if (s.b_packing == Packing::along_depth)
      pack_transposed(place, p.b, s.n, layout);
    else
      pack_panels(place, p.b, layout);
    if (s.fills_depth()) fill_panels(place, layout, s.tile.lanes);
  }

  void pack_b(PackPlace& place) {
    if (s.keeps_b) return;
    llvm::Value* first = first_panel_;
    if (s.b_packing == Packing::in_place) {
      if (!last_is_special()) return;
      first = number(s.panels - 1);
    }
    llvm::Value* end = smaller(times(end_panel_, s.tile.columns()), number(s.n));
    PanelLayout layout{scratch(scratch_.b), times(first, s.tile.columns()),  end, scratch(scratch_.spare),
                       s.tile.vectors,      s.depth_block * s.tile.columns()};
    bool conditional = s.b_packing == Packing::in_place;
    if (conditional) e.open_if(b().CreateICmpEQ(end_panel_, number(s.panels)));
    pack(place, layout);
    if (conditional) e.close_if();
  }

  // Where a is packed by tiles, a panel of b meets one tile after the other: it stays in the first cache, the strip in the second. Else a
  // row of tiles meets one panel after the other.
  void strips(PackPlace& place, llvm::Value* block, llvm::Value* first_block, llvm::Value* end_block) {
    strip_ = e.open_counter(first_tile_, end_tile_, s.tiles_a_strip);
    llvm::Value* end = smaller(plus(strip_, number(s.tiles_a_strip)), end_tile_);
    if (s.a_packing != Packing::in_place) pack_rows(place, p.a, s, strip_, end, scratch(scratch_.a), scratch(scratch_.spare));
    const BlockOfDepth of{place, b().CreateZExt(b().CreateICmpSGT(block, first_block), b().getInt64Ty()),
                          s.depth_blocks <= s.parts ? nullptr : b().CreateICmpEQ(block, minus(end_block, number(1)))};
    if (s.has_tile_panels()) {
      sum(of, [&](bool is_mapped) {
        for_panels(block, [&](const Panel& panel) {
          for_tiles(strip_, end, [&](llvm::Value* tile, std::int64_t height) { multiply(of, tile, height, panel, is_mapped); });
        });
      });
      map(of, [&] { for_tiles(strip_, end, [&](llvm::Value* tile, std::int64_t height) { map_rows(tile, height); }); });
    } else {
      for_tiles(strip_, end, [&](llvm::Value* tile, std::int64_t height) {
        sum(of, [&](bool is_mapped) { for_panels(block, [&](const Panel& panel) { multiply(of, tile, height, panel, is_mapped); }); });
        map(of, [&] { map_rows(tile, height); });
      });
    }
    e.close_loop();
  }

  struct BlockOfDepth {
    PackPlace& place;
    llvm::Value *accumulate, *is_last;  // the last one of the task; null: it is
  };

  // Sums, which are mapped at once where that is done in registers and no others are to come.
  void sum(const BlockOfDepth& of, const std::function<void(bool is_mapped)>& body) {
    if (!p.maps_in_registers || !of.is_last) return body(p.maps_in_registers);
    for (bool is_last : {true, false}) {
      e.open_if(is_last ? of.is_last : b().CreateNot(of.is_last));
      body(is_last);
      e.close_if();
    }
  }

  void map(const BlockOfDepth& of, const std::function<void()>& body) {
    if (s.parts > 1 || p.maps_in_registers) return;
    if (of.is_last) e.open_if(of.is_last);
    body();
    if (of.is_last) e.close_if();
  }

  // Runs the body for tiles `first` to `end`, which get lower.
  void for_tiles(llvm::Value* first, llvm::Value* end, const std::function<void(llvm::Value* tile, std::int64_t height)>& body) {
    auto run = [&](llvm::Value* begin, llvm::Value* until, std::int64_t height) {
      const bool may_be_none = s.high_tiles > 0 && s.high_tiles < s.row_tiles;
      if (may_be_none) e.open_if(b().CreateICmpSLT(begin, until));
      if (s.multiplier == Multiplier::matrices) configure_matrices(b(), matrix_configuration(module_, static_cast<int>(height)));
      llvm::Value* tile = e.open_counter(begin, until);
      body(tile, height);
      e.close_loop();
      if (may_be_none) e.close_if();
    };
    if (s.high_tiles > 0) run(first, smaller(end, number(s.high_tiles)), s.height + 1);
    if (s.high_tiles < s.row_tiles) run(b().CreateBinaryIntrinsic(llvm::Intrinsic::smax, first, number(s.high_tiles)), end, s.height);
  }

  // A tile whose sums are mapped at once, and needs no earlier ones, leaves them where the next one does.
  bool shares_place() const { return s.multiplier == Multiplier::matrices && p.maps_in_registers && s.depth_blocks == 1; }

  // Where the sums of a row of tiles lie, and how far its rows are apart.
  std::int64_t c_stride() const {
    if (shares_place()) return s.tile.columns();
    return (s.parts > 1 ? s.panels : s.most_panels()) * s.tile.columns();
  }
  llvm::Value* c_row(llvm::Value* row) {
    if (s.parts > 1) {
      llvm::Value* line = plus(times(plus(times(part_, s.batches), batch_), s.m), row);
      return at(e.buffer(p.workspace), plus(times(line, c_stride()), times(first_panel_, s.tile.columns())));
    }
    if (s.depth_blocks == 1 && !keeps_strip(p)) return scratch(scratch_.c);
    llvm::Value* first = row_of_tile(e, s, s.depth_blocks == 1 ? strip_ : first_tile_);
    return at(scratch(scratch_.c), times(minus(row, first), c_stride()));
  }

  struct Panel {
    llvm::Value *index, *b;
    std::int64_t stride, vectors;  // from one step of the depth to the next; columns
    bool is_last;                  // of all: its last vector of columns may not be whole
  };

  void for_panels(llvm::Value* block, const std::function<void(const Panel&)>& body) {
    // Of this task's panels, the one with this index.
    auto packed_panel = [&](llvm::Value* index) {
      if (s.keeps_b) return kept_panel(block, plus(first_panel_, index));
      return at(scratch(scratch_.b), times(index, s.depth_block * s.tile.columns()));
    };
    const std::int64_t columns = s.tile.columns();
    const bool in_place = s.b_packing == Packing::in_place;
    std::int64_t plain_panels = last_is_special() ? s.panels - 1 : s.panels;
    if (plain_panels > 0) {
      llvm::Value* count = minus(smaller(end_panel_, number(plain_panels)), first_panel_);
      e.open_if(b().CreateICmpSGT(count, number(0)));
      llvm::Value* index = e.open_counter(number(0), count);
      llvm::Value* panel = plus(first_panel_, index);
      if (in_place) {
        llvm::Value* first = plus(e.address_of(p.plain_b->origin), times(panel, columns));
        body({panel, at(e.buffer(p.plain_b->array), first), p.plain_b->depth_stride, s.tile.vectors, false});
      } else {
        body({panel, packed_panel(index), columns, s.tile.vectors, false});
      }
      e.close_loop();
      e.close_if();
    }
    if (last_is_special()) {
      e.open_if(b().CreateICmpEQ(end_panel_, number(s.panels)));
      llvm::Value* index = in_place ? number(0) : minus(minus(end_panel_, first_panel_), number(1));
      body({number(s.panels - 1), packed_panel(index), columns, s.last_vectors, true});
      e.close_if();
    }
  }

  // One tile.
  void multiply(const BlockOfDepth& of, llvm::Value* tile, std::int64_t height, const Panel& panel, bool is_mapped) {
    MicroKernel kernel{s.tile, p.product.dtype, p.shape.has_fma, s.multiplier, 0, 0, panel.stride, c_stride()};
    kernel.tile.rows = static_cast<int>(height), kernel.tile.vectors = static_cast<int>(panel.vectors);
    llvm::Value* row = row_of_tile(e, s, tile);
    llvm::Value* a = nullptr;
    if (s.a_packing == Packing::in_place) {
      a = at(e.buffer(p.plain_a->array), plus(e.address_of(p.plain_a->origin), times(row, p.plain_a->line_stride)));
      kernel.a_row_stride = p.plain_a->line_stride, kernel.a_k_stride = p.plain_a->depth_stride;
    } else {
      std::tie(kernel.a_row_stride, kernel.a_k_stride) = packed_strides(s);
      a = at(scratch(scratch_.a), packed_tile(e, s, tile, strip_));
    }
    llvm::Value* c = c_row(row);
    if (!shares_place()) c = at(c, times(minus(panel.index, first_panel_), s.tile.columns()));
    if (!is_mapped) {
      b().CreateCall(emit_micro_kernel(module_, kernel), {a, panel.b, c, of.place.count, of.accumulate});
      return;
    }
    llvm::Value* given[MappedTile::argument_count] = {
        a, panel.b, c, of.place.count, of.accumulate, row, times(panel.index, s.tile.vectors), batch_};
    for (unsigned i = 0; i < MappedTile::argument_count; ++i)
      b().CreateStore(given[i], b().CreateConstInBoundsGEP1_64(b().getInt64Ty(), arguments(), i));
    llvm::Function* mapped = emit_mapped_tile(module_, symbol_, p, {kernel, s.depth_blocks > 1, panel.is_last});
    b().CreateCall(mapped, {e.buffers(), e.scratch(), b().CreatePtrToInt(arguments(), b().getInt64Ty()), e.fault()});
  }

  // Stores what is made of the sums of a row of tiles.
  void map_rows(llvm::Value* tile, std::int64_t height) {
    llvm::Value* row = row_of_tile(e, s, tile);
    llvm::Value* index = e.open_counter(number(0), number(height));
    e.bind_axis(p.product.row, plus(row, index));
    llvm::Value* line = at(c_row(row), times(index, c_stride()));
    llvm::Value* begin = times(first_panel_, s.tile.columns());
    llvm::Value* end = smaller(times(end_panel_, s.tile.columns()), number(s.n));
    for_vectors(e, p.columns, begin, end,
                [&](llvm::Value* column, bool whole) { store_outputs(e, p, load_vector(line, minus(column, begin)), whole); });
    e.close_loop();
  }

  const PreparedProduct& p;
  const ProductSchedule& s;
  llvm::Module& module_;
  const std::string& symbol_;
  Emitter e;
  std::int64_t bytes_;
  Scratch scratch_;
  llvm::Value *first_panel_ = nullptr, *end_panel_ = nullptr, *first_tile_ = nullptr, *end_tile_ = nullptr, *strip_ = nullptr;
  llvm::Value* arguments_ = nullptr;
  llvm::Value *part_ = nullptr, *batch_group_ = nullptr, *batch_ = nullptr;
};

}  // namespace

std::optional<ProductKernels> product_kernels(const Region& region, const Target& target, const ProductOptions& options,
                                              FaultPlaces& places) {
  std::shared_ptr<const PreparedProduct> prepared = prepare_product(region, target, options, places);
  if (!prepared) return {};
  const ProductSchedule& s = prepared->schedule;

  ProductKernels out{.launches = {}, .workspace = prepared->workspace, .schedule = s.text()};
  const std::string& key = prepared->key;
  std::vector<ArrayRef> buffers = prepared->accesses.buffers();
  for (const auto& each : prepared->product.words) std::ranges::replace(buffers, each.words, each.array);
  std::int64_t groups = ceil_divide(s.batches, s.batches_a_task);
  std::int64_t bytes = byte_size(prepared->product.dtype);
  out.launches.push_back(
      {{"product\n" + key, [prepared](llvm::Module& module, const std::string& symbol) { Writer(module, symbol, *prepared).product(); }},
       buffers,
       groups * s.parts * s.row_tasks * s.column_tasks,
       scratch_of(*prepared).end * bytes});
  if (s.keeps_b) {
    const std::int64_t panels = panels_a_packing_task(s, bytes);
    out.kept = prepared->kept_b, out.kept_from = right_reads(prepared->product);
    out.preparation = {
        {"right factor\n" + key,
         [prepared, panels](llvm::Module& module, const std::string& symbol) { Writer(module, symbol, *prepared).keep_b(panels); }},
        buffers,
        s.batches * s.depth_blocks * ceil_divide(s.panels, panels),
        spare_elements(s, panels) * bytes};
  }
  if (s.parts > 1) {
    std::int64_t rows = std::max<std::int64_t>(1, 32768 / (s.parts * s.n));
    out.launches.push_back(
        {{"sums of parts\n" + key,
          [prepared, rows](llvm::Module& module, const std::string& symbol) { Writer(module, symbol, *prepared).combine(rows); }},
         buffers,
         s.batches * ceil_divide(s.m, rows),
         0});
  }
  return out;
}

}  // namespace heed
