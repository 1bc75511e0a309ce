// What groups of warps do for a block of columns.
#include "codegen/cuda/register_wide_writer.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

constexpr std::int64_t descriptor_unit = 16;  // bytes

}  // namespace

void WideRegisterWriter::find_sums(const RegisterProgram::Part& part) {
  sums_.clear(), scores_.clear(), score_tiles_.clear(), sum_tiles_.clear();
  const RegisterSteps& steps = part.kinds[0].steps;
  auto add = [](std::vector<int>& list, int tile) {
    if (!has(list, tile)) list.push_back(tile);
  };
  for (const RegisterStep& step : steps) {
    if (step.kind == Kind::score) {
      scores_.push_back({step.left, step.right, step.over, make_memory(b_.getFloatTy(), 2 * columns_of(program_.column))});
      add(score_tiles_, step.right);
    }
    if (step.kind != Kind::sum) continue;
    const auto* keeper = &*std::ranges::find_if(
        steps, [&](const RegisterStep& each) { return each.kind == Kind::keep && is_read_of(each.value, step.into); });
    const int columns = columns_of(width_of(step));
    sums_.push_back({step.right, kept_number(keeper->into), columns, make_memory(b_.getFloatTy(), 2 * columns),
                     make_memory(b_.getInt32Ty(), columns_of(program_.column))});
    add(sum_tiles_, step.right);
  }
}

// --- state

void WideRegisterWriter::keep_state() {
  kept_memory_.assign(state_.size(), nullptr);
  for (std::size_t k = 0; k < state_.size(); ++k)
    if (std::ranges::find(sums_, k, &WideSum::kept) == sums_.end() && !state_[k].empty())
      kept_memory_[k] = make_memory(b_.getFloatTy(), static_cast<std::int64_t>(state_[k].size()));
  keep_rows();
  for (const WideSum& sum : sums_) {
    const Values values = state_[sum.kept];
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < sum.columns; ++c)
        b_.CreateStore(values[static_cast<std::size_t>(r * sum.columns + c)], at(b_.getFloatTy(), sum.memory, fragment::place_of(r, c)));
  }
}

void WideRegisterWriter::keep_rows() {
  for (std::size_t k = 0; k < state_.size(); ++k)
    for (std::size_t e = 0; kept_memory_[k] && e < state_[k].size(); ++e)
      b_.CreateStore(state_[k][e], at(b_.getFloatTy(), kept_memory_[k], static_cast<std::int64_t>(e)));
}

void WideRegisterWriter::load_rows() {
  for (std::size_t k = 0; k < state_.size(); ++k)
    for (std::size_t e = 0; kept_memory_[k] && e < state_[k].size(); ++e)
      state_[k][e] = b_.CreateLoad(b_.getFloatTy(), at(b_.getFloatTy(), kept_memory_[k], static_cast<std::int64_t>(e)));
}

void WideRegisterWriter::load_state() {
  load_rows();
  for (const WideSum& sum : sums_) state_[sum.kept] = of_products(sum.memory, sum.columns);
}

RegisterWriter::Values WideRegisterWriter::of_products(llvm::Value* memory, int columns) {
  Values values;
  for (int r = 0; r < 2; ++r)
    for (int c = 0; c < columns; ++c)
      values.push_back(b_.CreateLoad(b_.getFloatTy(), at(b_.getFloatTy(), memory, fragment::place_of(r, c))));
  return values;
}

// --- tiles

void WideRegisterWriter::wait_for_tiles(const std::vector<int>& tiles, const Turn& turn) {
  for (int k : tiles) wait_for_phase(b_, barrier(Sign::full, place_of(k), turn.stage), turn.parity);
}

void WideRegisterWriter::release_tiles(const std::vector<int>& tiles, const Turn& turn) {
  for (int k : tiles) arrive(b_, barrier(Sign::empty, place_of(k), turn.stage), is_first_lane_);
}

llvm::Value* WideRegisterWriter::matrix(int k, llvm::Value* place) {
  return matrix_place(b_, shared(place), wide_tile(program_, k).box_bytes(), 8 * wide_line_bytes);
}

llvm::Value* WideRegisterWriter::matrix_of_stage(std::size_t place, llvm::Value* stage) {
  const std::int64_t units = wide_tile(program_, layout_.columns[place]).bytes() / descriptor_unit;
  return b_.CreateAdd(matrices_[place], b_.CreateZExt(b_.CreateMul(stage, number(units)), b_.getInt64Ty()));
}

std::int64_t WideRegisterWriter::moved(int k, AxisRef depth, std::int64_t steps) {
  constexpr std::int64_t in_box = wide_line / fragment_size;
  if (is_across(k, depth)) return steps * fragment_size * wide_line_bytes / descriptor_unit;
  return (steps / in_box * wide_tile(program_, k).box_bytes() + steps % in_box * fragment_size * half_bytes) / descriptor_unit;
}

// --- products

void WideRegisterWriter::add_scores(const RegisterSteps& steps, const Turn& turn) {
  begin_products(b_);
  std::size_t next = 0;
  for (const RegisterStep& step : steps) {
    if (step.kind != Kind::score) continue;
    const WideScore& score = scores_[next++];
    const auto rows = static_cast<std::size_t>(std::ranges::find(layout_.rows, step.left) - layout_.rows.begin());
    // Rows of a group are below each other, or, across, a box of their own.
    const std::int64_t of_group =
        is_across(step.left, step.over) ? wide_tile(program_, step.left).box_bytes() : wide_rows * wide_line_bytes;
    llvm::Value* left = matrix(step.left, b_.CreateAdd(b_.CreateMul(group_, number(of_group)), number(layout_.places[rows])));
    llvm::Value* right = matrix_of_stage(place_of(step.right), turn.stage);
    WideProduct product{kind_of(step.right), 4 * columns_of(program_.column), is_across(step.left, step.over),
                        is_across(step.right, step.over), true};
    for (std::int64_t at = 0; at * fragment_size < step.over->size; ++at) {
      multiply_wide(b_, product, score.memory, b_.CreateAdd(left, wide(moved(step.left, step.over, at))),
                    b_.CreateAdd(right, wide(moved(step.right, step.over, at))));
      product.is_first = false;
    }
  }
  commit_products(b_);
}

void WideRegisterWriter::add_sums(const Turn& turn) {
  wait_for_tiles(sum_tiles_, turn);
  begin_products(b_);
  for (const WideSum& sum : sums_) {
    const WideProduct product{kind_of(sum.tile), 4 * sum.columns, false, is_across(sum.tile, program_.column)};
    llvm::Value* right = matrix_of_stage(place_of(sum.tile), turn.stage);
    for (std::int64_t step = 0; step * fragment_size < program_.columns; ++step) {
      Values words;
      for (std::int64_t word = 0; word < 4; ++word)
        words.push_back(b_.CreateLoad(b_.getInt32Ty(), at(b_.getInt32Ty(), sum.words, 4 * step + word)));
      multiply_wide(b_, product, sum.memory, words, b_.CreateAdd(right, wide(moved(sum.tile, program_.column, step))));
    }
  }
  commit_products(b_);
}

void WideRegisterWriter::make_factors(const RegisterSteps& steps) {
  factors_.clear();
  for (const RegisterStep& step : steps)
    if (step.kind == Kind::sum)
      for (int r = 0; r < 2; ++r)
        for (int c = 0; c < columns_of(program_.column); ++c)
          factors_.push_back(factor(step.factor, program_.column, Reduction::sum, r, c));
}

// After the wait: what the sums were, scaled, and the next words of their factors.
void WideRegisterWriter::set_sums(const RegisterSteps& steps) {
  std::size_t next = 0;
  const int columns = columns_of(program_.column);
  for (const RegisterStep& step : steps) {
    if (step.kind != Kind::sum) continue;
    const WideSum& sum = sums_[next];
    values_->bind(program_.kept[sum.kept], of_products(sum.memory, sum.columns), sum.columns);
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < sum.columns; ++c)
        b_.CreateStore(step.value ? values_->value(step.value, r, c) : real(0), at(b_.getFloatTy(), sum.memory, fragment::place_of(r, c)));
    const std::size_t first = 2 * next++ * static_cast<std::size_t>(columns);
    for (int depth = 0; depth < columns / 4; ++depth)
      for (int word = 0; word < 4; ++word) {
        auto own = [&](int e) { return factors_[first + static_cast<std::size_t>(word % 2 * columns + depth * 4 + word / 2 * 2 + e)]; };
        b_.CreateStore(pack_halves(b_, kind_of(sum.tile), own(0), own(1)), at(b_.getInt32Ty(), sum.words, depth * 4 + word));
      }
  }
}

// Sums of a row need every exponential.
void WideRegisterWriter::hold(const RegisterSteps& steps) {
  for (const RegisterStep& step : steps) {
    if (step.kind != Kind::reduce || step.reduction != Reduction::sum) continue;
    const Values& rows = values_->bound(step.into);
    hold_until_known(b_, rows[0], rows[1], shared(number(wide_bytes(program_) - wide_barrier_bytes)));
  }
}

void WideRegisterWriter::do_block(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, llvm::Value* column,
                                  bool is_first) {
  values_->forget();
  values_->bind_axis(program_.column, b_.CreateAdd(column, pair_));
  values_->set_end(program_.column, kind.is_ragged ? program_.column->size : 0);
  const bool has_sums = !is_first && !sums_.empty();
  const int score_columns = columns_of(program_.column);
  const Turn last = last_turn(), turn = after(last);
  wait_for_tiles(score_tiles_, turn);
  wait_for_turn(b_, own_turn_);
  add_scores(kind.steps, turn);
  if (has_sums) add_sums(last);
  give_turn(b_, next_turn_);
  for (std::size_t k = 0; k < scores_.size(); ++k) wait_for_products(b_, has_sums ? 1 : 0, scores_[k].memory, 2 * score_columns);
  std::vector<int> done;
  for (int k : score_tiles_)
    if (!has(sum_tiles_, k)) done.push_back(k);
  release_tiles(done, turn);
  load_rows();
  bind_kept(kind.steps, true);
  std::vector<std::pair<std::size_t, Values>> kept_next;
  std::size_t score = 0;
  for (const RegisterStep& step : kind.steps) {
    if (step.kind == Kind::score) values_->bind(step.into, of_products(scores_[score++].memory, score_columns), score_columns);
    if (step.kind == Kind::reduce) values_->bind(step.into, reduced(step, is_spread(kind.steps, step)), 0);
    if (step.kind == Kind::keep && std::ranges::find(sums_, kept_number(step.into), &WideSum::kept) == sums_.end())
      kept_next.emplace_back(kept_number(step.into), kept(step));
  }
  make_factors(kind.steps);
  if (has_sums) {
    hold(kind.steps);
    for (const WideSum& sum : sums_) wait_for_products(b_, 0, sum.memory, 2 * sum.columns);
    release_tiles(sum_tiles_, last);
  }
  set_sums(kind.steps);
  for (auto& [which, values] : kept_next) state_[which] = std::move(values);
  if (!part.advance.empty()) {
    values_->forget();
    bind_kept(part.advance, true);
    do_steps(part.advance, false);
  }
  keep_rows();
  set_turn(turn);
}

void WideRegisterWriter::finish_sums(const Turn& last) {
  if (sums_.empty()) return;
  add_sums(last);
  for (const WideSum& sum : sums_) wait_for_products(b_, 0, sum.memory, 2 * sum.columns);
}

}  // namespace heed
