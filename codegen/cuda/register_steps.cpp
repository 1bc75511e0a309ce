// Products and reductions on the fragments of a thread, and what is stored of them.
#include <limits>

#include "codegen/cuda/register_writer.h"
#include "codegen/tile/emitter_state.h"

namespace heed {

void RegisterWriter::do_steps(const RegisterSteps& steps, bool in_loop) {
  std::vector<std::pair<std::size_t, Values>> next;
  auto is_last_sum = [&](std::size_t k) {
    return std::none_of(steps.begin() + static_cast<std::ptrdiff_t>(k) + 1, steps.end(),
                        [](const RegisterStep& step) { return step.kind == Kind::sum; });
  };
  for (std::size_t k = 0; k < steps.size(); ++k) {
    const RegisterStep& step = steps[k];
    switch (step.kind) {
      case Kind::score:
        values_->bind(step.into, score(step), columns_of(program_.column));
        break;
      case Kind::sum:
        values_->bind(step.into, sum(step, in_loop && is_last_sum(k)), columns_of(width_of(step)));
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

AxisRef RegisterWriter::width_of(const RegisterStep& step) const {
  const RegisterTile& own = tile(step.right);
  return own.line == program_.column ? own.along : own.line;
}

bool RegisterWriter::is_spread(const RegisterSteps& steps, const RegisterStep& sum) const {
  return std::ranges::any_of(steps, [&](const RegisterStep& step) {
    return step.kind == Kind::keep && program_.spread[kept_number(step.into)] && is_read_of(step.value, sum.into);
  });
}

void RegisterWriter::multiply(Values& sums, int columns, MatrixKind kind, int tall, int pair, const Values& left, const Values& right) {
  for (int half = 0; half < 2; ++half) {
    Values own;
    auto place = [&](int e) { return static_cast<std::size_t>((tall * 2 + e / 2) * columns + (pair * 2 + half) * 2 + e % 2); };
    for (int e = 0; e < 4; ++e) own.push_back(sums[place(e)]);
    own =
        multiply_matrices(b_, kind, left, {right[static_cast<std::size_t>(2 * half)], right[static_cast<std::size_t>(2 * half + 1)]}, own);
    for (int e = 0; e < 4; ++e) sums[place(e)] = own[static_cast<std::size_t>(e)];
  }
}

RegisterWriter::Values RegisterWriter::score(const RegisterStep& step) {
  const FragmentLoad right{false, tile(step.right).along == program_.column};
  llvm::Value* place = columns_place(step.right, right);
  const std::int64_t offset = ring_.place_of(step.right);
  const int columns = columns_of(program_.column);
  Values sums;
  for (int r = 0; r < rows(); ++r)
    for (int c = 0; c < columns; ++c) sums.push_back(step.value ? values_->start(step.value, r, c) : real(0));
  for (std::int64_t depth = 0; depth < step.over->size; depth += fragment_size) {
    std::vector<Values> fragments;
    for (std::int64_t i = 0; i < program_.tall; ++i) fragments.push_back(left_fragment(step.left, i, depth));
    for (std::int64_t n = 0; n < program_.columns; n += fragment_size) {
      Values own = right.is_turned ? load_fragment(b_, shape(step.right), right, place, offset, depth, n / chunk_elements)
                                   : load_fragment(b_, shape(step.right), right, place, offset, n, depth / chunk_elements);
      for (std::int64_t i = 0; i < program_.tall; ++i)
        multiply(sums, columns, kind_of(step.right), static_cast<int>(i), static_cast<int>(n / fragment_size),
                 fragments[static_cast<std::size_t>(i)], own);
    }
  }
  return sums;
}

RegisterWriter::Values RegisterWriter::left_fragment(int which, std::int64_t i, std::int64_t depth) {
  if (auto held = held_.find({which, i, depth}); held != held_.end()) return held->second;
  const FragmentLoad load{true, tile(which).along == program_.row};
  llvm::Value* place = rows_place(which, load.is_turned ? i : 0);
  const std::int64_t offset = ring_.place_of(which);
  return load.is_turned ? load_fragment(b_, shape(which), load, place, offset, depth, 0)
                        : load_fragment(b_, shape(which), load, place, offset, i * fragment_size, depth / chunk_elements);
}

llvm::Value* RegisterWriter::rows_place(int which, std::int64_t i) {
  const FragmentLoad load{true, tile(which).along == program_.row};
  const SharedTile& own = shape(which);
  llvm::Value*& known = rows_places_[{own.chunks, load.is_turned, i}];
  if (known) return known;
  llvm::Value* first = b_.CreateMul(warp_, number(program_.tall * fragment_size));
  llvm::Value* place = load.is_turned ? fragment_place(b_, own, load, lane_, b_.CreateAdd(b_.CreateLShr(first, number(3)), number(2 * i)))
                                      : b_.CreateAdd(fragment_place(b_, own, load, lane_), b_.CreateMul(first, number(own.line_bytes())));
  return known = hidden(b_, place);
}

llvm::Value* RegisterWriter::columns_place(int which, FragmentLoad load) {
  llvm::Value* slot = slots_[ring_.together ? 0 : ring_.number_of(which)];
  return b_.CreateAdd(slot, fragment_place(b_, shape(which), load, lane_));
}

RegisterWriter::Values RegisterWriter::packed(Expr x, MatrixKind kind, int i, int depth) {
  Values words;
  for (int word = 0; word < 4; ++word) {
    llvm::Value* halves[2];
    for (int e = 0; e < 2; ++e) halves[e] = factor(x, program_.column, Reduction::sum, 2 * i + word % 2, depth * 4 + word / 2 * 2 + e);
    words.push_back(pack_halves(b_, kind, halves[0], halves[1]));
  }
  return words;
}

void RegisterWriter::for_elements(int rows, int columns, const std::function<void(int r, int c)>& visit) {
  const bool by_columns = !ring_.vectors.empty();
  for (int outer = 0; outer < (by_columns ? columns : rows); ++outer)
    for (int inner = 0; inner < (by_columns ? rows : columns); ++inner) by_columns ? visit(inner, outer) : visit(outer, inner);
}

RegisterWriter::Values RegisterWriter::sum(const RegisterStep& step, bool is_last) {
  AxisRef width = width_of(step);
  const int columns = columns_of(width);
  const FragmentLoad right{false, tile(step.right).along == width};
  Values sums;
  for (int r = 0; r < rows(); ++r)
    for (int c = 0; c < columns; ++c) sums.push_back(step.value ? values_->value(step.value, r, c) : real(0));
  std::vector<Values> left;
  const auto tall = static_cast<int>(program_.tall), depths = static_cast<int>(program_.columns / fragment_size);
  left.resize(static_cast<std::size_t>(tall * depths));
  for_elements(tall, depths, [&](int i, int depth) {
    left[static_cast<std::size_t>(i * depths + depth)] = packed(step.factor, kind_of(step.right), i, depth);
  });
  if (is_last) read_ahead();
  llvm::Value* place = columns_place(step.right, right);
  const std::int64_t offset = ring_.place_of(step.right);
  for (std::int64_t n = 0; n < width->size; n += fragment_size)
    for (int depth = 0; depth < depths; ++depth) {
      const std::int64_t line = depth * fragment_size;
      Values own = right.is_turned ? load_fragment(b_, shape(step.right), right, place, offset, line, n / chunk_elements)
                                   : load_fragment(b_, shape(step.right), right, place, offset, n, line / chunk_elements);
      for (int i = 0; i < tall; ++i)
        multiply(sums, columns, kind_of(step.right), i, static_cast<int>(n / fragment_size),
                 left[static_cast<std::size_t>(i * depths + depth)], own);
    }
  return sums;
}

llvm::Value* RegisterWriter::factor(Expr x, AxisRef over, Reduction reduction, int r, int c) {
  llvm::Value* made = values_->value(x, r, c);
  llvm::Value* exists = values_->inside(over, r, c);
  if (!exists) return made;
  return b_.CreateSelect(exists, made, real(reduction == Reduction::sum ? 0 : -std::numeric_limits<double>::infinity()));
}

// Neighbours are put together first, and what comes of them in the same way.
RegisterWriter::Values RegisterWriter::reduced(const RegisterStep& step, bool spread, const std::function<void(int r, int c)>& also) {
  struct Partial {
    int columns;
    llvm::Value* value;
  };
  std::vector<std::vector<Partial>> partial(static_cast<std::size_t>(rows()));
  auto put_last_together = [&](std::vector<Partial>& row) {
    const Partial last = row.back();
    row.pop_back();
    row.back() = {row.back().columns + last.columns, together(row.back().value, last.value, step.reduction)};
  };
  for_elements(rows(), columns_of(step.over), [&](int r, int c) {
    auto& row = partial[static_cast<std::size_t>(r)];
    row.push_back({1, factor(step.factor, step.over, step.reduction, r, c)});
    if (also) also(r, c);
    while (row.size() > 1 && row[row.size() - 2].columns == row.back().columns) put_last_together(row);
  });
  Values all;
  for (int r = 0; r < rows(); ++r) {
    auto& row = partial[static_cast<std::size_t>(r)];
    while (row.size() > 1) put_last_together(row);
    llvm::Value* own = spread ? row[0].value : over_quad(row[0].value, step.reduction);
    all.push_back(step.value ? together(values_->value(step.value, r, -1), own, step.reduction) : own);
  }
  return all;
}

RegisterWriter::Values RegisterWriter::kept(const RegisterStep& step) {
  Values all;
  const int columns = kept_columns(step.into);
  for (int r = 0; r < rows(); ++r)
    for (int c = 0; c < std::max(1, columns); ++c) all.push_back(values_->value(step.value, r, columns == 0 ? -1 : c));
  return all;
}

void RegisterWriter::store(const RegisterStep& step) {
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
      if (in_pairs && is_half(dtype)) {
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

}  // namespace heed
