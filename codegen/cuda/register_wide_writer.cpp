// Who does what, and the loops over blocks of columns of both.
#include "codegen/cuda/register_wide_writer.h"

#include "codegen/cuda/piece.h"

namespace heed {

WideRegisterWriter::WideRegisterWriter(llvm::Module& module, const std::string& symbol, const PreparedRegisters& prepared)
    : RegisterWriter(module, symbol, prepared) {}

void WideRegisterWriter::write() {
  llvm::Value* thread = thread_index(b_);
  lane_ = b_.CreateAnd(thread, number(warp_threads - 1));
  is_first_lane_ = b_.CreateICmpEQ(lane_, number(0));
  llvm::Value* group = same_in_warp(b_, b_.CreateLShr(thread, number(7)));
  for (llvm::Value** memory : {&stage_, &parity_, &has_begun_}) *memory = make_memory(b_.getInt32Ty(), 1);
  decode_task();
  when(b_.CreateICmpEQ(thread, number(0)), [&] { make_barriers(); });
  block_barrier(b_);
  llvm::BasicBlock *feeds = new_block(), *multiplies = new_block();
  b_.CreateCondBr(b_.CreateICmpEQ(group, number(0)), feeds, multiplies);
  b_.SetInsertPoint(feeds);
  leave_registers(b_, wide_registers(program_.groups).copying);
  feed();
  b_.CreateRetVoid();
  b_.SetInsertPoint(multiplies);
  take_registers(b_, wide_registers(program_.groups).multiplying);
  group_ = b_.CreateSub(group, number(1));
  warp_ = b_.CreateSub(b_.CreateLShr(thread, number(5)), number(4));
  own_turn_ = group;
  llvm::Value *first = number(1), *is_last = b_.CreateICmpEQ(group, number(program_.groups));
  next_turn_ = b_.CreateSelect(is_last, first, b_.CreateAdd(group, number(1)));
  values_->forget();
  bind_rows();
  when(is_last, [&] { give_turn(b_, first); });
  write_parts();
  when(b_.CreateICmpEQ(group, first), [&] { wait_for_turn(b_, first); });  // the last turn that was given
  b_.CreateRetVoid();
}

void WideRegisterWriter::when(llvm::Value* condition, const std::function<void()>& work) {
  llvm::BasicBlock *inside = new_block(), *after = new_block();
  b_.CreateCondBr(condition, inside, after);
  b_.SetInsertPoint(inside);
  work();
  b_.CreateBr(after);
  b_.SetInsertPoint(after);
}

void WideRegisterWriter::repeat(llvm::Value* column, llvm::Value* count, const std::function<void(llvm::Value* column)>& work) {
  llvm::BasicBlock *before = b_.GetInsertBlock(), *head = new_block(), *after = new_block();
  b_.CreateCondBr(b_.CreateICmpSGT(count, number(0)), head, after);
  b_.SetInsertPoint(head);
  llvm::PHINode *own = b_.CreatePHI(b_.getInt32Ty(), 2), *left = b_.CreatePHI(b_.getInt32Ty(), 2);
  own->addIncoming(column, before), left->addIncoming(count, before);
  work(own);
  llvm::Value *next = b_.CreateAdd(own, number(program_.columns)), *still = b_.CreateSub(left, number(1));
  own->addIncoming(next, b_.GetInsertBlock()), left->addIncoming(still, b_.GetInsertBlock());
  b_.CreateCondBr(b_.CreateICmpSGT(still, number(0)), head, after);
  b_.SetInsertPoint(after);
}

llvm::Value* WideRegisterWriter::make_memory(llvm::Type* type, std::int64_t count) {
  llvm::IRBuilder<> entry(&function_->getEntryBlock(), function_->getEntryBlock().begin());
  return entry.CreateAlloca(llvm::ArrayType::get(type, static_cast<std::uint64_t>(count)));
}

// --- shared memory

llvm::Value* WideRegisterWriter::barrier(std::size_t k) {
  return shared(number(first_barrier_ + wide_barrier_bytes * static_cast<std::int64_t>(k)));
}

// All barriers of a stage are so many bytes, known ahead, from one place: instructions have that as a constant.
llvm::Value* WideRegisterWriter::barrier(Sign sign, std::size_t stream, llvm::Value* stage) {
  const std::size_t first = 1 + wide_stages * (2 * stream + (sign == Sign::full ? 0 : 1));
  llvm::Value* start = b_.CreateGEP(b_.getInt64Ty(), barriers_, b_.CreateZExt(stage, b_.getInt64Ty()));
  const auto further = wide_barrier_bytes * static_cast<std::int64_t>(first - 1);
  return b_.CreateConstGEP1_64(b_.getInt8Ty(), start, static_cast<std::uint64_t>(further));
}

llvm::Value* WideRegisterWriter::stage_place(std::size_t place, llvm::Value* stage) {
  return b_.CreateAdd(b_.CreateMul(stage, number(layout_.tiles_bytes)), number(layout_.places[layout_.rows.size() + place]));
}

llvm::Value* WideRegisterWriter::vectors_place(llvm::Value* stage) {
  const std::size_t place = layout_.rows.size() + layout_.columns.size();
  return b_.CreateAdd(b_.CreateMul(stage, number(layout_.vectors_bytes)), number(layout_.places[place]));
}

llvm::Value* WideRegisterWriter::row_start_place(std::size_t k) {
  constexpr std::int64_t of_warp = 8, bytes = 16;  // pairs of rows
  llvm::Value* pair = b_.CreateAdd(b_.CreateMul(warp_, number(of_warp)), b_.CreateLShr(lane_, number(2)));
  const std::int64_t first = layout_.places.back() + static_cast<std::int64_t>(k) * row_start_bytes(program_);
  return shared(b_.CreateAdd(b_.CreateMul(pair, number(bytes)), number(first)));
}

void WideRegisterWriter::begin_part(std::size_t part) {
  first_barrier_ = wide_tile_bytes(program_);
  for (std::size_t k = 0; k < part; ++k)
    if (program_.parts[k].over_columns)
      first_barrier_ += wide_barrier_bytes * static_cast<std::int64_t>(wide_part(program_, program_.parts[k]).barriers());
  if (program_.parts[part].over_columns) layout_ = wide_part(program_, program_.parts[part]);
  barriers_ = hidden(b_, barrier(1));
}

void WideRegisterWriter::make_barriers() {
  for (std::size_t part = 0; part < program_.parts.size(); ++part) {
    if (!program_.parts[part].over_columns) continue;
    begin_part(part);
    make_barrier(b_, rows_barrier(), 1);
    for (std::size_t stream = 0; stream < layout_.streams.size(); ++stream)
      for (std::int64_t stage = 0; stage < wide_stages; ++stage) {
        make_barrier(b_, barrier(Sign::full, stream, number(stage)), layout_.streams[stream].makers());
        make_barrier(b_, barrier(Sign::empty, stream, number(stage)), program_.warps());
      }
  }
  publish_barriers(b_);
}

// --- the thread that asks for boxes

void WideRegisterWriter::feed() {
  std::size_t runs = 0;
  bool is_later = false;
  for (std::size_t part = 0; part < program_.parts.size(); ++part) {
    if (!program_.parts[part].over_columns) continue;
    if (is_later) block_barrier(b_);  // what the part before has in shared memory was read
    begin_part(part);
    const std::vector<WideRun> own = runs_of(program_.parts[part], runs);
    when(b_.CreateICmpEQ(thread_index(b_), number(0)), [&] { feed_tiles(own); });
    if (!layout_.vectors.empty()) when(b_.CreateICmpEQ(b_.CreateLShr(thread_index(b_), number(5)), number(1)), [&] { feed_vectors(own); });
    runs += program_.parts[part].kinds.size();
    is_later = true;
  }
}

void WideRegisterWriter::feed_tiles(const std::vector<WideRun>& runs) {
  values_->forget();
  std::int64_t bytes = 0;
  for (int k : layout_.rows) bytes += wide_tile(program_, k).bytes();
  arrive_expecting(b_, rows_barrier(), bytes);
  for (std::size_t k = 0; k < layout_.rows.size(); ++k) copy_tile(layout_.rows[k], number(layout_.places[k]), row_, rows_barrier());
  set_turn({number(1), number(1)});
  // Numbers of boxes are worked out once.
  for (int k : layout_.columns) box_number(program_.grids[static_cast<std::size_t>(k)]);
  for (const WideRun& each : runs)
    repeat(each.run.column, each.run.blocks, [&](llvm::Value* column) {
      const Turn turn = after(last_turn());
      for (std::size_t stream = 0; stream < layout_.streams.size(); ++stream) {
        const std::vector<int>& tiles = layout_.streams[stream].tiles;
        if (tiles.empty()) continue;
        wait_for_phase(b_, barrier(Sign::empty, stream, turn.stage), b_.CreateXor(turn.parity, number(1)));
        std::int64_t expected = 0;
        for (int k : tiles) expected += wide_tile(program_, k).bytes();
        arrive_expecting(b_, barrier(Sign::full, stream, turn.stage), expected);
        for (int k : tiles) copy_tile(k, stage_place(place_of(k), turn.stage), column, barrier(Sign::full, stream, turn.stage));
      }
      set_turn(turn);
    });
}

// One warp, some columns a lane.
void WideRegisterWriter::feed_vectors(const std::vector<WideRun>& runs) {
  values_->forget();
  set_turn({number(1), number(1)});
  const std::size_t stream = stream_of_vectors();
  for (const WideRun& each : runs)
    repeat(each.run.column, each.run.blocks, [&](llvm::Value* column) {
      const Turn turn = after(last_turn());
      std::vector<RegisterValues::AsideColumn> own;
      for (std::int64_t first = 0; first < program_.columns; first += warp_threads)
        own.push_back({b_.CreateAdd(column, b_.CreateAdd(lane_, number(first))), each.kind->is_ragged ? program_.column->size : 0});
      for (RegisterValues::AsideColumn& aside : own)
        for (const SideValue& vector : layout_.vectors) values_->at_column(aside, [&] { values_->read_ahead(vector); });
      wait_for_phase(b_, barrier(Sign::empty, stream, turn.stage), b_.CreateXor(turn.parity, number(1)));
      for (std::size_t k = 0; k < own.size(); ++k) {
        llvm::Value *place = vectors_place(turn.stage),
                    *number_of_column = b_.CreateAdd(lane_, number(warp_threads * static_cast<std::int64_t>(k)));
        for (const SideValue& vector : layout_.vectors) {
          values_->at_column(own[k],
                             [&] { values_->store_vector(vector, values_->side_value(vector, -1, 0), shared(place), number_of_column); });
          place = b_.CreateAdd(place, number(vector_bytes(program_, vector)));
        }
      }
      warp_barrier(b_);
      arrive(b_, barrier(Sign::full, stream, turn.stage), is_first_lane_);
      set_turn(turn);
    });
}

// `first`: of rows or columns.
void WideRegisterWriter::copy_tile(int k, llvm::Value* place, llvm::Value* first, llvm::Value* barrier) {
  const RegisterTile& own = tile(k);
  const WideTile size = wide_tile(program_, k);
  const bool is_cut_along = own.along == program_.row || own.along == program_.column;
  llvm::Value* map = function_->getArg(static_cast<unsigned>(p_.buffers.size() + 1 + static_cast<std::size_t>(k)));
  llvm::Value* unit = box_number(program_.grids[static_cast<std::size_t>(k)]);
  for (std::int64_t box = 0; box < size.boxes; ++box) {
    llvm::Value* along = number(box * wide_line);
    if (is_cut_along) along = b_.CreateAdd(first, along);
    copy_box(b_, shared(b_.CreateAdd(place, number(box * size.box_bytes()))), map, {along, is_cut_along ? number(0) : first, unit},
             barrier);
  }
}

std::vector<WideRegisterWriter::WideRun> WideRegisterWriter::runs_of(const RegisterProgram::Part& part, std::size_t first_run) {
  std::vector<WideRun> runs;
  for (std::size_t k = 0; k < part.kinds.size(); ++k) {
    auto from_table = [&](std::size_t place) { return in_table(place + 2 * (first_run + k)); };
    WideRun next{&part.kinds[k], {from_table(1), from_table(2), nullptr, nullptr}, 0, 0};
    if (p_.by_data) narrow(next.run);
    next.run.column = same_in_warp(b_, next.run.column), next.run.blocks = same_in_warp(b_, next.run.blocks);
    auto blocks = [&](const RegisterProgram::Rows& rows) { return rows.runs[first_run + k].blocks; };
    next.most = std::ranges::max(program_.blocks, {}, blocks).runs[first_run + k].blocks;
    if (!p_.by_data) next.fewest = std::ranges::min(program_.blocks, {}, blocks).runs[first_run + k].blocks;
    runs.push_back(next);
  }
  std::ranges::sort(runs, {}, [](const WideRun& each) { return std::pair(each.fewest == 0, each.kind); });
  return runs;
}

// --- the groups that multiply

void WideRegisterWriter::go_over_columns(const RegisterProgram::Part& part, std::size_t first_run) {
  const auto index = static_cast<std::size_t>(&part - program_.parts.data());
  if (std::any_of(program_.parts.begin(), program_.parts.begin() + static_cast<std::ptrdiff_t>(index),
                  [](const RegisterProgram::Part& before) { return before.over_columns; }))
    block_barrier(b_);
  begin_part(index);
  values_->forget();
  const std::vector<WideRun> runs = runs_of(part, first_run);
  find_products(part);
  keep_state();
  store_row_starts();
  set_turn({number(1), number(1)});
  wait_for_phase(b_, rows_barrier(), number(0));
  if (sums_follow(part))
    do_blocks(part, runs);
  else
    for (const WideRun& each : runs)
      if (each.most > 0) repeat(each.run.column, each.run.blocks, [&](llvm::Value* own) { do_whole_block(part, *each.kind, own); });
  load_state();
  values_->forget();
}

void WideRegisterWriter::do_blocks(const RegisterProgram::Part& part, const std::vector<WideRun>& runs) {
  b_.CreateStore(number(0), has_begun_);
  // The first block has no sums before it that are under way.
  bool surely_begun = false, perhaps_begun = false;
  auto is_at = [&](llvm::CmpInst::Predicate what) { return b_.CreateICmp(what, b_.CreateLoad(b_.getInt32Ty(), has_begun_), number(0)); };
  for (const WideRun& each : runs) {
    if (each.most == 0) continue;
    llvm::Value *column = each.run.column, *blocks = each.run.blocks;
    if (!surely_begun) {
      llvm::Value* is_first = b_.CreateICmpSGT(blocks, number(0));
      if (perhaps_begun) is_first = b_.CreateAnd(is_first, is_at(llvm::CmpInst::ICMP_EQ));
      auto first = [&] {
        do_block(part, *each.kind, column, true);
        b_.CreateStore(number(1), has_begun_);
      };
      if (each.fewest > 0) {
        first();
        is_first = b_.getTrue();
      } else {
        when(is_first, first);
      }
      column = b_.CreateSelect(is_first, b_.CreateAdd(column, number(program_.columns)), column);
      blocks = b_.CreateSub(blocks, b_.CreateZExt(is_first, b_.getInt32Ty()));
    }
    if (surely_begun || each.most > 1 || perhaps_begun)
      repeat(column, blocks, [&](llvm::Value* own) { do_block(part, *each.kind, own, false); });
    surely_begun |= each.fewest > 0;
    perhaps_begun = true;
  }
  if (surely_begun)
    finish_sums(last_turn());
  else if (perhaps_begun)
    when(is_at(llvm::CmpInst::ICMP_NE), [&] { finish_sums(last_turn()); });
}

}  // namespace heed
