// What a block of threads does: which rows, and the parts of the program in order.
#include "codegen/cuda/register_writer.h"

#include <llvm/IR/Module.h>

#include "codegen/cuda/piece.h"
#include "codegen/cuda/register_kernel.h"

namespace heed {

RegisterWriter::RegisterWriter(llvm::Module& module, const std::string& symbol, const PreparedRegisters& prepared)
    : p_(prepared), program_(prepared.program), module_(module), symbol_(symbol), b_(module.getContext()) {
  function_ = declare_kernel(module, symbol, p_.buffers.size(), p_.maps.size(), p_.threads());
  b_.SetInsertPoint(new_block());
  Values buffers;
  for (std::size_t k = 0; k < p_.buffers.size(); ++k) buffers.push_back(function_->getArg(static_cast<unsigned>(k)));
  values_.emplace(b_, program_, p_.accesses, buffers);
}

void RegisterWriter::write() {
  llvm::Value* thread = thread_index(b_);
  lane_ = b_.CreateAnd(thread, number(warp_threads - 1));
  warp_ = b_.CreateLShr(thread, number(5));
  for (const SharedTile& tile : p_.shapes) shares_.push_back(tile_shares(b_, tile, thread, p_.threads()));
  decode_task();
  bind_rows();
  write_parts();
  b_.CreateRetVoid();
}

void RegisterWriter::write_parts() {
  std::size_t runs = 0;
  for (const auto& part : program_.parts) {
    if (part.over_columns) {
      values_->forget();
      values_->keep_rows(p_.accesses.row_values(number_of(part)), rows());
      go_over_columns(part, runs);
      values_->forget_rows();
      runs += part.kinds.size();
    } else {
      values_->forget();
      bind_kept(part.kinds[0].steps, false);
      do_steps(part.kinds[0].steps, false);
    }
  }
}

llvm::Value* RegisterWriter::buffer(ArrayRef array) const {
  return function_->getArg(static_cast<unsigned>(std::ranges::find(p_.buffers, array) - p_.buffers.begin()));
}

void RegisterWriter::decode_task() {
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

llvm::Value* RegisterWriter::in_table(std::size_t place) {
  llvm::Value* at = b_.CreateGEP(b_.getInt32Ty(), table_, b_.CreateAdd(entry_, number(static_cast<std::int64_t>(place))));
  return b_.CreateLoad(b_.getInt32Ty(), at);
}

void RegisterWriter::bind_rows() {
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

void RegisterWriter::bind_width(AxisRef width) {
  values_->bind_axis(width, pair_);
  values_->set_end(width, width->size % fragment_size == 0 ? 0 : width->size);
}

std::size_t RegisterWriter::kept_number(ArrayRef kept) const {
  return static_cast<std::size_t>(std::ranges::find(program_.kept, kept) - program_.kept.begin());
}

void RegisterWriter::bind_kept(const RegisterSteps& steps, bool in_loop) {
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

llvm::Value* RegisterWriter::over_quad(llvm::Value* x, Reduction reduction) {
  for (int distance : {1, 2}) x = together(x, shuffle_xor(b_, x, distance), reduction);
  return x;
}

llvm::Value* RegisterWriter::together(llvm::Value* x, llvm::Value* y, Reduction reduction) {
  if (reduction == Reduction::maximum) return b_.CreateBinaryIntrinsic(llvm::Intrinsic::maximum, x, y);
  // A product that nothing else needs so far is multiplied and added at once.
  if (auto* product = llvm::dyn_cast<llvm::BinaryOperator>(x);
      product && product->getOpcode() == llvm::Instruction::FMul && product->use_empty())
    return b_.CreateIntrinsic(llvm::Intrinsic::fma, {x->getType()}, {product->getOperand(0), product->getOperand(1), y});
  return b_.CreateFAdd(x, y);
}

}  // namespace heed
