// Decodes tasks, writes the offsets of a block, calls the pieces of its body.
#include "codegen/cuda/block_kernel.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>

#include "codegen/cuda/builtins.h"
#include "codegen/tile/emitter_state.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr std::int64_t fill_a_thread = 4;

std::int64_t aligned(std::int64_t bytes) { return (bytes + 255) / 256 * 256; }

// A buffer of a piece.
struct Argument {
  enum class Kind : std::uint8_t { parameter, local, accumulated } kind;
  std::int64_t number;  // of the parameter; bytes from the start of local memory; of BlockedWork::initial
};

// Everything that the code depends on, kept for the thread that writes it.
struct Plan {
  BlockedWork work;
  std::vector<std::vector<Piece>> bodies;
  std::vector<Buffer> buffers;                                // of the program
  std::vector<BufferUse> uses;                                // parameters of the kernel
  std::vector<std::vector<std::vector<Argument>>> arguments;  // of each piece
  std::int64_t piece_bytes = 0;                               // of shared memory that pieces use
  std::int64_t parts = 1;
  std::int64_t tasks = 1, thread_blocks = 1;
  bool in_shared = true;
};

class Writer {
 public:
  Writer(llvm::Module& module, const std::string& symbol, const Plan& plan)
      : plan_(plan), module_(module), symbol_(symbol), b_(module.getContext()) {}

  void write() {
    for (std::size_t body = 0; body < plan_.bodies.size(); ++body)
      for (std::size_t k = 0; k < plan_.bodies[body].size(); ++k)
        functions_[{body, k}] = add_piece(module_, fmt::format("{}_{}_{}", symbol_, body, k), plan_.bodies[body][k], true);
    std::size_t accumulated = plan_.parts > 1 ? plan_.work.initial.size() : 0;
    kernel_ = declare_kernel(module_, symbol_, plan_.uses.size() + accumulated + (plan_.in_shared ? 0 : 1));
    b_.SetInsertPoint(new_block());
    llvm::Value* block = b_.CreateZExt(block_index(b_), b_.getInt64Ty());
    if (plan_.in_shared)
      local_ = at(shared_memory(b_), number(plan_.piece_bytes));
    else
      local_ =
          at(kernel_->getArg(static_cast<unsigned>(plan_.uses.size() + accumulated)), b_.CreateMul(block, number(plan_.work.local_bytes)));
    if (plan_.tasks == plan_.thread_blocks)
      do_task(block);
    else
      loop(block, number(plan_.tasks), number(plan_.thread_blocks), [&](llvm::Value* task) { do_task(task); });
    b_.CreateRetVoid();
  }

 private:
  llvm::BasicBlock* new_block() { return llvm::BasicBlock::Create(module_.getContext(), "", kernel_); }
  llvm::Value* number(std::int64_t value) { return b_.getInt64(static_cast<std::uint64_t>(value)); }
  llvm::Value* at(llvm::Value* pointer, llvm::Value* bytes) { return b_.CreateGEP(b_.getInt8Ty(), pointer, bytes); }

  // At least once.
  template <class Body>
  void loop(llvm::Value* begin, llvm::Value* end, llvm::Value* step, Body body) {
    llvm::BasicBlock *before = b_.GetInsertBlock(), *head = new_block(), *after = new_block();
    b_.CreateBr(head);
    b_.SetInsertPoint(head);
    llvm::PHINode* index = b_.CreatePHI(b_.getInt64Ty(), 2);
    index->addIncoming(begin, before);
    body(index);
    llvm::Value* next = b_.CreateAdd(index, step);
    index->addIncoming(next, b_.GetInsertBlock());
    b_.CreateCondBr(b_.CreateICmpSLT(next, end), head, after);
    b_.SetInsertPoint(after);
  }

  void do_task(llvm::Value* task) {
    const BlockedWork& work = plan_.work;
    if (plan_.parts > 1) {
      part_ = b_.CreateURem(task, number(plan_.parts));
      task = b_.CreateUDiv(task, number(plan_.parts));
    }
    std::vector<llvm::Value*> units(work.units.size());
    auto digits = [&](llvm::Value* index, std::size_t first, std::size_t last) {
      for (std::size_t unit = last; unit-- > first;) {
        units[unit] = b_.CreateURem(index, number(work.units[unit]));
        index = b_.CreateUDiv(index, number(work.units[unit]));
      }
    };
    auto parallel = static_cast<std::size_t>(work.parallel_units);
    std::int64_t turns = 1;
    for (std::size_t unit = parallel; unit < units.size(); ++unit) turns *= work.units[unit];
    llvm::Value* rows = number(static_cast<std::int64_t>(work.blocks.size()));
    llvm::Value* row = work.parallel_rows ? b_.CreateURem(task, rows) : nullptr;
    digits(work.parallel_rows ? b_.CreateUDiv(task, rows) : task, 0, parallel);
    // What one task does in order: every turn of the other units, and of each every block of rows.
    std::int64_t length = row ? turns : turns * static_cast<std::int64_t>(work.blocks.size());
    auto step = [&](llvm::Value* index) {
      digits(row ? index : b_.CreateUDiv(index, rows), parallel, units.size());
      do_block(units, row ? row : b_.CreateURem(index, rows));
    };
    llvm::Value *first = number(0), *last = number(length);
    if (plan_.parts > 1) {
      first = b_.CreateUDiv(b_.CreateMul(part_, number(length)), number(plan_.parts));
      last = b_.CreateUDiv(b_.CreateMul(b_.CreateAdd(part_, number(1)), number(length)), number(plan_.parts));
    }
    if (length == 1)
      step(number(0));
    else
      loop(first, last, number(1), step);
  }

  // A table of the blocks: body, first row, first column.
  llvm::GlobalVariable* table() {
    if (table_) return table_;
    std::vector<std::uint64_t> numbers;
    for (const auto& block : plan_.work.blocks)
      for (std::int64_t each : {static_cast<std::int64_t>(block.body), block.row, block.column})
        numbers.push_back(static_cast<std::uint64_t>(each));
    auto* data = llvm::ConstantDataArray::get(module_.getContext(), numbers);
    table_ = new llvm::GlobalVariable(module_, data->getType(), true, llvm::GlobalValue::InternalLinkage, data, symbol_ + "_blocks");
    return table_;
  }

  void do_block(const std::vector<llvm::Value*>& units, llvm::Value* block) {
    llvm::Type* i64 = b_.getInt64Ty();
    auto entry = [&](std::int64_t which) {
      return b_.CreateLoad(i64, b_.CreateGEP(i64, table(), b_.CreateAdd(b_.CreateMul(block, number(3)), number(which))));
    };
    llvm::Value* body = entry(0);
    std::vector<llvm::Value*> offsets = units;
    offsets.push_back(entry(1));
    offsets.push_back(entry(2));
    block_barrier(b_);  // the last block's pieces have read its offsets
    auto *write = new_block(), *after = new_block();
    b_.CreateCondBr(b_.CreateICmpEQ(thread_index(b_), b_.getInt32(0)), write, after);
    b_.SetInsertPoint(write);
    for (std::size_t k = 0; k < offsets.size(); ++k) b_.CreateStore(offsets[k], at(local_, number(static_cast<std::int64_t>(k) * 8)));
    b_.CreateBr(after);
    b_.SetInsertPoint(after);
    block_barrier(b_);
    if (plan_.bodies.size() == 1) return do_body(0);
    llvm::BasicBlock* end = new_block();
    llvm::SwitchInst* choice = b_.CreateSwitch(body, end, static_cast<unsigned>(plan_.bodies.size()));
    for (std::size_t k = 0; k < plan_.bodies.size(); ++k) {
      llvm::BasicBlock* start = new_block();
      choice->addCase(b_.getInt64(k), start);
      b_.SetInsertPoint(start);
      do_body(k);
      b_.CreateBr(end);
    }
    b_.SetInsertPoint(end);
  }

  void do_body(std::size_t body) {
    for (std::size_t k = 0; k < plan_.bodies[body].size(); ++k) {
      const Piece& piece = plan_.bodies[body][k];
      auto call = [&](llvm::Value* task) {
        std::vector<llvm::Value*> arguments;
        for (const Argument& each : plan_.arguments[body][k]) arguments.push_back(pointer_to(each));
        arguments.push_back(task);
        arguments.push_back(kernel_->getArg(static_cast<unsigned>(kernel_->arg_size() - 1)));
        b_.CreateCall(functions_.at({body, k}), arguments);
        block_barrier(b_);
      };
      if (piece.tasks == 1)
        call(number(0));
      else
        loop(number(0), number(piece.tasks), number(1), call);
    }
  }

  llvm::Value* pointer_to(const Argument& argument) {
    if (argument.kind == Argument::Kind::local) return at(local_, number(argument.number));
    if (argument.kind == Argument::Kind::parameter) return kernel_->getArg(static_cast<unsigned>(argument.number));
    const auto& initial = plan_.work.initial[static_cast<std::size_t>(argument.number)];
    llvm::Value* parts = kernel_->getArg(static_cast<unsigned>(plan_.uses.size()) + static_cast<unsigned>(argument.number));
    return at(parts, b_.CreateMul(part_, number(initial.bytes)));
  }

  const Plan& plan_;
  llvm::Module& module_;
  std::string symbol_;
  llvm::IRBuilder<> b_;
  llvm::Function* kernel_ = nullptr;
  llvm::Value *local_ = nullptr, *part_ = nullptr;
  llvm::GlobalVariable* table_ = nullptr;
  std::map<std::pair<std::size_t, std::size_t>, llvm::Function*> functions_;
};

std::string key_of(const Plan& plan) {
  std::string key =
      fmt::format("gpu blocks {} of {} parts {} parallel {} {} shared {} {} local {}\nunits", plan.tasks, plan.thread_blocks, plan.parts,
                  plan.work.parallel_units, plan.work.parallel_rows, plan.in_shared, plan.piece_bytes, plan.work.local_bytes);
  for (std::int64_t unit : plan.work.units) key += fmt::format(" {}", unit);
  key += "\nblocks";
  for (const auto& block : plan.work.blocks) key += fmt::format(" {} {} {},", block.body, block.row, block.column);
  for (std::size_t body = 0; body < plan.bodies.size(); ++body)
    for (std::size_t k = 0; k < plan.bodies[body].size(); ++k) {
      key += fmt::format("\nbody {} tasks {} buffers", body, plan.bodies[body][k].tasks);
      for (const Argument& each : plan.arguments[body][k]) key += fmt::format(" {}:{}", static_cast<int>(each.kind), each.number);
      key += "\n" + plan.bodies[body][k].key;
    }
  return key;
}

}  // namespace

std::int64_t block_parts(const BlockedWork& work) {
  constexpr std::int64_t wanted_tasks = 132, most_parts = 64, most_bytes = std::int64_t{1} << 28;
  std::int64_t length = work.parallel_rows ? 1 : static_cast<std::int64_t>(work.blocks.size()), bytes = 1;
  for (std::size_t unit = static_cast<std::size_t>(work.parallel_units); unit < work.units.size(); ++unit) length *= work.units[unit];
  for (const auto& initial : work.initial) bytes += initial.bytes;
  std::int64_t tasks = std::max<std::int64_t>(1, work.tasks());
  return std::clamp<std::int64_t>(wanted_tasks / tasks, 1, std::max<std::int64_t>(1, std::min({length, most_parts, most_bytes / bytes})));
}

BlockKernel block_kernel(const BlockedWork& work, std::int64_t parts, const std::vector<std::vector<Piece>>& bodies,
                         const std::vector<Buffer>& buffers, const CudaTarget& target) {
  auto plan = std::make_shared<Plan>();
  plan->parts = parts;
  plan->work = work;
  plan->bodies = bodies;
  plan->work.local_bytes = aligned(work.local_bytes);
  for (std::size_t body = 0; body < bodies.size(); ++body) {
    auto& lists = plan->arguments.emplace_back();
    for (std::size_t k = 0; k < bodies[body].size(); ++k) {
      plan->piece_bytes = std::max(plan->piece_bytes, aligned(bodies[body][k].shared_bytes));
      auto& list = lists.emplace_back();
      for (const BufferUse& use : work.bodies[body][k].buffers) {
        const Buffer& buffer = buffers[static_cast<std::size_t>(use.buffer)];
        if (buffer.kind == Buffer::Kind::local) {
          list.push_back({Argument::Kind::local, buffer.offset});
          continue;
        }
        auto same = [&](const BufferUse& other) { return other.buffer == use.buffer && other.stride == use.stride; };
        auto sum = std::ranges::find_if(work.initial, [&](const auto& initial) { return same(initial.buffer); });
        if (parts > 1 && sum != work.initial.end()) {
          list.push_back({Argument::Kind::accumulated, sum - work.initial.begin()});
          continue;
        }
        auto known = std::ranges::find_if(plan->uses,
                                          [&](const BufferUse& other) { return other.buffer == use.buffer && other.stride == use.stride; });
        list.push_back({Argument::Kind::parameter, known - plan->uses.begin()});
        if (known == plan->uses.end()) plan->uses.push_back(use);
      }
    }
  }
  plan->tasks = plan->thread_blocks = work.tasks() * parts;
  plan->in_shared = plan->piece_bytes + plan->work.local_bytes <= target.shared_bytes;
  constexpr std::int64_t resident = 512;  // thread blocks with memory of their own
  if (!plan->in_shared) plan->thread_blocks = std::min(plan->tasks, resident);
  BlockKernel out;
  out.source = {key_of(*plan), [plan](llvm::Module& module, const std::string& symbol) { Writer(module, symbol, *plan).write(); }};
  out.buffers = plan->uses;
  out.tasks = plan->thread_blocks;
  out.shared_bytes = plan->piece_bytes + (plan->in_shared ? plan->work.local_bytes : 0);
  out.scratch_bytes = plan->in_shared ? 0 : plan->thread_blocks * plan->work.local_bytes;
  return out;
}

std::int64_t fill_tasks(std::int64_t elements) { return (elements + block_threads * fill_a_thread - 1) / (block_threads * fill_a_thread); }

std::int64_t combine_tasks(const BlockedWork::Initial& initial) {
  return ceil_divide(initial.bytes / static_cast<std::int64_t>(initial.element.size()), block_threads);
}

KernelSource combine_kernel(const BlockedWork::Initial& initial, std::int64_t parts) {
  bool wide = initial.element.size() == 8;
  bool sums = std::ranges::all_of(initial.element, [](std::byte each) { return each == std::byte{0}; });
  std::int64_t elements = initial.bytes / static_cast<std::int64_t>(initial.element.size());
  return {fmt::format("gpu parts {} of {} elements of {} bytes, {}", parts, elements, initial.element.size(), sums ? "sum" : "maximum"),
          [=](llvm::Module& module, const std::string& symbol) {
            llvm::Function* kernel = declare_kernel(module, symbol, 2);
            llvm::LLVMContext& context = module.getContext();
            llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", kernel));
            llvm::Type* type = wide ? b.getDoubleTy() : b.getFloatTy();
            auto number = [&](std::int64_t value) { return b.getInt64(static_cast<std::uint64_t>(value)); };
            llvm::Value* at = b.CreateMul(b.CreateZExt(block_index(b), b.getInt64Ty()), number(block_threads));
            at = b.CreateAdd(at, b.CreateZExt(thread_index(b), b.getInt64Ty()));
            auto *inside = llvm::BasicBlock::Create(context, "", kernel), *loop = llvm::BasicBlock::Create(context, "", kernel),
                 *store = llvm::BasicBlock::Create(context, "", kernel), *end = llvm::BasicBlock::Create(context, "", kernel);
            b.CreateCondBr(b.CreateICmpSLT(at, number(elements)), inside, end);
            b.SetInsertPoint(inside);
            llvm::Value* first = b.CreateLoad(type, b.CreateGEP(type, kernel->getArg(0), at));
            b.CreateBr(loop);
            b.SetInsertPoint(loop);
            llvm::PHINode *part = b.CreatePHI(b.getInt64Ty(), 2), *total = b.CreatePHI(type, 2);
            part->addIncoming(number(1), inside);
            total->addIncoming(first, inside);
            llvm::Value* place = b.CreateAdd(b.CreateMul(part, number(elements)), at);
            llvm::Value* value = b.CreateLoad(type, b.CreateGEP(type, kernel->getArg(0), place));
            llvm::Value* next = sums ? b.CreateFAdd(total, value) : larger(b, value, total);
            llvm::Value* following = b.CreateAdd(part, number(1));
            part->addIncoming(following, loop);
            total->addIncoming(next, loop);
            b.CreateCondBr(b.CreateICmpSLT(following, number(parts)), loop, store);
            b.SetInsertPoint(store);
            b.CreateStore(next, b.CreateGEP(type, kernel->getArg(1), at));
            b.CreateBr(end);
            b.SetInsertPoint(end);
            b.CreateRetVoid();
          }};
}

KernelSource fill_kernel(const std::vector<std::byte>& element, std::int64_t elements) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, element.data(), element.size());
  auto bytes = static_cast<unsigned>(element.size());
  return {fmt::format("gpu fill {} elements of {} bytes with {:x}", elements, bytes, bits),
          [bits, bytes, elements](llvm::Module& module, const std::string& symbol) {
            llvm::Function* kernel = declare_kernel(module, symbol, 1);
            llvm::LLVMContext& context = module.getContext();
            llvm::IRBuilder<> b(llvm::BasicBlock::Create(context, "", kernel));
            llvm::Type* type = b.getIntNTy(bytes * 8);
            llvm::Value* first = b.CreateMul(b.CreateZExt(block_index(b), b.getInt64Ty()), b.getInt64(block_threads * fill_a_thread));
            first = b.CreateAdd(first, b.CreateZExt(thread_index(b), b.getInt64Ty()));
            for (std::int64_t k = 0; k < fill_a_thread; ++k) {
              llvm::Value* at = b.CreateAdd(first, b.getInt64(static_cast<std::uint64_t>(k * block_threads)));
              auto *store = llvm::BasicBlock::Create(context, "", kernel), *next = llvm::BasicBlock::Create(context, "", kernel);
              b.CreateCondBr(b.CreateICmpSLT(at, b.getInt64(static_cast<std::uint64_t>(elements))), store, next);
              b.SetInsertPoint(store);
              b.CreateStore(llvm::ConstantInt::get(type, bits), b.CreateGEP(type, kernel->getArg(0), at));
              b.CreateBr(next);
              b.SetInsertPoint(next);
            }
            b.CreateRetVoid();
          }};
}

}  // namespace heed
