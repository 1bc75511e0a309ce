// What groups of warps do for a block of columns.
#include "codegen/cuda/register_wide_writer.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

constexpr std::int64_t descriptor_unit = 16;  // bytes

}  // namespace

void WideRegisterWriter::find_products(const RegisterProgram::Part& part) {
  sums_.clear(), scores_.clear(), score_streams_.clear(), sum_streams_.clear();
  const RegisterSteps& steps = part.kinds[0].steps;
  auto add = [&](std::vector<std::size_t>& list, int tile) {
    if (!has(list, stream_of(tile))) list.push_back(stream_of(tile));
  };
  for (const RegisterStep& step : steps) {
    if (step.kind == Kind::score) {
      const auto rows = static_cast<std::size_t>(std::ranges::find(layout_.rows, step.left) - layout_.rows.begin());
      // Rows of a group are below each other, or, across, a box of their own.
      const std::int64_t of_group =
          is_across(step.left, step.over) ? wide_tile(program_, step.left).box_bytes() : wide_rows * wide_line_bytes;
      llvm::Value* own = b_.CreateMul(group_, number(of_group / descriptor_unit));
      scores_.push_back({step.left, step.right, step.over, make_memory(b_.getFloatTy(), 2 * columns_of(program_.column)),
                         matrix(step.left, layout_.places[rows], b_.CreateZExt(own, b_.getInt64Ty()))});
      add(score_streams_, step.right);
    }
    if (step.kind != Kind::sum) continue;
    const auto* keeper = &*std::ranges::find_if(
        steps, [&](const RegisterStep& each) { return each.kind == Kind::keep && is_read_of(each.value, step.into); });
    const int columns = columns_of(width_of(step));
    sums_.push_back({step.right, kept_number(keeper->into), columns, make_memory(b_.getFloatTy(), 2 * columns),
                     make_memory(b_.getInt32Ty(), columns_of(program_.column))});
    add(sum_streams_, step.right);
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

std::size_t WideRegisterWriter::stream_of(int tile) const {
  const auto& streams = layout_.streams;
  return static_cast<std::size_t>(std::ranges::find_if(streams, [&](const WideStream& each) { return has(each.tiles, tile); }) -
                                  streams.begin());
}

void WideRegisterWriter::wait_for(const std::vector<std::size_t>& streams, const Turn& turn) {
  for (std::size_t k : streams) wait_for_phase(b_, barrier(Sign::full, k, turn.stage), turn.parity);
}

void WideRegisterWriter::release(const std::vector<std::size_t>& streams, const Turn& turn) {
  for (std::size_t k : streams) arrive(b_, barrier(Sign::empty, k, turn.stage), is_first_lane_);
}

llvm::Value* WideRegisterWriter::matrix(int k, std::int64_t place, llvm::Value* units) {
  llvm::Value* first = matrix_place(b_, shared(number(0)), wide_tile(program_, k).box_bytes(), 8 * wide_line_bytes);
  return b_.CreateAdd(b_.CreateAdd(first, units), wide(place / descriptor_unit));
}

llvm::Value* WideRegisterWriter::matrix_of_stage(std::size_t place, llvm::Value* stage) {
  llvm::Value* units = b_.CreateZExt(b_.CreateMul(stage, number(layout_.tiles_bytes / descriptor_unit)), b_.getInt64Ty());
  return matrix(layout_.columns[place], layout_.places[layout_.rows.size() + place], units);
}

std::int64_t WideRegisterWriter::moved(int k, AxisRef depth, std::int64_t steps) {
  constexpr std::int64_t in_box = wide_line / fragment_size;
  if (is_across(k, depth)) return steps * fragment_size * wide_line_bytes / descriptor_unit;
  return (steps / in_box * wide_tile(program_, k).box_bytes() + steps % in_box * fragment_size * half_bytes) / descriptor_unit;
}

// --- products

void WideRegisterWriter::begin_scores(const RegisterSteps& steps, const Turn& turn) {
  std::vector<const RegisterStep*> own;
  for (const RegisterStep& step : steps)
    if (step.kind == Kind::score) own.push_back(&step);
  // Before all products: while some are under way ptxas waits for them before it sets what others begin with.
  for (std::size_t k = 0; k < own.size(); ++k)
    if (own[k]->value) start_score(scores_[k], own[k]->value);
  begin_products(b_);
  for (std::size_t k = 0; k < own.size(); ++k) {
    add_score(scores_[k], !own[k]->value, turn);
    commit_products(b_);
  }
}

void WideRegisterWriter::store_row_starts() {
  for (std::size_t k = 0; k < layout_.row_starts.size(); ++k) {
    llvm::Value* quad = llvm::PoisonValue::get(llvm::FixedVectorType::get(b_.getFloatTy(), 4));
    for (int r = 0; r < 2; ++r)
      for (int e = 0; e < 2; ++e)
        quad = b_.CreateInsertElement(quad, values_->value(layout_.row_starts[k].x, r, -1), static_cast<std::uint64_t>(2 * r + e));
    when(b_.CreateICmpEQ(pair_, number(0)), [&] { b_.CreateAlignedStore(quad, row_start_place(k), llvm::Align(16)); });
  }
  if (!layout_.row_starts.empty()) warp_barrier(b_);
}

void WideRegisterWriter::start_score(const WideScore& score, Expr from) {
  const int columns = columns_of(program_.column);
  auto store = [&](llvm::Value* value, std::int64_t place) { b_.CreateStore(value, at(b_.getFloatTy(), score.memory, place)); };
  const auto of_rows = std::ranges::find(layout_.row_starts, from, &SideValue::x);
  if (of_rows == layout_.row_starts.end()) {
    for (int r = 0; r < 2; ++r)
      for (int c = 0; c < columns; ++c) store(hidden(b_, values_->start(from, r, c)), fragment::place_of(r, c));
    return;
  }
  llvm::Value* place = row_start_place(static_cast<std::size_t>(of_rows - layout_.row_starts.begin()));
  for (int c = 0; c < columns; c += 2) {
    const Values quad = read_quad(b_, place);
    for (std::size_t k = 0; k < quad.size(); ++k) store(quad[k], fragment::place_of(0, c) + static_cast<std::int64_t>(k));
  }
}

void WideRegisterWriter::add_score(const WideScore& score, bool is_first, const Turn& turn) {
  llvm::Value *right = matrix_of_stage(place_of(score.right), turn.stage), *left = score.rows;
  // Else compilers keep each of its places, where registers are few.
  if (scores_.size() > 1) left = hidden(b_, left);
  WideProduct product{kind_of(score.right), 4 * columns_of(program_.column), is_across(score.left, score.over),
                      is_across(score.right, score.over), is_first};
  for (std::int64_t at = 0; at * fragment_size < score.over->size; ++at) {
    multiply_wide(b_, product, score.memory, b_.CreateAdd(left, wide(moved(score.left, score.over, at))),
                  b_.CreateAdd(right, wide(moved(score.right, score.over, at))));
    product.is_first = false;
  }
}

void WideRegisterWriter::add_sum(const WideSum& sum, const Turn& turn) {
  const WideProduct product{kind_of(sum.tile), 4 * sum.columns, false, is_across(sum.tile, program_.column)};
  llvm::Value* right = matrix_of_stage(place_of(sum.tile), turn.stage);
  for (std::int64_t step = 0; step * fragment_size < program_.columns; ++step) {
    Values words;
    for (std::int64_t word = 0; word < 4; ++word)
      words.push_back(b_.CreateLoad(b_.getInt32Ty(), at(b_.getInt32Ty(), sum.words, 4 * step + word)));
    multiply_wide(b_, product, sum.memory, words, b_.CreateAdd(right, wide(moved(sum.tile, program_.column, step))));
  }
}

void WideRegisterWriter::add_sums(const Turn& turn) {
  wait_for(sum_streams_, turn);
  begin_products(b_);
  for (const WideSum& sum : sums_) add_sum(sum, turn);
  commit_products(b_);
}

void WideRegisterWriter::set_sum(const WideSum& sum, const RegisterStep& step) {
  values_->bind(program_.kept[sum.kept], of_products(sum.memory, sum.columns), sum.columns);
  for (int r = 0; r < 2; ++r)
    for (int c = 0; c < sum.columns; ++c)
      b_.CreateStore(step.value ? values_->value(step.value, r, c) : real(0), at(b_.getFloatTy(), sum.memory, fragment::place_of(r, c)));
}

void WideRegisterWriter::set_words(const WideSum& sum, const std::function<llvm::Value*(int r, int c)>& factor) {
  for (int depth = 0; depth < columns_of(program_.column) / 4; ++depth)
    for (int word = 0; word < 4; ++word) {
      auto own = [&](int e) { return factor(word % 2, depth * 4 + word / 2 * 2 + e); };
      llvm::Value* low = own(0);
      b_.CreateStore(pack_halves(b_, kind_of(sum.tile), low, own(1)), at(b_.getInt32Ty(), sum.words, depth * 4 + word));
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

// --- blocks

void WideRegisterWriter::begin_block(const RegisterProgram::Kind& kind, llvm::Value* column) {
  values_->forget();
  values_->bind_axis(program_.column, b_.CreateAdd(column, pair_));
  values_->set_end(program_.column, kind.is_ragged ? program_.column->size : 0);
}

void WideRegisterWriter::bind_vectors(const Turn& turn) {
  if (layout_.vectors.empty()) return;
  llvm::Value* own = b_.CreateAdd(vectors_place(turn.stage), b_.CreateMul(pair_, number(RegisterValues::vector_step)));
  for (const SideValue& vector : layout_.vectors) {
    values_->bind_vector(vector, shared(own));
    own = b_.CreateAdd(own, number(vector_bytes(program_, vector)));
  }
}

void WideRegisterWriter::end_block(const RegisterProgram::Part& part, const KeptNext& next, const Turn& turn) {
  for (auto& [which, values] : next) state_[which] = values;
  values_->forget_vectors();
  if (!part.advance.empty()) {
    values_->forget();
    bind_kept(part.advance, true);
    do_steps(part.advance, false);
  }
  keep_rows();
  set_turn(turn);
}

std::set<Expr> WideRegisterWriter::all_nodes(Expr x) const {
  std::set<Expr> all;
  for (Expr node : nodes_of(x)) {
    all.insert(node);
    if (Expr named = node->op == Op::read ? p_.accesses.named(node->array) : nullptr) all.merge(all_nodes(named));
  }
  return all;
}

// Else all that both are made of would be held for all elements.
bool WideRegisterWriter::are_made_together(Expr reduced, Expr factor) const {
  const std::set<Expr> known = all_nodes(reduced);
  std::set<Expr> shared;
  auto is_element = [&](Expr x) { return is_floating(x->dtype) && has(x->free, program_.row) && has(x->free, program_.column); };
  for (Expr node : all_nodes(factor))
    for (Expr operand : node->operands)
      if (!known.contains(node) && known.contains(operand) && is_element(operand)) shared.insert(operand);
  return shared.size() > 1;
}

void WideRegisterWriter::make_factors(const RegisterSteps& steps, const RegisterStep& reduction, int r, int c) {
  const auto later = std::span(steps).subspan(static_cast<std::size_t>(&reduction - steps.data()));
  for (const RegisterStep& sum : steps) {
    if (sum.kind != Kind::sum || !are_made_together(reduction.factor, sum.factor)) continue;
    if (std::ranges::none_of(later, [&](const RegisterStep& step) { return meets(sum.factor, step.into); }))
      factor(sum.factor, program_.column, Reduction::sum, r, c);
  }
}

void WideRegisterWriter::do_step(const RegisterSteps& steps, const RegisterStep& step, KeptNext& next) {
  if (step.kind == Kind::store) store(step);
  if (step.kind == Kind::reduce)
    values_->bind(step.into, reduced(step, is_spread(steps, step), [&](int r, int c) { make_factors(steps, step, r, c); }), 0);
  if (step.kind == Kind::keep && std::ranges::find(sums_, kept_number(step.into), &WideSum::kept) == sums_.end())
    next.emplace_back(kept_number(step.into), kept(step));
}

void WideRegisterWriter::do_block(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, llvm::Value* column,
                                  bool is_first) {
  const bool has_sums = !is_first && !sums_.empty();
  const int columns = columns_of(program_.column);
  const Turn last = last_turn(), turn = after(last);
  std::vector<std::size_t> of_vectors, of_scores_alone;
  if (!layout_.vectors.empty()) of_vectors.push_back(stream_of_vectors());
  for (std::size_t k : score_streams_)
    if (!has(sum_streams_, k)) of_scores_alone.push_back(k);
  begin_block(kind, column);
  wait_for(score_streams_, turn);
  wait_for_turn(b_, own_turn_);
  begin_scores(kind.steps, turn);
  if (has_sums) add_sums(last);
  give_turn(b_, next_turn_);
  for (const WideScore& score : scores_) wait_for_products(b_, has_sums ? 1 : 0, score.memory, 2 * columns);
  release(of_scores_alone, turn);
  load_rows();
  bind_kept(kind.steps, true);
  wait_for(of_vectors, turn);
  bind_vectors(turn);
  KeptNext next;
  std::size_t score = 0;
  Values factors;  // of all sums, row by row
  for (const RegisterStep& step : kind.steps) {
    if (step.kind == Kind::score) values_->bind(step.into, of_products(scores_[score++].memory, columns), columns);
    do_step(kind.steps, step, next);
  }
  for (const RegisterStep& step : kind.steps)
    for (int r = 0; step.kind == Kind::sum && r < 2; ++r)
      for (int c = 0; c < columns; ++c) factors.push_back(factor(step.factor, program_.column, Reduction::sum, r, c));
  if (has_sums) {
    hold(kind.steps);
    for (const WideSum& sum : sums_) wait_for_products(b_, 0, sum.memory, 2 * sum.columns);
    release(sum_streams_, last);
  }
  std::size_t sum = 0;
  for (const RegisterStep& step : kind.steps) {
    if (step.kind != Kind::sum) continue;
    const std::size_t first = 2 * sum * static_cast<std::size_t>(columns);
    set_sum(sums_[sum], step);
    set_words(sums_[sum++], [&](int r, int c) { return factors[first + static_cast<std::size_t>(r * columns + c)]; });
  }
  release(of_vectors, turn);
  end_block(part, next, turn);
}

void WideRegisterWriter::finish_sums(const Turn& last) {
  if (sums_.empty()) return;
  add_sums(last);
  for (const WideSum& sum : sums_) wait_for_products(b_, 0, sum.memory, 2 * sum.columns);
}

bool WideRegisterWriter::meets(Expr x, ArrayRef array) const {
  if (!x) return false;
  return std::ranges::any_of(nodes_of(x), [&](Expr node) {
    if (node->op != Op::read) return false;
    Expr named = p_.accesses.named(node->array);
    return node->array == array || (named && meets(named, array));
  });
}

void WideRegisterWriter::make_before(Expr x, ArrayRef score, const std::vector<ArrayRef>& known) {
  if (!x) return;
  if (!meets(x, score)) {
    const bool is_of_known = std::ranges::any_of(known, [&](ArrayRef each) { return meets(x, each); });
    for (int r = 0; is_of_known && r < 2; ++r)
      for (int c = 0; c < columns_of(program_.column); ++c) values_->value(x, r, c);
    return;
  }
  if (Expr named = x->op == Op::read ? p_.accesses.named(x->array) : nullptr) make_before(named, score, known);
  for (Expr operand : x->operands) make_before(operand, score, known);
}

bool WideRegisterWriter::holds_factors(const RegisterProgram::Part& part) const {
  const int score = 2 * columns_of(program_.column);
  std::int64_t registers = static_cast<std::int64_t>(scores_.size()) * score + wide_held(program_, part);
  for (const WideSum& sum : sums_) registers += 2 * sum.columns + (&sum == &sums_.back() ? 0 : wide_words(program_));
  return registers <= wide_registers(program_.groups).held;
}

void WideRegisterWriter::do_whole_block(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, llvm::Value* column) {
  const int columns = columns_of(program_.column);
  const Turn turn = after(last_turn());
  begin_block(kind, column);
  load_rows();
  bind_kept(kind.steps, true);
  wait_for({0}, turn);  // there is one stream
  bind_vectors(turn);
  begin_scores(kind.steps, turn);
  std::vector<const RegisterStep*> under_way;  // scores
  std::vector<ArrayRef> known;                 // those that came
  for (const RegisterStep& step : kind.steps)
    if (step.kind == Kind::score) under_way.push_back(&step);
  const bool at_once = !holds_factors(part);
  int begun = static_cast<int>(scores_.size());
  KeptNext next;
  std::size_t sum = 0;
  for (const RegisterStep& step : kind.steps) {
    if (step.kind == Kind::score) continue;
    for (std::size_t k = 0; k < under_way.size(); ++k) {
      const RegisterStep* score = under_way[k];
      if (!score || (!meets(step.value, score->into) && !meets(step.factor, score->into))) continue;
      for (Expr x : {step.value, step.factor}) make_before(x, score->into, known);
      known.push_back(score->into);
      wait_for_products(b_, begun - static_cast<int>(k) - 1, scores_[k].memory, 2 * columns);
      values_->bind(score->into, of_products(scores_[k].memory, columns), columns);
      under_way[k] = nullptr;
    }
    do_step(kind.steps, step, next);
    if (step.kind != Kind::sum) continue;
    set_sum(sums_[sum], step);
    set_words(sums_[sum], [&](int r, int c) { return factor(step.factor, program_.column, Reduction::sum, r, c); });
    if (at_once) {
      ++sum;
      continue;
    }
    begin_products(b_);
    add_sum(sums_[sum++], turn);
    commit_products(b_);
    ++begun;
  }
  if (at_once) {
    begin_products(b_);
    for (const WideSum& each : sums_) add_sum(each, turn);
    commit_products(b_);
  }
  for (const WideSum& each : sums_) wait_for_products(b_, 0, each.memory, 2 * each.columns);
  release({0}, turn);
  end_block(part, next, turn);
}

}  // namespace heed
