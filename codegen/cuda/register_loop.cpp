// Loops over blocks of columns, and the ring that their tiles come through.
#include "codegen/cuda/register_writer.h"
#include "ir/integer.h"

namespace heed {

namespace {

constexpr std::int64_t most_held_fragments = 8;  // of a tile of rows: such a one stays in registers

}  // namespace

RegisterWriter::Values RegisterWriter::carried() const {
  Values all = slots_;
  all.insert(all.end(), vector_stages_.begin(), vector_stages_.end());
  for (const Values& values : state_) all.insert(all.end(), values.begin(), values.end());
  return all;
}

void RegisterWriter::set_carried(const Values& all) {
  std::size_t next = 0;
  for (llvm::Value*& slot : slots_) slot = all[next++];
  for (llvm::Value*& stage : vector_stages_) stage = all[next++];
  for (Values& values : state_)
    for (llvm::Value*& value : values) value = all[next++];
}

void RegisterWriter::go_over_columns(const RegisterProgram::Part& part, std::size_t first_run) {
  values_->forget();
  ring_ = p_.accesses.ring(number_of(part));
  held_.clear(), rows_places_.clear(), sources_.clear(), slots_.clear(), vector_stages_.clear();
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
  for (int k : ring_.rows) copy_rows(k);
  for (int slot = 0; slot < ring_.slots(); ++slot) slots_.push_back(number(ring_.slot(slot)));
  for (int stage = 0; stage < vector_stages; ++stage) vector_stages_.push_back(number(ring_.stage(stage)));
  for (int k : ring_.columns) sources_.push_back(source_of(k));
  const bool may_be_ragged = program_.column->size % program_.columns != 0;
  for (std::size_t k = 0; k < ring_.columns.size(); ++k) {
    copy_columns(k, slots_[ring_.together ? 0 : k], first_column, may_be_ragged);
    if (!ring_.together || k + 1 == ring_.columns.size()) commit_copies(b_);
  }
  RegisterValues::AsideColumn first = aside_column(first_column, may_be_ragged);
  make_vectors(first, vector_stages_[0]);
  hold_rows(part);
  for (std::size_t k = 0; k < part.kinds.size(); ++k) loop(part, part.kinds[k], runs[k]);
  wait_for_copies(b_, 0);
}

void RegisterWriter::narrow(Run& run) {
  auto bound = [&](ArrayRef array) {
    llvm::Value* at = b_.CreateGEP(b_.getInt64Ty(), buffer(array), values_->address(p_.by_data->address, -1, -1));
    return b_.CreateTrunc(b_.CreateLoad(b_.getInt64Ty(), at), b_.getInt32Ty());
  };
  values_->bind_axis(p_.by_data->number, b_.CreateUDiv(row_, number(program_.rows)));
  auto larger = [&](llvm::Value* x, llvm::Value* y) { return b_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, x, y); };
  llvm::Value *begin = bound(p_.by_data->begin), *end = bound(p_.by_data->end);
  llvm::Value* skipped = b_.CreateSDiv(larger(b_.CreateSub(begin, run.column), number(0)), number(program_.columns));
  llvm::Value* last =
      b_.CreateSDiv(b_.CreateAdd(larger(b_.CreateSub(end, run.column), number(0)), number(program_.columns - 1)), number(program_.columns));
  last = b_.CreateBinaryIntrinsic(llvm::Intrinsic::smin, last, run.blocks);
  run.blocks = larger(b_.CreateSub(last, skipped), number(0));
  run.column = b_.CreateAdd(run.column, b_.CreateMul(skipped, number(program_.columns)));
}

llvm::Value* RegisterWriter::source_of(int k) {
  return b_.CreateGEP(b_.getInt16Ty(), values_->buffer(tile(k).array), values_->address(tile(k).address, -1, -1));
}

void RegisterWriter::copy(int k, llvm::Value* to, llvm::Value* from, AxisRef axis, llvm::Value* first, bool may_end) {
  TileSource source{from, tile(k).stride * half_bytes, nullptr, nullptr};
  llvm::Value* left = may_end ? b_.CreateSub(number(axis->size), first) : nullptr;
  AxisRef other = tile(k).line == axis ? tile(k).along : tile(k).line;
  llvm::Value* whole = other->size % fragment_size != 0 ? number(other->size) : nullptr;
  (tile(k).line == axis ? source.lines : source.bytes) = left;
  (tile(k).line == axis ? source.bytes : source.lines) = whole;
  if (source.bytes) source.bytes = b_.CreateMul(source.bytes, number(half_bytes));
  copy_tile(b_, shares_[static_cast<std::size_t>(k)], shared(to), source);
}

void RegisterWriter::copy_rows(int k) {
  llvm::Value* moved = b_.CreateMul(b_.CreateZExt(row_, b_.getInt64Ty()), wide(stride_on(k, program_.row)));
  copy(k, number(ring_.place_of(k)), b_.CreateGEP(b_.getInt16Ty(), source_of(k), moved), program_.row, row_,
       program_.row->size % program_.rows != 0);
}

void RegisterWriter::copy_columns(std::size_t place, llvm::Value* slot, llvm::Value* column, bool may_end) {
  const int k = ring_.columns[place];
  llvm::Value* moved = b_.CreateMul(b_.CreateZExt(column, b_.getInt64Ty()), wide(stride_on(k, program_.column)));
  llvm::Value* from = hidden(b_, b_.CreateGEP(b_.getInt16Ty(), sources_[place], moved));
  copy(k, b_.CreateAdd(slot, number(ring_.place_of(k))), from, program_.column, column, may_end);
}

llvm::Value* RegisterWriter::shared(llvm::Value* place) {
  return b_.CreateGEP(b_.getInt8Ty(), shared_memory(b_), b_.CreateZExt(place, b_.getInt64Ty()));
}

// --- values of columns

RegisterValues::AsideColumn RegisterWriter::aside_column(llvm::Value* column, bool may_end) {
  llvm::Value* own = b_.CreateURem(thread_index(b_), number(program_.columns));
  return {b_.CreateAdd(column, own), may_end ? program_.column->size : 0};
}

void RegisterWriter::make_vectors(RegisterValues::AsideColumn& aside, llvm::Value* stage) {
  if (ring_.vectors.empty()) return;
  llvm::BasicBlock *inside = new_block(), *after = new_block();
  b_.CreateCondBr(b_.CreateICmpULT(thread_index(b_), number(program_.columns)), inside, after);
  b_.SetInsertPoint(inside);
  for (const SideValue& side : ring_.vectors) {
    values_->at_column(aside, [&] { values_->store_vector(side, values_->side_value(side, -1, 0), shared(stage), thread_index(b_)); });
    stage = b_.CreateAdd(stage, number(vector_bytes(program_, side)));
  }
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

void RegisterWriter::read_ahead() {
  values_->at_column(ahead_, [&] {
    for (const SideValue& side : ring_.vectors) values_->read_ahead(side);
  });
}

void RegisterWriter::bind_vectors() {
  if (ring_.vectors.empty()) return;
  llvm::Value* own = b_.CreateAdd(vector_stages_[0], b_.CreateMul(pair_, number(RegisterValues::vector_step)));
  for (const SideValue& side : ring_.vectors) {
    values_->bind_vector(side, shared(own));
    own = b_.CreateAdd(own, number(vector_bytes(program_, side)));
  }
}

void RegisterWriter::hold_rows(const RegisterProgram::Part& part) {
  if (std::ranges::count(part.kinds[0].steps, Kind::score, &RegisterStep::kind) > 1) return;  // their sums take the registers
  bool waited = false;
  for (const RegisterStep& step : part.kinds[0].steps) {
    if (step.kind != Kind::score) continue;
    const std::int64_t depths = ceil_divide(step.over->size, fragment_size);
    if (depths * program_.tall > most_held_fragments) continue;
    if (!waited) {
      wait_for_copies(b_, static_cast<int>(ring_.together ? 0 : ring_.columns.size() - 1));
      block_barrier(b_);
      waited = true;
    }
    for (std::int64_t depth = 0; depth < step.over->size; depth += fragment_size)
      for (std::int64_t i = 0; i < program_.tall; ++i) held_[{step.left, i, depth}] = left_fragment(step.left, i, depth);
  }
}

void RegisterWriter::loop(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, const Run& run) {
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
  rows_places_.clear();
  enter_phase();
  bind_kept(kind.steps, true);
  bind_vectors();
  ahead_ = aside_column(next_column_, false);
  do_steps(kind.steps, true);
  values_->forget_vectors();
  if (!part.advance.empty()) {
    values_->forget();
    bind_kept(part.advance, true);
    do_steps(part.advance, false);
  }
  make_vectors(ahead_, vector_stages_[1]);
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

void RegisterWriter::enter_phase() {
  const std::size_t count = ring_.columns.size();
  if (phase_ >= count || (ring_.together && phase_ > 0)) return;
  wait_for_copies(b_, static_cast<int>(ring_.together ? 0 : count - 1));
  block_barrier(b_);
  llvm::BasicBlock *more = new_block(), *after = new_block();
  b_.CreateCondBr(has_next_, more, after);
  b_.SetInsertPoint(more);
  if (ring_.together)
    for (std::size_t k = 0; k < count; ++k) copy_columns(k, slots_[1], next_column_, false);
  else
    copy_columns(phase_, slots_[(phase_ + count) % (count + 1)], next_column_, false);
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
  commit_copies(b_);
}

void RegisterWriter::leave_tiles(const RegisterSteps& steps, std::size_t k) {
  const std::size_t count = ring_.columns.size();
  while (phase_ < count) {
    const int current = ring_.columns[phase_];
    for (std::size_t later = k + 1; later < steps.size(); ++later)
      if (steps[later].left == current || steps[later].right == current) return;
    if (++phase_ < count) enter_phase();
  }
}

void RegisterWriter::turn_ring() {
  const std::size_t used = ring_.together ? 1 : ring_.columns.size();
  std::ranges::rotate(slots_, slots_.begin() + static_cast<std::ptrdiff_t>(used));
  std::ranges::reverse(vector_stages_);
}

}  // namespace heed
