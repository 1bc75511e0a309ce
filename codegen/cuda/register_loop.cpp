// Loops over blocks of columns, and the ring that their tiles come through.
#include "codegen/cuda/register_writer.h"
#include "ir/integer.h"

namespace heed {

namespace {

constexpr std::int64_t most_held_fragments = 8;  // of a tile of rows: such a one stays in registers

// Tiles begin at whole lines of banks.
std::int64_t slot_bytes(const SharedTile& tile) {
  constexpr std::int64_t step = 1024;
  return round_up(tile.bytes(), step);
}

bool is_of(const RegisterTile& tile, AxisRef axis) { return tile.line == axis || tile.along == axis; }

// Reads of 32-bit values that lie side by side along the columns, whole chunks of them, and depend on nothing else of the block.
std::vector<Expr> vectors_of(const PreparedRegisters& p, const RegisterProgram::Part& part) {
  const RegisterProgram& program = p.program;
  std::vector<Expr> found;
  auto is_vector = [&](Expr read) {
    if (p.accesses.is_stand_in(read->array) || p.accesses.named(read->array) || byte_size(read->array->dtype) != vector_element_bytes)
      return false;
    constexpr std::int64_t step = chunk_bytes / vector_element_bytes;
    const LinearForm& form = p.accesses.address(read);
    bool is_along = false, is_whole = form.constant % step == 0;
    for (const IntegerTerm& term : form.terms) {
      if (term.x->op == Op::axis && term.x->axes[0] == program.column && term.weight == 1 && !is_along)
        is_along = true;
      else
        is_whole &= term.weight % step == 0 && std::ranges::all_of(term.x->free, [&](AxisRef axis) {
                      return std::ranges::find(program.units, axis) != program.units.end();
                    });
    }
    return is_along && is_whole;
  };
  auto look = [&](auto& self, Expr x) -> void {
    for (Expr node : x ? nodes_of(x) : std::vector<Expr>{}) {
      if (node->op != Op::read) continue;
      if (Expr named = p.accesses.named(node->array))
        self(self, named);
      else if (is_vector(node) && std::ranges::find(found, node) == found.end())
        found.push_back(node);
    }
  };
  for (const auto& kind : part.kinds)
    for (const RegisterStep& step : kind.steps)
      for (Expr x : {step.value, step.factor}) look(look, x);
  return found;
}

}  // namespace

TileRing ring_of(const PreparedRegisters& p, const RegisterProgram::Part& part) {
  TileRing ring;
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
  for (int tile : ring.columns) ring.tile_bytes = std::max(ring.tile_bytes, slot_bytes(p.shapes[static_cast<std::size_t>(tile)]));
  if (ring.together) ring.vectors = vectors_of(p, part);
  ring.slot_bytes = ring.tile_bytes + static_cast<std::int64_t>(ring.vectors.size()) * p.program.columns * vector_element_bytes;
  return ring;
}

RegisterWriter::Values RegisterWriter::carried() const {
  Values all = slots_;
  for (const Values& values : state_) all.insert(all.end(), values.begin(), values.end());
  return all;
}

void RegisterWriter::set_carried(const Values& all) {
  std::size_t next = 0;
  for (llvm::Value*& slot : slots_) slot = all[next++];
  for (Values& values : state_)
    for (llvm::Value*& value : values) value = all[next++];
}

void RegisterWriter::go_over_columns(const RegisterProgram::Part& part, std::size_t first_run) {
  values_->forget();
  ring_ = ring_of(p_, part);
  held_.clear(), rows_address_.clear(), rows_places_.clear(), sources_.clear();
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
  vector_sources_.clear();
  for (Expr read : ring_.vectors) {
    LinearForm first = p_.accesses.address(read);
    std::erase_if(first.terms, [&](const IntegerTerm& term) { return term.x->op == Op::axis && term.x->axes[0] == program_.column; });
    vector_sources_.push_back(b_.CreateGEP(b_.getInt32Ty(), values_->buffer(read->array), values_->address(first, -1, -1)));
  }
  const bool may_be_ragged = program_.column->size % program_.columns != 0;
  for (std::size_t k = 0; k < ring_.columns.size(); ++k) {
    copy_columns(k, slots_[k], first_column, may_be_ragged);
    if (!ring_.together || k + 1 == ring_.columns.size()) commit_copies(b_);
  }
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
  copy_tile(b_, shares_[static_cast<std::size_t>(k)], b_.CreateGEP(b_.getInt8Ty(), shared_memory(b_), b_.CreateZExt(to, b_.getInt64Ty())),
            source);
}

void RegisterWriter::copy_rows(int k) {
  llvm::Value* moved = b_.CreateMul(b_.CreateZExt(row_, b_.getInt64Ty()), wide(stride_on(k, program_.row)));
  copy(k, rows_address_.at(k), b_.CreateGEP(b_.getInt16Ty(), source_of(k), moved), program_.row, row_,
       program_.row->size % program_.rows != 0);
}

void RegisterWriter::copy_columns(std::size_t place, llvm::Value* to, llvm::Value* column, bool may_end) {
  const int k = ring_.columns[place];
  llvm::Value* moved = b_.CreateMul(b_.CreateZExt(column, b_.getInt64Ty()), wide(stride_on(k, program_.column)));
  llvm::Value* from = hidden(b_, b_.CreateGEP(b_.getInt16Ty(), sources_[place], moved));
  copy(k, to, from, program_.column, column, may_end);
  if (place == 0) copy_vectors(b_.CreateAdd(to, number(ring_.tile_bytes)), column, may_end);
}

void RegisterWriter::copy_vectors(llvm::Value* to, llvm::Value* column, bool may_end) {
  llvm::Value* bytes = may_end ? b_.CreateMul(b_.CreateSub(number(program_.column->size), column), number(vector_element_bytes)) : nullptr;
  for (std::size_t k = 0; k < ring_.vectors.size(); ++k) {
    llvm::Value* from = hidden(b_, b_.CreateGEP(b_.getInt32Ty(), vector_sources_[k], b_.CreateZExt(column, b_.getInt64Ty())));
    llvm::Value* place = b_.CreateAdd(to, number(static_cast<std::int64_t>(k) * program_.columns * vector_element_bytes));
    copy_tile(b_, vector_share_, b_.CreateGEP(b_.getInt8Ty(), shared_memory(b_), b_.CreateZExt(place, b_.getInt64Ty())),
              {from, 0, nullptr, bytes});
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
  if (!ring_.vectors.empty()) {
    llvm::Value* own = b_.CreateAdd(slots_[0], b_.CreateMul(pair_, number(vector_element_bytes)));
    for (std::size_t k = 0; k < ring_.vectors.size(); ++k) {
      const std::int64_t offset = ring_.tile_bytes + static_cast<std::int64_t>(k) * program_.columns * vector_element_bytes;
      llvm::Value* place = b_.CreateZExt(b_.CreateAdd(own, number(offset)), b_.getInt64Ty());
      values_->bind_shared(ring_.vectors[k], b_.CreateGEP(b_.getInt8Ty(), shared_memory(b_), place));
    }
  }
  do_steps(kind.steps, true);
  values_->forget_shared();
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

void RegisterWriter::enter_phase() {
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
  const std::size_t count = ring_.columns.size(), slots = slots_.size();
  Values turned;
  for (std::size_t k = 0; k < slots; ++k) turned.push_back(slots_[(k + count) % slots]);
  slots_ = std::move(turned);
}

}  // namespace heed
