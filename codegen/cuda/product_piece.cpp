// A block of threads computes a tile of the result: slices of both operands go through shared memory, two of each at a time, while each
// thread keeps a small tile of sums in registers. Sums then go through shared memory once more, so that what follows the product is
// computed and stored along memory whatever thread the sum was in.
#include "codegen/cuda/product_piece.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>

#include <algorithm>
#include <memory>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/nest_piece.h"
#include "codegen/cuda/target.h"
#include "codegen/tile/emitter_state.h"
#include "codegen/tile/expression_text.h"
#include "codegen/tile/product_region.h"

namespace heed {
namespace {

constexpr std::int64_t fewest_lines = 4;                    // rows and columns of a product that is worth tiles
constexpr double multiprocessors = 108;                     // of a nominal machine
constexpr std::int64_t most_parts = 64, least_depth = 256;  // of a product whose depth is cut
constexpr std::int64_t padding = 4;                         // elements after each line of shared memory, against conflicts of banks

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct Tile {
  std::int64_t rows, columns;              // of a block
  std::int64_t micro_rows, micro_columns;  // of a thread
  double efficiency;
};
constexpr Tile tiles[] = {{128, 128, 8, 8, 1}, {128, 64, 8, 4, 0.8}, {64, 128, 4, 8, 0.8}, {64, 64, 4, 4, 0.65}, {32, 32, 2, 2, 0.3}};

// Which index of an operand neighbouring threads take neighbours of.
enum class Along : std::uint8_t { depth, line };

struct Schedule {
  std::int64_t batches, m, n, k;
  Tile tile;
  std::int64_t depth;  // of a slice
  std::int64_t parts;  // of the depth; more than one: another kernel adds their sums
  Along a_along, b_along;

  std::int64_t row_tiles() const { return ceil_divide(m, tile.rows); }
  std::int64_t column_tiles() const { return ceil_divide(n, tile.columns); }
  std::int64_t slices() const { return ceil_divide(k, depth); }
  std::int64_t tasks() const { return row_tiles() * column_tiles() * batches * parts; }
  std::int64_t a_line() const { return tile.rows + padding; }
  std::int64_t b_line() const { return tile.columns + padding; }
  std::int64_t slice_elements() const { return depth * (a_line() + b_line()); }
  // Rows and columns that a thread has side by side; the next ones are half a tile away.
  std::int64_t row_group() const { return std::min<std::int64_t>(4, tile.micro_rows); }
  std::int64_t column_group() const { return std::min<std::int64_t>(4, tile.micro_columns); }
  std::int64_t staged_rows() const { return tile.rows / (tile.micro_rows / row_group()); }
  std::int64_t staged_line() const { return tile.columns + 1; }
  std::int64_t shared_elements() const { return std::max(2 * slice_elements(), staged_rows() * staged_line()); }
};

// The elements of an operand lie side by side along this index in most of what it reads.
Along along_of(Expr operand, AxisRef line, AxisRef depth) {
  auto has = [](Expr x, AxisRef axis) { return std::ranges::find(x->free, axis) != x->free.end(); };
  std::int64_t best = 0;
  Along along = Along::line;
  for (Expr x : nodes_of(operand)) {
    if (x->op != Op::read || element_count(x->array) <= best || !has(x, line) || !has(x, depth)) continue;
    best = element_count(x->array);
    std::int64_t of_line = 0, of_depth = 0;
    for (const IntegerTerm& term : affine_address(x).terms) {
      std::int64_t weight = std::abs(term.weight);
      if (has(term.x, line) && (of_line == 0 || weight < of_line)) of_line = weight;
      if (has(term.x, depth) && (of_depth == 0 || weight < of_depth)) of_depth = weight;
    }
    along = of_depth != 0 && (of_line == 0 || of_depth < of_line) ? Along::depth : Along::line;
  }
  return along;
}

Schedule schedule_of(const FlatProduct& product, bool is_shared) {
  Schedule s{.batches = product.batch->size, .m = product.row->size, .n = product.column->size, .k = product.depth->size};
  s.depth = product.dtype == DType::f64 ? 8 : 16;
  s.a_along = along_of(product.a, product.row, product.depth);
  s.b_along = along_of(product.b, product.column, product.depth);
  s.parts = 1;
  double least = 0;
  for (const Tile& tile : tiles) {
    double count = static_cast<double>(ceil_divide(s.m, tile.rows) * ceil_divide(s.n, tile.columns) * s.batches);
    std::int64_t parts = 1;
    if (is_shared && count < multiprocessors)
      parts = std::clamp<std::int64_t>(static_cast<std::int64_t>(2 * multiprocessors / count), 1,
                                       std::clamp<std::int64_t>(s.k / least_depth, 1, most_parts));
    double turns = is_shared ? std::ceil(count * static_cast<double>(parts) / multiprocessors) : count;
    double each = static_cast<double>(tile.rows * tile.columns) / tile.efficiency;
    double cost = turns * each * static_cast<double>(ceil_divide(s.k, parts)) + (parts > 1 ? 2e6 : 0);
    if (least != 0 && cost >= least) continue;
    least = cost, s.tile = tile, s.parts = parts;
  }
  s.parts = std::min(s.parts, s.slices());
  return s;
}

struct Prepared {
  FlatProduct product;
  Schedule schedule;
  ArrayRef workspace = nullptr;  // sums of the parts: [part, batch, row, column]
  std::vector<LinearForm> addresses;
  bool rows_fastest = false;  // results lie side by side along the rows
  Accesses accesses;
  explicit Prepared(FaultPlaces& places) : accesses(places) {}
};

class Writer {
 public:
  Writer(llvm::Module& module, const KernelFrame& frame, const Prepared& prepared)
      : p(prepared), s(prepared.schedule), e(module, frame, prepared.accesses, gpu_shape(true)), bytes_(byte_size(p.product.dtype)) {}

  void product() {
    decode_task();
    make_sums();
    llvm::Value* first = number(0);
    llvm::Value* last = number(s.slices());
    if (s.parts > 1) {
      first = b().CreateUDiv(times(part_, s.slices()), number(s.parts));
      last = b().CreateUDiv(times(plus(part_, number(1)), s.slices()), number(s.parts));
    }
    e.bind_axis(p.product.batch, batch_);
    fetch(first);
    keep(number(0));
    block_barrier(b());
    llvm::Value* slice = e.open_counter(first, last);
    fetch(smaller(plus(slice, number(1)), b().CreateSub(last, number(1))));
    llvm::Value* parity = b().CreateAnd(b().CreateSub(slice, first), number(1));
    multiply(times(parity, s.slice_elements()));
    keep(times(b().CreateXor(parity, number(1)), s.slice_elements()));
    block_barrier(b());
    e.close_loop();
    for (std::int64_t group = 0; group < s.tile.micro_rows / s.row_group(); ++group) finish(group);
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
    auto digit = [&](std::int64_t size) {
      llvm::Value* out = b().CreateURem(rest, number(size));
      rest = b().CreateUDiv(rest, number(size));
      return out;
    };
    first_row_ = times(digit(s.row_tiles()), s.tile.rows);
    first_column_ = times(digit(s.column_tiles()), s.tile.columns);
    batch_ = digit(s.batches);
    part_ = rest;
    thread_ = wide(thread_index(b()));
    std::int64_t across = s.tile.columns / s.tile.micro_columns;
    thread_column_ = b().CreateURem(thread_, number(across));
    thread_row_ = b().CreateUDiv(thread_, number(across));
  }

  void make_sums() {
    for (std::int64_t k = 0; k < s.tile.micro_rows * s.tile.micro_columns; ++k)
      sums_.push_back(e.make_register(element(), llvm::Constant::getNullValue(element())));
    for (std::int64_t k = 0; k < elements_a_thread(s.tile.rows); ++k)
      fetched_a_.push_back(e.make_register(element(), llvm::Constant::getNullValue(element())));
    for (std::int64_t k = 0; k < elements_a_thread(s.tile.columns); ++k)
      fetched_b_.push_back(e.make_register(element(), llvm::Constant::getNullValue(element())));
  }
  std::int64_t elements_a_thread(std::int64_t lines) const { return lines * s.depth / block_threads; }

  // Where in a slice this thread's element `k` of an operand is: its line, and its place in the depth.
  std::pair<llvm::Value*, llvm::Value*> place(std::int64_t k, std::int64_t lines, Along along) {
    std::int64_t fast = along == Along::depth ? s.depth : lines, step = block_threads / fast;
    llvm::Value* inner = b().CreateURem(thread_, number(fast));
    llvm::Value* outer = plus(b().CreateUDiv(thread_, number(fast)), number(k * step));
    return along == Along::depth ? std::pair(outer, inner) : std::pair(inner, outer);
  }

  // Takes this thread's elements of a slice into registers.
  void fetch(llvm::Value* slice) {
    llvm::Value* begin = times(slice, s.depth);
    fetch(p.product.a, p.product.row, s.m, first_row_, s.tile.rows, s.a_along, begin, fetched_a_);
    fetch(p.product.b, p.product.column, s.n, first_column_, s.tile.columns, s.b_along, begin, fetched_b_);
  }
  void fetch(Expr operand, AxisRef line, std::int64_t lines, llvm::Value* first, std::int64_t tile, Along along, llvm::Value* begin,
             const std::vector<llvm::AllocaInst*>& into) {
    for (std::size_t k = 0; k < into.size(); ++k) {
      e.open_counter(number(0), number(1));  // runs once: bindings of its own
      auto [at, inside] = place(static_cast<std::int64_t>(k), tile, along);
      llvm::Value* index = plus(first, at);
      if (lines % tile != 0) index = smaller(index, number(lines - 1));  // lines beyond are not stored
      e.bind_axis(line, index);
      llvm::Value* depth = plus(begin, inside);
      llvm::Value* exists = s.k % s.depth != 0 ? b().CreateICmpSLT(depth, number(s.k)) : nullptr;
      e.bind_axis(p.product.depth, exists ? smaller(depth, number(s.k - 1)) : depth);
      e.emit_checks(operand);
      llvm::Value* value = e.emit_scalar(operand);
      if (exists) value = b().CreateSelect(exists, value, llvm::Constant::getNullValue(value->getType()));
      e.set(into[k], value);
      e.close_loop();
    }
  }

  // Puts them where the others find them.
  void keep(llvm::Value* slice) {
    auto put = [&](const std::vector<llvm::AllocaInst*>& values, std::int64_t lines, Along along, std::int64_t line, std::int64_t start) {
      for (std::size_t k = 0; k < values.size(); ++k) {
        auto [at, inside] = place(static_cast<std::int64_t>(k), lines, along);
        llvm::Value* offset = plus(plus(times(inside, line), at), plus(slice, number(start)));
        b().CreateAlignedStore(e.get(values[k]), shared(offset), llvm::Align(static_cast<std::uint64_t>(bytes_)));
      }
    };
    put(fetched_a_, s.tile.rows, s.a_along, s.a_line(), 0);
    put(fetched_b_, s.tile.columns, s.b_along, s.b_line(), s.depth * s.a_line());
  }

  void multiply(llvm::Value* slice) {
    auto load = [&](std::int64_t micro, std::int64_t group, std::int64_t lines, llvm::Value* thread, llvm::Value* line) {
      std::vector<llvm::Value*> values;
      auto* type = llvm::FixedVectorType::get(element(), static_cast<unsigned>(group));
      std::int64_t groups = micro / group;
      for (std::int64_t q = 0; q < groups; ++q) {
        llvm::Value* offset = plus(line, plus(times(thread, group), number(q * lines / groups)));
        llvm::Value* vector = b().CreateAlignedLoad(type, shared(offset),
                                                    llvm::Align(static_cast<std::uint64_t>(std::min<std::int64_t>(16, group * bytes_))));
        for (std::int64_t k = 0; k < group; ++k) values.push_back(b().CreateExtractElement(vector, static_cast<std::uint64_t>(k)));
      }
      return values;
    };
    for (std::int64_t k = 0; k < s.depth; ++k) {
      auto a = load(s.tile.micro_rows, s.row_group(), s.tile.rows, thread_row_, plus(slice, number(k * s.a_line())));
      auto c = load(s.tile.micro_columns, s.column_group(), s.tile.columns, thread_column_,
                    plus(slice, number(s.depth * s.a_line() + k * s.b_line())));
      for (std::size_t i = 0; i < a.size(); ++i)
        for (std::size_t j = 0; j < c.size(); ++j) {
          llvm::AllocaInst* sum = sums_[i * c.size() + j];
          e.set(sum, b().CreateIntrinsic(llvm::Intrinsic::fma, {element()}, {a[i], c[j], e.get(sum)}));
        }
    }
  }

  // Some rows of the tile go through shared memory, and from there through the maps to where they are stored.
  void finish(std::int64_t group) {
    std::int64_t column_groups = s.tile.micro_columns / s.column_group();
    if (group > 0) block_barrier(b());
    for (std::int64_t i = 0; i < s.row_group(); ++i)
      for (std::int64_t j = 0; j < s.tile.micro_columns; ++j) {
        llvm::Value* row = plus(times(thread_row_, s.row_group()), number(i));
        llvm::Value* column = plus(times(thread_column_, s.column_group()),
                                   number(j / s.column_group() * (s.tile.columns / column_groups) + j % s.column_group()));
        llvm::Value* sum = e.get(sums_[static_cast<std::size_t>((group * s.row_group() + i) * s.tile.micro_columns + j)]);
        b().CreateAlignedStore(sum, shared(plus(times(row, s.staged_line()), column)), llvm::Align(static_cast<std::uint64_t>(bytes_)));
      }
    block_barrier(b());
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
                                             llvm::Align(static_cast<std::uint64_t>(bytes_)));
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
  const Schedule& s;
  Emitter e;
  std::int64_t bytes_;
  llvm::Value *first_row_ = nullptr, *first_column_ = nullptr, *batch_ = nullptr, *part_ = nullptr;
  llvm::Value *thread_ = nullptr, *thread_row_ = nullptr, *thread_column_ = nullptr;
  std::vector<llvm::AllocaInst*> sums_, fetched_a_, fetched_b_;
};

void prepare(Prepared& p) {
  Arena& arena = *p.product.a->arena;
  p.accesses.add_local(p.product.sum);
  p.accesses.prepare(p.product.a);
  p.accesses.prepare(p.product.b);
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
    const Schedule& s = p.schedule;
    p.workspace = input(arena, "workspace", {s.parts, s.batches, s.m, s.n}, p.product.dtype);
    p.accesses.add_buffer(p.workspace);
  }
}

std::string key_of(const Prepared& p) {
  const Schedule& s = p.schedule;
  ExpressionText text;
  text.add(fmt::format("gpu product {} x {} x {} x {} tile {} {} depth {} parts {} along {} {} {}", s.batches, s.m, s.n, s.k, s.tile.rows,
                       s.tile.columns, s.depth, s.parts, static_cast<int>(s.a_along), static_cast<int>(s.b_along), p.rows_fastest));
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

std::optional<ProductPieces> product_pieces(const Region& region, const Slices& slices, bool is_shared, FaultPlaces& places) {
  std::optional<FlatProduct> flat = flat_product(region, false, slices);
  if (!flat || std::min(flat->row->size, flat->column->size) < fewest_lines || flat->depth->size < 1) return {};
  auto prepared = std::make_shared<Prepared>(places);
  prepared->product = std::move(*flat);
  prepared->schedule = schedule_of(prepared->product, is_shared);
  prepare(*prepared);
  const Schedule& s = prepared->schedule;
  ProductPieces out{{}, prepared->workspace};
  std::string key = key_of(*prepared);
  std::int64_t bytes = byte_size(prepared->product.dtype);
  out.pieces.push_back({key, prepared->accesses.buffers(), s.tasks(), s.shared_elements() * bytes,
                        [prepared](llvm::Module& module, const KernelFrame& frame) { Writer(module, frame, *prepared).product(); }});
  if (s.parts > 1)
    out.pieces.push_back({"sums of parts\n" + key, prepared->accesses.buffers(), ceil_divide(s.batches * s.m * s.n, block_threads), 0,
                          [prepared](llvm::Module& module, const KernelFrame& frame) { Writer(module, frame, *prepared).combine(); }});
  return out;
}

}  // namespace heed
