// A nest as machine code.
#include <llvm/IR/IRBuilder.h>

#include "codegen/tile/emitter_state.h"
#include "codegen/tile/nest.h"
#include "codegen/tile/reduce.h"
#include "codegen/tile/transpose.h"

namespace heed {
namespace {

class NestEmitter {
 public:
  NestEmitter(llvm::Module& module, const std::string& symbol, const Nest& nest, const Accesses& accesses, VectorShape shape)
      : e_(module, symbol, accesses, shape), nest_(nest) {}

  void emit() {
    if (!nest_.square) bind_strips(e_.number(0));
    llvm::IRBuilderBase& b = e_.builder();
    std::int64_t lane_size = nest_.lane_row ? nest_.lane_row->size : 1;
    std::int64_t lane_tasks = (lane_size + nest_.lanes_per_task - 1) / nest_.lanes_per_task;
    llvm::Value* row_task = b.CreateSDiv(e_.task(), e_.number(lane_tasks));
    llvm::Value* lane_task = b.CreateSRem(e_.task(), e_.number(lane_tasks));
    auto [first_row, last_row] = range(row_task, nest_.rows_per_task, nest_.row_count());
    auto [first_lane, last_lane] = range(lane_task, nest_.lanes_per_task, lane_size);
    clear_parts();
    llvm::Value* row = e_.open_counter(first_row, last_row);
    if (nest_.square) take_square(row);
    bind_rows(row);
    bind_parts();
    if (nest_.lane_row)
      e_.for_lanes(nest_.lane_row, first_lane, last_lane, lane_size, nest_.unroll, [&](int copies) { sweeps(copies); });
    else
      sweeps(1);
    e_.close_loop();
    e_.finish();
  }

 private:
  struct Range {
    llvm::Value *begin, *end;
  };
  // What task `task` covers of 0 … size - 1, `part` at a time.
  Range range(llvm::Value* task, std::int64_t part, std::int64_t size) {
    llvm::IRBuilderBase& b = e_.builder();
    if (part >= size) return {e_.number(0), e_.number(size)};
    llvm::Value* first = b.CreateMul(task, e_.number(part));
    llvm::Value* last = b.CreateAdd(first, e_.number(part));
    if (size % part != 0) last = b.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last, e_.number(size));
    return {first, last};
  }
  // Of an axis of a sweep.
  Range range(AxisRef axis) {
    if (nest_.square && axis == nest_.square->row) return square_rows_;
    if (nest_.square && axis == nest_.square->lane) return square_lanes_;
    return {e_.number(0), e_.number(axis->size)};
  }

  // The lowest digits of a row tell which square it is.
  void take_square(llvm::Value*& row) {
    const Square& square = *nest_.square;
    auto take = [&](AxisRef axis) {
      llvm::Value* index = e_.take_digit(row, ceil_divide(axis->size, square.side));
      return range(index, square.side, axis->size);
    };
    square_lanes_ = take(square.lane);
    square_rows_ = take(square.row);
    llvm::IRBuilderBase& b = e_.builder();
    bind_strips(b.CreateAdd(b.CreateMul(square_rows_.begin, e_.number(square.side)), square_lanes_.begin));
  }

  // Their first element in scratch is the one at `first`.
  void bind_strips(llvm::Value* first) {
    for (const Strip& strip : nest_.strips) {
      llvm::IRBuilderBase& b = e_.builder();
      llvm::Value* place = b.CreateConstInBoundsGEP1_64(b.getInt8Ty(), e_.scratch(), static_cast<std::uint64_t>(strip.offset));
      llvm::Value* before = b.CreateMul(first, e_.number(-byte_size(strip.array->dtype)));
      e_.bind_strip(strip.array, b.CreateGEP(b.getInt8Ty(), place, before), nest_.lane_row ? nest_.unroll * e_.lanes() : 0);
    }
  }

  llvm::Value* line_of(const Part& part) {
    llvm::IRBuilderBase& b = e_.builder();
    llvm::Value* line = b.CreateMul(e_.task(), e_.number(part.element->size * byte_size(part.array->dtype)));
    return b.CreateInBoundsGEP(b.getInt8Ty(), e_.buffer(part.into), line);
  }

  void clear_parts() {
    for (const Part& part : nest_.parts) {
      llvm::Value* line = line_of(part);
      auto clear = [&](int copies) {
        for (int copy = 0; copy < copies; ++copy)
          e_.store_at(part.array->dtype, line, linear_form(value(part.element)), e_.constant(part.array->dtype, 0, false), copy);
      };
      constexpr int unroll = 4;
      if (part.element->size > 1)
        e_.for_lanes(part.element, part.element->size, unroll, clear);
      else
        clear(1);
    }
  }

  // Inside of the loop over rows: what is read of them changes with each.
  void bind_parts() {
    for (const Part& part : nest_.parts) e_.bind_strip(part.array, line_of(part), 0);
  }

  void bind_rows(llvm::Value* row) {
    for (std::size_t k = nest_.rows.size(); k-- > 0;) {
      llvm::IRBuilderBase& b = e_.builder();
      AxisRef axis = nest_.rows[k];
      e_.bind_axis(axis, k == 0 ? row : b.CreateURem(row, e_.number(axis->size)));
      if (k > 0) row = b.CreateUDiv(row, e_.number(axis->size));
    }
  }

  void sweeps(int copies) {
    for (const Sweep& sweep : nest_.sweeps) sweep.turns ? turn(sweep) : emit(sweep, copies);
  }

  // Vectors along the lanes, one below the other for as many places as a vector has lanes, are stored as columns. Past the last place the
  // last one is taken again: nobody reads what that gives.
  void turn(const Sweep& sweep) {
    const AxisRef along = sweep.lane_axis, across = sweep.axes[0];
    const Range lines = range(across), lanes = range(along);
    llvm::Value* last = e_.builder().CreateSub(lines.end, e_.number(1));
    llvm::Value* first = e_.open_counter(lines.begin, lines.end, e_.lanes());
    e_.for_lanes(along, lanes.begin, lanes.end, along->size, 1, [&](int) {
      for (const NestStore& store : sweep.stores) {
        std::vector<llvm::Value*> values;
        for (int line = 0; line < e_.lanes(); ++line) {
          e_.open_counter(e_.number(0), e_.number(1));
          llvm::Value* place = e_.builder().CreateAdd(first, e_.number(line));
          if (across->size % e_.lanes() != 0) place = e_.builder().CreateBinaryIntrinsic(llvm::Intrinsic::smin, place, last);
          e_.bind_axis(across, place);
          values.push_back(e_.emit_lanes(store.value));
          e_.close_loop();
        }
        transpose(e_.builder(), values);
        store_columns(store, first, values);
      }
    });
    e_.close_loop();
  }

  void store_columns(const NestStore& store, llvm::Value* first, const std::vector<llvm::Value*>& columns) {
    const Emitter::State& s = e_.state();
    llvm::IRBuilderBase& b = e_.builder();
    for (std::size_t k = 0; k < columns.size(); ++k) {
      llvm::Value* position = b.CreateAdd(s.lanes.base, e_.number(static_cast<std::int64_t>(k)));
      llvm::Value* element = b.CreateAdd(b.CreateMul(position, e_.number(nest_.square->side)), first);
      e_.store(store.array->dtype, s.arrays.at(store.array).strip, element, columns[k]);
    }
  }

  void emit(const Sweep& sweep, int copies) {
    bool lanes_inside = sweep.lane_axis != nullptr;
    int parts = lanes_inside ? sweep.unroll : copies;
    std::vector<std::vector<Accumulator>> accumulators;  // of each accumulation, one a copy
    std::vector<bool> vectors;
    for (const Accumulation& each : sweep.accumulations) {
      bool vector = lanes_inside || e_.is_varying(each.body);
      vectors.push_back(vector);
      auto& own = accumulators.emplace_back();
      for (int part = 0; part < (vector ? parts : 1); ++part) own.emplace_back(e_, each.reduction, each.body->dtype, vector);
    }
    auto body = [&](int now) {
      for (std::size_t k = 0; k < sweep.accumulations.size(); ++k) {
        const Accumulation& each = sweep.accumulations[k];
        e_.emit_checks(each.body, now);
        for (int part = 0; part < (vectors[k] ? now : 1); ++part)
          accumulators[k][static_cast<std::size_t>(part)].add(each.body, sweep.axes[0], part, lanes_inside ? e_.active_mask() : nullptr);
      }
      stores(sweep, now);
    };
    for (AxisRef axis : sweep.axes)
      if (axis != sweep.lane_axis) e_.open_loop(axis, range(axis).begin, range(axis).end);
    if (lanes_inside)
      e_.for_lanes(sweep.lane_axis, range(sweep.lane_axis).begin, range(sweep.lane_axis).end, sweep.lane_axis->size, sweep.unroll, body);
    else
      body(copies);
    for (AxisRef axis : sweep.axes)
      if (axis != sweep.lane_axis) e_.close_loop();
    for (std::size_t k = 0; k < sweep.accumulations.size(); ++k) bind(sweep.accumulations[k], accumulators[k], lanes_inside, vectors[k]);
  }

  void bind(const Accumulation& accumulation, std::vector<Accumulator>& parts, bool across, bool vector) {
    std::vector<llvm::Value*> results;
    if (across) {
      for (std::size_t step = 1; step < parts.size(); step *= 2)
        for (std::size_t k = 0; k + step < parts.size(); k += 2 * step) parts[k].merge(parts[k + step]);
      results.push_back(parts[0].across_lanes());
    } else {
      for (Accumulator& part : parts) results.push_back(part.result());
    }
    e_.bind_array(accumulation.into, std::move(results), vector && !across);
  }

  // All values before any store: a store may be in place of what another value reads.
  void stores(const Sweep& sweep, int copies) {
    std::vector<std::vector<llvm::Value*>> values(sweep.stores.size());
    for (std::size_t k = 0; k < sweep.stores.size(); ++k) {
      const NestStore& store = sweep.stores[k];
      e_.emit_checks(store.value, copies);
      for (int copy = 0; copy < copies; ++copy) values[k].push_back(e_.emit(store.value, copy));
    }
    for (std::size_t k = 0; k < sweep.stores.size(); ++k)
      for (int copy = 0; copy < copies; ++copy) emit(sweep.stores[k], values[k][static_cast<std::size_t>(copy)], copy);
  }

  void emit(const NestStore& store, llvm::Value* value, int copy) {
    if (store.onto) {
      llvm::Value* old = e_.emit(store.onto, copy);
      llvm::IRBuilderBase& b = e_.builder();
      if (lane_count(old) && !lane_count(value)) value = e_.state().splat(value);
      value = is_floating(store.array->dtype) ? b.CreateFAdd(old, value) : b.CreateAdd(old, value);
      e_.store_strip(store.array, store.address, value, copy);
      return;
    }
    for (const Strip& strip : nest_.strips)
      if (strip.array == store.array) {
        e_.store_strip(store.array, store.address, value, copy);
        return;
      }
    if (!store.add) {
      e_.store_at(store.array->dtype, e_.buffer(store.array), store.address, value, copy);
      return;
    }
    // A scatter: the guard is the same for all lanes, which lie side by side.
    e_.open_if(e_.emit_scalar(store.guard));
    Emitter::State& s = e_.state();
    llvm::Value* element = s.scalar_sum(store.address, true);
    bool vector = nest_.lane_row != nullptr;
    llvm::IRBuilderBase& b = e_.builder();
    if (vector) {
      element = b.CreateAdd(element, b.CreateAdd(s.lanes.base, e_.number(copy * e_.lanes())));
      if (!lane_count(value)) value = s.splat(value);
    }
    llvm::Value* old = e_.load(store.array->dtype, e_.buffer(store.array), element, vector, vector ? e_.active_mask() : nullptr);
    llvm::Value* sum = is_floating(store.array->dtype) ? e_.builder().CreateFAdd(old, value) : e_.builder().CreateAdd(old, value);
    e_.store(store.array->dtype, e_.buffer(store.array), element, sum, vector ? e_.active_mask() : nullptr);
    e_.close_if();
  }

  Emitter e_;
  const Nest& nest_;
  Range square_rows_{}, square_lanes_{};
};

}  // namespace

void prepare_nest(const Nest& nest, Accesses& accesses) {
  for (ArrayRef local : nest.locals) accesses.add_local(local);
  for (const Strip& strip : nest.strips) accesses.add_local(strip.array);
  for (const Part& part : nest.parts) {
    accesses.add_local(part.array);
    accesses.add_buffer(part.into);
    accesses.prepare(value(part.element));
  }
  for (const Sweep& sweep : nest.sweeps)
    for (const NestStore& store : sweep.stores) {
      if (!accesses.is_local(store.array)) accesses.add_buffer(store.array);
      for (const IntegerTerm& term : store.address.terms) accesses.prepare(term.x);
    }
  for (Expr root : nest.roots()) accesses.prepare(root);
}

void emit_nest(llvm::Module& module, const std::string& symbol, const Nest& nest, const Accesses& accesses, VectorShape shape) {
  NestEmitter(module, symbol, nest, accesses, shape).emit();
}

}  // namespace heed
