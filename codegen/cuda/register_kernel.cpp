// One kernel: decodes its task, and for each part of the program makes its steps once, or in a loop over blocks of columns. In a loop tiles
// come through a ring in shared memory: while one is used those after it are on their way.
#include "codegen/cuda/register_kernel.h"

#include <fmt/format.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <limits>
#include <memory>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/fragment_load.h"
#include "codegen/cuda/piece.h"
#include "codegen/cuda/register_values.h"
#include "codegen/tile/emitter_state.h"
#include "codegen/tile/expression_text.h"

namespace heed {
namespace {

using Kind = RegisterStep::Kind;
using Values = std::vector<llvm::Value*>;

constexpr std::int64_t half_bytes = 2, chunk_elements = chunk_bytes / half_bytes;
constexpr std::int64_t fragment_size = 16;       // rows, columns and depth of a product's fragments, two of 8 columns together
constexpr std::int64_t most_held_fragments = 8;  // of a tile of rows: such a one stays in registers

struct ByData {
  ArrayRef begin, end;
  LinearForm address;  // over units, and `number`: the number of the block of rows
  AxisRef number;
};

// Everything that the code depends on, kept for the thread that writes it.
struct Prepared {
  RegisterProgram program;
  RegisterAccesses accesses;
  std::optional<ByData> by_data;
  std::vector<ArrayRef> buffers;
  std::vector<SharedTile> shapes;  // of tiles
  explicit Prepared(const RegisterProgram& p) : program(p), accesses(p) {}
};

// Tiles of one part over columns.
struct Ring {
  std::vector<int> rows;     // tiles of rows, which stay
  std::vector<int> columns;  // tiles of columns, in the order of their first use
  bool together = false;     // all of a block's tiles are in use at once
  std::int64_t slot_bytes = 0, rows_bytes = 0;
  int slots() const { return static_cast<int>(together ? 2 * columns.size() : columns.size() + 1); }
  std::int64_t bytes() const { return rows_bytes + slots() * slot_bytes; }
  int place_of(int tile) const { return static_cast<int>(std::ranges::find(columns, tile) - columns.begin()); }
};

// Tiles begin at whole lines of banks.
std::int64_t slot_bytes(const SharedTile& tile) {
  constexpr std::int64_t step = 1024;
  return (tile.bytes() + step - 1) / step * step;
}

bool is_of(const RegisterTile& tile, AxisRef axis) { return tile.line == axis || tile.along == axis; }

Ring ring_of(const Prepared& p, const RegisterProgram::Part& part) {
  Ring ring;
  std::vector<int> order;  // of the tiles of columns, by use
  auto add = [&](int tile) {
    if (tile < 0) return;
    const bool is_rows = is_of(p.program.tiles[static_cast<std::size_t>(tile)], p.program.row);
    std::vector<int>& list = is_rows ? ring.rows : ring.columns;
    if (std::ranges::find(list, tile) == list.end()) list.push_back(tile);
    if (!is_rows) order.push_back(tile);
  };
  for (const RegisterStep& step : part.kinds[0].steps) add(step.left), add(step.right);
  for (std::size_t k = 1; k < order.size(); ++k)  // a tile that is used again after another was
    for (std::size_t before = 0; before + 1 < k; ++before) ring.together |= order[before] == order[k] && order[k - 1] != order[k];
  for (int tile : ring.rows) ring.rows_bytes += slot_bytes(p.shapes[static_cast<std::size_t>(tile)]);
  for (int tile : ring.columns) ring.slot_bytes = std::max(ring.slot_bytes, slot_bytes(p.shapes[static_cast<std::size_t>(tile)]));
  return ring;
}

class Writer {
 public:
  Writer(llvm::Module& module, const std::string& symbol, const Prepared& prepared)
      : p_(prepared), program_(prepared.program), module_(module), symbol_(symbol), b_(module.getContext()) {
    function_ = declare_kernel(module, symbol, p_.buffers.size(), 0, register_threads);
    b_.SetInsertPoint(new_block());
    Values buffers;
    for (std::size_t k = 0; k < p_.buffers.size(); ++k) buffers.push_back(function_->getArg(static_cast<unsigned>(k)));
    values_.emplace(b_, program_, p_.accesses, buffers);
  }

  void write() {
    llvm::Value* thread = thread_index(b_);
    lane_ = b_.CreateAnd(thread, number(warp_threads - 1));
    warp_ = b_.CreateLShr(thread, number(5));
    for (const SharedTile& tile : p_.shapes) shares_.push_back(tile_shares(b_, tile, thread, register_threads));
    decode_task();
    bind_rows();
    std::size_t runs = 0;
    for (const auto& part : program_.parts) {
      if (part.over_columns) {
        go_over_columns(part, runs);
        runs += part.kinds.size();
      } else {
        values_->forget();
        bind_kept(part.kinds[0].steps, false);
        do_steps(part.kinds[0].steps, false);
      }
    }
    b_.CreateRetVoid();
  }

 private:
  llvm::BasicBlock* new_block() { return llvm::BasicBlock::Create(module_.getContext(), "", function_); }
  llvm::Value* number(std::int64_t value) { return b_.getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* wide(std::int64_t value) { return b_.getInt64(static_cast<std::uint64_t>(value)); }
  llvm::Value* real(double value) { return llvm::ConstantFP::get(b_.getFloatTy(), value); }
  const RegisterTile& tile(int k) const { return program_.tiles[static_cast<std::size_t>(k)]; }
  const SharedTile& shape(int k) const { return p_.shapes[static_cast<std::size_t>(k)]; }
  llvm::Value* buffer(ArrayRef array) const {
    return function_->getArg(static_cast<unsigned>(std::ranges::find(p_.buffers, array) - p_.buffers.begin()));
  }
  int rows() const { return static_cast<int>(2 * program_.tall); }
  int columns_of(AxisRef axis) const { return fragment::columns_in(axis == program_.column ? program_.columns : axis->size); }

  // --- the task

  void decode_task() {
    llvm::Value* task = b_.CreateZExt(block_index(b_), b_.getInt64Ty());
    const auto count = static_cast<std::int64_t>(program_.blocks.size());
    llvm::Value* block = b_.CreateTrunc(b_.CreateURem(task, wide(count)), b_.getInt32Ty());
    llvm::Value* rest = b_.CreateUDiv(task, wide(count));
    for (std::size_t k = program_.units.size(); k-- > 0;) {
      values_->bind_axis(program_.units[k], b_.CreateURem(rest, wide(program_.units[k]->size)));
      rest = b_.CreateUDiv(rest, wide(program_.units[k]->size));
    }
    // A table of blocks of rows: the first row, and of each run the first column and the number of blocks.
    std::vector<std::uint32_t> numbers;
    for (const auto& rows : program_.blocks) {
      numbers.push_back(static_cast<std::uint32_t>(rows.row));
      for (const auto& run : rows.runs)
        for (std::int64_t each : {run.column, run.blocks}) numbers.push_back(static_cast<std::uint32_t>(each));
    }
    auto* data = llvm::ConstantDataArray::get(module_.getContext(), numbers);
    table_ = new llvm::GlobalVariable(module_, data->getType(), true, llvm::GlobalValue::InternalLinkage, data, symbol_ + "_blocks");
    entry_ = b_.CreateMul(block, number(static_cast<std::int64_t>(1 + 2 * program_.blocks[0].runs.size())));
    row_ = in_table(0);
  }

  llvm::Value* in_table(std::size_t place) {
    llvm::Value* at = b_.CreateGEP(b_.getInt32Ty(), table_, b_.CreateAdd(entry_, number(static_cast<std::int64_t>(place))));
    return b_.CreateLoad(b_.getInt32Ty(), at);
  }

  void bind_rows() {
    llvm::Value* own = b_.CreateAdd(b_.CreateMul(warp_, number(program_.tall * fragment_size)), b_.CreateLShr(lane_, number(2)));
    values_->bind_axis(program_.row, b_.CreateAdd(row_, own));
    values_->set_end(program_.row, program_.row->size % program_.rows == 0 ? 0 : program_.row->size);
    pair_ = b_.CreateShl(b_.CreateAnd(lane_, number(3)), number(1));
    for (AxisRef width : program_.widths) bind_width(width);
    for (const auto& part : program_.parts)
      for (const auto& kind : part.kinds)
        for (const RegisterStep& step : kind.steps)
          if (step.over && step.over != program_.column) bind_width(step.over);
    for (std::size_t k = 0; k < program_.kept.size(); ++k) state_.emplace_back();
  }

  void bind_width(AxisRef width) {
    values_->bind_axis(width, pair_);
    values_->set_end(width, width->size % fragment_size == 0 ? 0 : width->size);
  }

  // --- values that stay

  std::size_t kept_number(ArrayRef kept) const {
    return static_cast<std::size_t>(std::ranges::find(program_.kept, kept) - program_.kept.begin());
  }
  int kept_columns(ArrayRef kept) const { return kept->shape.size() == 1 ? 0 : fragment::columns_in(kept->shape[1]); }

  // A part of a sum that each thread of a quad has is put together where the whole is needed.
  void bind_kept(const RegisterSteps& steps, bool in_loop) {
    for (std::size_t k = 0; k < program_.kept.size(); ++k) {
      ArrayRef kept = program_.kept[k];
      if (state_[k].empty()) continue;
      Values own = state_[k];
      const bool is_read =
          std::ranges::any_of(steps, [&](const RegisterStep& step) { return reads(step.value, kept) || reads(step.factor, kept); });
      if (program_.spread[k] && !in_loop) {
        if (!is_read) continue;
        for (llvm::Value*& each : own) each = over_quad(each, Reduction::sum);
      }
      values_->bind(kept, own, kept_columns(kept));
    }
  }

  static bool reads(Expr x, ArrayRef array) {
    return x && std::ranges::any_of(nodes_of(x), [&](Expr node) { return node->op == Op::read && node->array == array; });
  }

  llvm::Value* over_quad(llvm::Value* x, Reduction reduction) {
    for (int distance : {1, 2}) x = together(x, shuffle_xor(b_, x, distance), reduction);
    return x;
  }

  llvm::Value* together(llvm::Value* x, llvm::Value* y, Reduction reduction) {
    return reduction == Reduction::sum ? b_.CreateFAdd(x, y) : b_.CreateBinaryIntrinsic(llvm::Intrinsic::maximum, x, y);
  }

  // --- steps

  void do_steps(const RegisterSteps& steps, bool in_loop) {
    std::vector<std::pair<std::size_t, Values>> next;
    for (std::size_t k = 0; k < steps.size(); ++k) {
      const RegisterStep& step = steps[k];
      switch (step.kind) {
        case Kind::score:
          values_->bind(step.into, score(step), columns_of(program_.column));
          break;
        case Kind::sum:
          values_->bind(step.into, sum(step), columns_of(width_of(step)));
          break;
        case Kind::reduce:
          values_->bind(step.into, reduced(step, in_loop && is_spread(steps, step)), 0);
          break;
        case Kind::keep:
          next.emplace_back(kept_number(step.into), kept(step));
          break;
        case Kind::store:
          store(step);
          break;
      }
      if (in_loop) leave_tiles(steps, k);
    }
    for (auto& [which, values] : next) state_[which] = std::move(values);
  }

  AxisRef width_of(const RegisterStep& step) const {
    const RegisterTile& own = tile(step.right);
    return own.line == program_.column ? own.along : own.line;
  }

  bool is_spread(const RegisterSteps& steps, const RegisterStep& sum) const {
    return std::ranges::any_of(steps, [&](const RegisterStep& step) {
      return step.kind == Kind::keep && program_.spread[kept_number(step.into)] && step.value->op == Op::read &&
             step.value->array == sum.into;
    });
  }

  MatrixKind kind_of(int k) const { return tile(k).array->dtype == DType::bf16 ? MatrixKind::bf16 : MatrixKind::f16; }

  // into[i][n] += left[i] right[n], fragments of 16 rows and of 8 columns.
  void multiply(Values& sums, int columns, MatrixKind kind, int tall, int pair, const Values& left, const Values& right) {
    for (int half = 0; half < 2; ++half) {
      Values own;
      auto place = [&](int e) { return static_cast<std::size_t>((tall * 2 + e / 2) * columns + (pair * 2 + half) * 2 + e % 2); };
      for (int e = 0; e < 4; ++e) own.push_back(sums[place(e)]);
      own = multiply_matrices(b_, kind, left, {right[static_cast<std::size_t>(2 * half)], right[static_cast<std::size_t>(2 * half + 1)]},
                              own);
      for (int e = 0; e < 4; ++e) sums[place(e)] = own[static_cast<std::size_t>(e)];
    }
  }

  Values score(const RegisterStep& step) {
    const FragmentLoad left{true, tile(step.left).along == program_.row}, right{false, tile(step.right).along == program_.column};
    llvm::Value* right_lane = b_.CreateAdd(slot_of(step.right), fragment_place(b_, shape(step.right), right, lane_));
    const int columns = columns_of(program_.column);
    Values sums(static_cast<std::size_t>(rows() * columns), real(0));
    for (std::int64_t depth = 0; depth < step.over->size; depth += fragment_size) {
      std::vector<Values> fragments;
      for (std::int64_t i = 0; i < program_.tall; ++i) fragments.push_back(left_fragment(step.left, left, i, depth));
      for (std::int64_t n = 0; n < program_.columns; n += fragment_size) {
        Values own = right.is_turned ? load_fragment(b_, shape(step.right), right, right_lane, depth, n / chunk_elements)
                                     : load_fragment(b_, shape(step.right), right, right_lane, n, depth / chunk_elements);
        for (std::int64_t i = 0; i < program_.tall; ++i)
          multiply(sums, columns, kind_of(step.right), static_cast<int>(i), static_cast<int>(n / fragment_size),
                   fragments[static_cast<std::size_t>(i)], own);
      }
    }
    return sums;
  }

  Values left_fragment(int which, FragmentLoad load, std::int64_t i, std::int64_t depth) {
    if (auto held = held_.find({which, i, depth}); held != held_.end()) return held->second;
    llvm::Value* first = b_.CreateMul(warp_, number(program_.tall * fragment_size));
    const SharedTile& own = shape(which);
    if (load.is_turned) {
      llvm::Value* place = fragment_place(b_, own, load, lane_, b_.CreateAdd(b_.CreateLShr(first, number(3)), number(2 * i)));
      return load_fragment(b_, own, load, b_.CreateAdd(rows_address_.at(which), place), depth, 0);
    }
    llvm::Value* place = b_.CreateAdd(fragment_place(b_, own, load, lane_), b_.CreateMul(first, number(own.line_bytes())));
    return load_fragment(b_, own, load, b_.CreateAdd(rows_address_.at(which), place), i * fragment_size, depth / chunk_elements);
  }

  Values sum(const RegisterStep& step) {
    AxisRef width = width_of(step);
    const int columns = columns_of(width);
    const FragmentLoad right{false, tile(step.right).along == width};
    Values sums;
    for (int r = 0; r < rows(); ++r)
      for (int c = 0; c < columns; ++c) sums.push_back(step.value ? values_->value(step.value, r, c) : real(0));
    // Elements of scores are where fragments of the left factor have them.
    std::vector<Values> left;
    for (int i = 0; i < static_cast<int>(program_.tall); ++i)
      for (int depth = 0; depth < static_cast<int>(program_.columns / fragment_size); ++depth) {
        Values& words = left.emplace_back();
        for (int word = 0; word < 4; ++word) {
          llvm::Value* halves[2];
          for (int e = 0; e < 2; ++e)
            halves[e] = factor(step.factor, program_.column, Reduction::sum, 2 * i + word % 2, depth * 4 + word / 2 * 2 + e);
          words.push_back(pack_halves(b_, kind_of(step.right), halves[0], halves[1]));
        }
      }
    llvm::Value* lane = b_.CreateAdd(slot_of(step.right), fragment_place(b_, shape(step.right), right, lane_));
    const auto depths = static_cast<std::size_t>(program_.columns / fragment_size);
    for (std::int64_t n = 0; n < width->size; n += fragment_size)
      for (std::size_t depth = 0; depth < depths; ++depth) {
        const auto line = static_cast<std::int64_t>(depth) * fragment_size;
        Values own = right.is_turned ? load_fragment(b_, shape(step.right), right, lane, line, n / chunk_elements)
                                     : load_fragment(b_, shape(step.right), right, lane, n, line / chunk_elements);
        for (std::size_t i = 0; i < static_cast<std::size_t>(program_.tall); ++i)
          multiply(sums, columns, kind_of(step.right), static_cast<int>(i), static_cast<int>(n / fragment_size), left[i * depths + depth],
                   own);
      }
    return sums;
  }

  // Of what a reduction goes over; its identity where the element does not exist.
  llvm::Value* factor(Expr x, AxisRef over, Reduction reduction, int r, int c) {
    llvm::Value* made = values_->value(x, r, c);
    llvm::Value* exists = values_->inside(over, r, c);
    if (!exists) return made;
    return b_.CreateSelect(exists, made, real(reduction == Reduction::sum ? 0 : -std::numeric_limits<double>::infinity()));
  }

  Values reduced(const RegisterStep& step, bool spread) {
    Values all;
    for (int r = 0; r < rows(); ++r) {
      Values row;
      for (int c = 0; c < columns_of(step.over); ++c) row.push_back(factor(step.factor, step.over, step.reduction, r, c));
      for (; row.size() > 1; row.resize((row.size() + 1) / 2))
        for (std::size_t k = 0; 2 * k < row.size(); ++k)
          row[k] = 2 * k + 1 < row.size() ? together(row[2 * k], row[2 * k + 1], step.reduction) : row[2 * k];
      if (!spread) row[0] = over_quad(row[0], step.reduction);
      all.push_back(step.value ? together(values_->value(step.value, r, -1), row[0], step.reduction) : row[0]);
    }
    return all;
  }

  Values kept(const RegisterStep& step) {
    Values all;
    const int columns = kept_columns(step.into);
    for (int r = 0; r < rows(); ++r)
      for (int c = 0; c < std::max(1, columns); ++c) all.push_back(values_->value(step.value, r, columns == 0 ? -1 : c));
    return all;
  }

  // Two neighbours at once where they lie side by side.
  void store(const RegisterStep& step) {
    AxisRef across = nullptr;
    std::int64_t weight = 0;
    bool is_even = step.address.constant % 2 == 0;
    auto look = [&](Expr x) {
      for (AxisRef axis : x->free)
        if (axis != program_.row && std::ranges::find(program_.units, axis) == program_.units.end()) across = axis;
    };
    look(step.value);
    for (const IntegerTerm& term : step.address.terms) look(term.x);
    for (const IntegerTerm& term : step.address.terms) {
      if (across && term.x->op == Op::axis && term.x->axes[0] == across)
        weight = term.weight;
      else
        is_even &= term.weight % 2 == 0;
    }
    const bool in_pairs = across && weight == 1 && is_even && across->size % 2 == 0;
    const DType dtype = step.into->dtype;
    for (int r = 0; r < rows(); ++r)
      for (int c = 0; c < (across ? columns_of(across) : 1); c += in_pairs ? 2 : 1) {
        const int column = across ? c : -1;
        llvm::Type* type = storage_llvm_type(b_.getContext(), dtype);
        llvm::Value *first = values_->value(step.value, r, column), *to_store = nullptr;
        if (in_pairs && (dtype == DType::bf16 || dtype == DType::f16)) {
          to_store =
              pack_halves(b_, dtype == DType::bf16 ? MatrixKind::bf16 : MatrixKind::f16, first, values_->value(step.value, r, column + 1));
        } else {
          to_store = to_storage(b_, dtype, first, false);
        }
        if (in_pairs && to_store->getType() == type) {
          llvm::Value* second = to_storage(b_, dtype, values_->value(step.value, r, column + 1), false);
          auto* pair = llvm::FixedVectorType::get(type, 2);
          to_store = b_.CreateInsertElement(b_.CreateInsertElement(llvm::PoisonValue::get(pair), to_store, std::uint64_t{0}), second,
                                            std::uint64_t{1});
        }
        llvm::Value* place = b_.CreateGEP(type, values_->buffer(step.into), values_->address(step.address, r, column));
        llvm::Value* exists = values_->inside(program_.row, r, column);
        auto also = [&](llvm::Value* condition) {
          if (condition) exists = exists ? b_.CreateAnd(exists, condition) : condition;
        };
        if (across)
          also(values_->inside(across, r, column));
        else
          also(b_.CreateICmpEQ(pair_, number(0)));
        llvm::BasicBlock* after = exists ? new_block() : nullptr;
        if (exists) {
          llvm::BasicBlock* inside = new_block();
          b_.CreateCondBr(exists, inside, after);
          b_.SetInsertPoint(inside);
        }
        b_.CreateAlignedStore(to_store, place, llvm::Align(static_cast<std::uint64_t>(byte_size(dtype) * (in_pairs ? 2 : 1))));
        if (after) {
          b_.CreateBr(after);
          b_.SetInsertPoint(after);
        }
      }
  }

  // --- blocks of columns

  // What a loop carries from one block to the next.
  Values carried() const {
    Values all = slots_;
    for (const Values& values : state_) all.insert(all.end(), values.begin(), values.end());
    return all;
  }
  void set_carried(const Values& all) {
    std::size_t next = 0;
    for (llvm::Value*& slot : slots_) slot = all[next++];
    for (Values& values : state_)
      for (llvm::Value*& value : values) value = all[next++];
  }

  struct Run {
    llvm::Value *column, *blocks;
    llvm::Value *next_column, *has_next;  // of the runs after it
  };

  void go_over_columns(const RegisterProgram::Part& part, std::size_t first_run) {
    values_->forget();
    ring_ = ring_of(p_, part);
    held_.clear(), rows_address_.clear(), sources_.clear();
    std::vector<Run> runs;
    for (std::size_t k = 0; k < part.kinds.size(); ++k) {
      Run run{in_table(1 + 2 * (first_run + k)), in_table(2 + 2 * (first_run + k)), number(0), b_.getFalse()};
      if (p_.by_data) narrow(run);
      runs.push_back(run);
    }
    llvm::Value *first_column = number(0), *any = b_.getFalse();
    for (std::size_t k = runs.size(); k-- > 0;) {
      runs[k].next_column = first_column, runs[k].has_next = any;
      llvm::Value* has_blocks = b_.CreateICmpSGT(runs[k].blocks, number(0));
      first_column = b_.CreateSelect(has_blocks, runs[k].column, first_column);
      any = b_.CreateOr(has_blocks, any);
    }
    block_barrier(b_);  // what a part before has in shared memory was read
    std::int64_t offset = 0;
    for (int k : ring_.rows) {
      rows_address_[k] = number(offset);
      offset += slot_bytes(shape(k));
      copy_rows(k);
    }
    slots_.clear();
    for (int slot = 0; slot < ring_.slots(); ++slot) slots_.push_back(number(offset + slot * ring_.slot_bytes));
    for (int k : ring_.columns) sources_.push_back(source_of(k));
    const bool may_be_ragged = program_.column->size % program_.columns != 0;
    for (std::size_t k = 0; k < ring_.columns.size(); ++k) {
      copy_columns(k, slots_[k], first_column, may_be_ragged);
      if (!ring_.together || k + 1 == ring_.columns.size()) commit_copies(b_);
    }
    hold_rows(part);
    for (std::size_t k = 0; k < part.kinds.size(); ++k) loop(part, part.kinds[k], runs[k]);
    wait_for_copies(b_, 0);
  }

  // Leaves out blocks that data says are not needed.
  void narrow(Run& run) {
    auto bound = [&](ArrayRef array) {
      llvm::Value* at = b_.CreateGEP(b_.getInt64Ty(), buffer(array), values_->address(p_.by_data->address, -1, -1));
      return b_.CreateTrunc(b_.CreateLoad(b_.getInt64Ty(), at), b_.getInt32Ty());
    };
    values_->bind_axis(p_.by_data->number, b_.CreateUDiv(row_, number(program_.rows)));
    auto larger = [&](llvm::Value* x, llvm::Value* y) { return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, y); };
    llvm::Value *begin = bound(p_.by_data->begin), *end = bound(p_.by_data->end);
    llvm::Value* skipped = b_.CreateSDiv(larger(b_.CreateSub(begin, run.column), number(0)), number(program_.columns));
    llvm::Value* last = b_.CreateSDiv(b_.CreateAdd(larger(b_.CreateSub(end, run.column), number(0)), number(program_.columns - 1)),
                                      number(program_.columns));
    last = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last, run.blocks);
    run.blocks = larger(b_.CreateSub(last, skipped), number(0));
    run.column = b_.CreateAdd(run.column, b_.CreateMul(skipped, number(program_.columns)));
  }

  // A tile's first element for the first position on rows or columns.
  llvm::Value* source_of(int k) {
    return b_.CreateGEP(b_.getInt16Ty(), values_->buffer(tile(k).array), values_->address(tile(k).address, -1, -1));
  }
  std::int64_t stride_on(int k, AxisRef axis) const { return tile(k).line == axis ? tile(k).stride : 1; }

  void copy(int k, llvm::Value* to, llvm::Value* from, AxisRef axis, llvm::Value* first, bool may_end) {
    TileSource source{from, tile(k).stride * half_bytes, nullptr, nullptr};
    llvm::Value* left = may_end ? b_.CreateSub(number(axis->size), first) : nullptr;
    AxisRef other = tile(k).line == axis ? tile(k).along : tile(k).line;
    llvm::Value* whole = other->size % fragment_size != 0 ? number(other->size) : nullptr;
    (tile(k).line == axis ? source.lines : source.bytes) = left;
    (tile(k).line == axis ? source.bytes : source.lines) = whole;
    if (source.bytes) source.bytes = b_.CreateMul(source.bytes, number(half_bytes));
    copy_tile(b_, shares_[static_cast<std::size_t>(k)], b_.CreateGEP(b_.getInt8Ty(), shared_memory(b_), b_.CreateZExt(to, b_.getInt64Ty())),
              source);
  }

  void copy_rows(int k) {
    llvm::Value* moved = b_.CreateMul(b_.CreateZExt(row_, b_.getInt64Ty()), wide(stride_on(k, program_.row)));
    copy(k, rows_address_.at(k), b_.CreateGEP(b_.getInt16Ty(), source_of(k), moved), program_.row, row_,
         program_.row->size % program_.rows != 0);
  }

  void copy_columns(std::size_t place, llvm::Value* to, llvm::Value* column, bool may_end) {
    const int k = ring_.columns[place];
    llvm::Value* moved = b_.CreateMul(b_.CreateZExt(column, b_.getInt64Ty()), wide(stride_on(k, program_.column)));
    llvm::Value* from = hidden(b_, b_.CreateGEP(b_.getInt16Ty(), sources_[place], moved));
    copy(k, to, from, program_.column, column, may_end);
  }

  // Fragments of rows that are few stay in registers.
  void hold_rows(const RegisterProgram::Part& part) {
    bool waited = false;
    for (const RegisterStep& step : part.kinds[0].steps) {
      if (step.kind != Kind::score) continue;
      const std::int64_t depths = (step.over->size + fragment_size - 1) / fragment_size;
      if (depths * program_.tall > most_held_fragments) continue;
      if (!waited) {
        wait_for_copies(b_, static_cast<int>(ring_.together ? 0 : ring_.columns.size() - 1));
        block_barrier(b_);
        waited = true;
      }
      for (std::int64_t depth = 0; depth < step.over->size; depth += fragment_size)
        for (std::int64_t i = 0; i < program_.tall; ++i)
          held_[{step.left, i, depth}] = left_fragment(step.left, {true, tile(step.left).along == program_.row}, i, depth);
    }
  }

  void loop(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, const Run& run) {
    llvm::BasicBlock *before = b_.GetInsertBlock(), *head = new_block(), *after = new_block();
    const Values initial = carried();
    b_.CreateCondBr(b_.CreateICmpSGT(run.blocks, number(0)), head, after);
    b_.SetInsertPoint(head);
    Values now;
    std::vector<llvm::PHINode*> phis;
    auto carry = [&](llvm::Value* start) {
      phis.push_back(b_.CreatePHI(start->getType(), 2));
      phis.back()->addIncoming(start, before);
      return phis.back();
    };
    llvm::PHINode *column = carry(run.column), *left = carry(run.blocks);
    for (llvm::Value* each : initial) now.push_back(carry(each));
    set_carried(now);
    values_->forget();
    values_->bind_axis(program_.column, b_.CreateAdd(column, pair_));
    values_->set_end(program_.column, kind.is_ragged ? program_.column->size : 0);
    llvm::Value* is_last = b_.CreateICmpEQ(left, number(1));
    next_column_ = b_.CreateSelect(is_last, run.next_column, b_.CreateAdd(column, number(program_.columns)));
    has_next_ = b_.CreateOr(b_.CreateNot(is_last), run.has_next);
    phase_ = 0;
    enter_phase();
    bind_kept(kind.steps, true);
    do_steps(kind.steps, true);
    if (!part.advance.empty()) {
      values_->forget();
      bind_kept(part.advance, true);
      do_steps(part.advance, false);
    }
    turn_ring();
    Values last{b_.CreateAdd(column, number(program_.columns)), b_.CreateSub(left, number(1))};
    const Values end = carried();
    last.insert(last.end(), end.begin(), end.end());
    llvm::BasicBlock* latch = b_.GetInsertBlock();
    for (std::size_t k = 0; k < phis.size(); ++k) phis[k]->addIncoming(last[k], latch);
    b_.CreateCondBr(b_.CreateICmpSGT(last[1], number(0)), head, after);
    b_.SetInsertPoint(after);
    Values merged;
    for (std::size_t k = 0; k < end.size(); ++k) {
      llvm::PHINode* phi = b_.CreatePHI(end[k]->getType(), 2);
      phi->addIncoming(initial[k], before);
      phi->addIncoming(end[k], latch);
      merged.push_back(phi);
    }
    set_carried(merged);
  }

  // --- the ring: when a tile's turn comes all threads have it and are done with the one before, in whose place the next but all comes

  llvm::Value* slot_of(int k) const { return slots_[static_cast<std::size_t>(ring_.place_of(k))]; }

  void enter_phase() {
    const std::size_t count = ring_.columns.size();
    if (phase_ >= count || (ring_.together && phase_ > 0)) return;
    wait_for_copies(b_, static_cast<int>(ring_.together ? 0 : count - 1));
    block_barrier(b_);
    llvm::BasicBlock *more = new_block(), *after = new_block();
    b_.CreateCondBr(has_next_, more, after);
    b_.SetInsertPoint(more);
    if (ring_.together)
      for (std::size_t k = 0; k < count; ++k) copy_columns(k, slots_[count + k], next_column_, false);
    else
      copy_columns(phase_, slots_[(phase_ + count) % (count + 1)], next_column_, false);
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
    commit_copies(b_);
  }

  // After a step: the next tile's turn, if this one is done with.
  void leave_tiles(const RegisterSteps& steps, std::size_t k) {
    const std::size_t count = ring_.columns.size();
    while (phase_ < count) {
      const int current = ring_.columns[phase_];
      for (std::size_t later = k + 1; later < steps.size(); ++later)
        if (steps[later].left == current || steps[later].right == current) return;
      if (++phase_ < count) enter_phase();
    }
  }

  void turn_ring() {
    const std::size_t count = ring_.columns.size(), slots = slots_.size();
    Values turned;
    for (std::size_t k = 0; k < slots; ++k) turned.push_back(slots_[(k + count) % slots]);
    slots_ = std::move(turned);
  }

  const Prepared& p_;
  const RegisterProgram& program_;
  llvm::Module& module_;
  std::string symbol_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  std::optional<RegisterValues> values_;
  std::vector<std::vector<TileShare>> shares_;  // of tiles
  llvm::Value *lane_ = nullptr, *warp_ = nullptr, *row_ = nullptr, *entry_ = nullptr, *pair_ = nullptr;
  llvm::GlobalVariable* table_ = nullptr;
  std::vector<Values> state_;  // of the kept values
  // Of the part over columns.
  Ring ring_;
  Values slots_, sources_;
  std::map<int, llvm::Value*> rows_address_;
  std::map<std::tuple<int, std::int64_t, std::int64_t>, Values> held_;
  std::size_t phase_ = 0;
  llvm::Value *next_column_ = nullptr, *has_next_ = nullptr;
};

std::string key_of(const Prepared& p) {
  const RegisterProgram& program = p.program;
  ExpressionText text;
  text.add(fmt::format("gpu registers {} x {} tall {} ", program.rows, program.columns, program.tall));
  for (ArrayRef array : p.buffers) text.add(array);
  for (AxisRef axis : program.units) text.add(axis);
  text.add(program.row), text.add(program.column);
  for (AxisRef axis : program.widths) text.add(axis);
  auto add_form = [&](const LinearForm& form) {
    for (const IntegerTerm& term : form.terms) {
      text.add(fmt::format("{} *", term.weight));
      text.add(term.x);
    }
    text.add(fmt::format("+ {}", form.constant));
  };
  for (const RegisterTile& tile : program.tiles) {
    text.add(fmt::format("tile {}", tile.stride));
    text.add(tile.array), text.add(tile.line), text.add(tile.along);
    add_form(tile.address);
  }
  for (const auto& [name, masked] : program.names) {
    text.add(name);
    text.add(masked);
  }
  for (std::size_t k = 0; k < program.kept.size(); ++k) {
    text.add(program.spread[k] ? "spread" : "kept");
    text.add(program.kept[k]);
  }
  auto add_steps = [&](const RegisterSteps& steps) {
    for (const RegisterStep& step : steps) {
      text.add(fmt::format("step {} {} {} {}", static_cast<int>(step.kind), step.left, step.right, static_cast<int>(step.reduction)));
      text.add(step.into);
      if (step.over) text.add(step.over);
      for (Expr x : {step.value, step.factor})
        if (x)
          text.add(x);
        else
          text.add("none");
      add_form(step.address);
    }
  };
  for (const auto& part : program.parts) {
    text.add(part.over_columns ? "over columns" : "once");
    for (const auto& kind : part.kinds) {
      text.add(kind.is_ragged ? "ragged" : "whole");
      add_steps(kind.steps);
    }
    text.add("advance");
    add_steps(part.advance);
  }
  if (p.by_data) {
    text.add("by data");
    text.add(p.by_data->begin), text.add(p.by_data->end), text.add(p.by_data->number);
    add_form(p.by_data->address);
  }
  std::string blocks = "blocks";
  for (const auto& rows : program.blocks) {
    blocks += fmt::format(" {}:", rows.row);
    for (const auto& run : rows.runs) blocks += fmt::format(" {} {}", run.column, run.blocks);
  }
  return text.text() + blocks;
}

}  // namespace

RegisterKernel register_kernel(const Blocks& blocks) {
  auto prepared = std::make_shared<Prepared>(*blocks.registers);
  const RegisterProgram& program = prepared->program;
  prepared->buffers = prepared->accesses.buffers();
  if (blocks.by_data) {
    Arena& arena = *program.row->arena;
    ArrayRef begin = blocks.by_data->begin;
    AxisRef count = fresh_axis(arena, begin->shape.back());
    std::vector<Expr> indices;
    for (int unit : blocks.by_data->units) indices.push_back(value(program.units[static_cast<std::size_t>(unit)]));
    indices.push_back(value(count));
    prepared->by_data = {begin, blocks.by_data->end, affine_address(read_stored(begin, indices)), count};
    for (ArrayRef array : {begin, blocks.by_data->end}) prepared->buffers.push_back(array);
  }
  auto extent = [&](AxisRef axis) { return axis == program.row ? program.rows : axis == program.column ? program.columns : axis->size; };
  for (const RegisterTile& tile : program.tiles) {
    auto whole = [&](AxisRef axis) { return (extent(axis) + fragment_size - 1) / fragment_size * fragment_size; };
    prepared->shapes.push_back({whole(tile.line), whole(tile.along) / chunk_elements});
  }
  RegisterKernel kernel;
  for (const auto& part : program.parts)
    if (part.over_columns) kernel.shared_bytes = std::max(kernel.shared_bytes, ring_of(*prepared, part).bytes());
  kernel.buffers = prepared->buffers;
  kernel.tasks = static_cast<std::int64_t>(program.blocks.size());
  for (AxisRef unit : program.units) kernel.tasks *= unit->size;
  kernel.source = {key_of(*prepared),
                   [prepared](llvm::Module& module, const std::string& symbol) { Writer(module, symbol, *prepared).write(); }};
  return kernel;
}

}  // namespace heed
