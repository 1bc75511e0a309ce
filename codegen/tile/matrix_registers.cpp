// Eight registers: four of sums, one or two of a, the others of b. LLVM's plain intrinsics name them by number.
#include "codegen/tile/matrix_registers.h"

#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/IntrinsicsX86.h>
#include <llvm/IR/Module.h>

#include <algorithm>
#include <array>

#include "ir/integer.h"

namespace heed {
namespace {

constexpr int registers = 8, first_operand = 4;
constexpr int word_bytes = 4, row_bytes = matrix_side * word_bytes;

int row_matrices(int rows) { return rows > matrix_side ? 2 : 1; }
int rows_of(int rows, int matrix) { return std::min(matrix_side, rows - matrix * matrix_side); }

// The same whatever the vectors, so that a narrow last tile needs no configuration of its own.
int sum_register(int matrix, int vector) { return matrix * 2 + vector; }
int left_register(int matrix) { return first_operand + matrix; }
int right_register(int rows, int vector) {
  const int first = first_operand + row_matrices(rows);
  return first + vector % (registers - first);
}

void call(llvm::IRBuilderBase& b, llvm::Intrinsic::ID instruction, llvm::ArrayRef<llvm::Value*> operands) {
  b.CreateIntrinsic(instruction, {}, operands);
}

}  // namespace

Tile choose_matrix_tile(std::int64_t m, std::int64_t n) {
  const bool is_low = m <= matrix_side;
  const std::int64_t rows = std::min<std::int64_t>(m, 2 * matrix_side),
                     vectors = std::min<std::int64_t>(is_low ? 4 : 2, ceil_divide(n, matrix_side));
  return {static_cast<int>(rows), static_cast<int>(vectors), matrix_side};
}

double matrix_cycles(const Tile& tile) {
  constexpr double latency = 52, load = 8;  // of a sum; of a register, from the first cache
  return std::max({latency, load * (row_matrices(tile.rows) + tile.vectors), static_cast<double>(tile.rows * tile.vectors)});
}

llvm::Value* matrix_configuration(llvm::Module& module, int rows) {
  const std::string name = fmt::format("matrices_of_{}_rows", rows);
  if (llvm::GlobalVariable* known = module.getNamedGlobal(name)) return known;
  // Palette 1; 16 numbers of bytes in a row, each in two bytes; 16 numbers of rows.
  std::array<std::uint8_t, 64> bytes{1};
  for (int r = 0; r < registers; ++r) bytes[static_cast<std::size_t>(16 + 2 * r)] = row_bytes;
  auto set_rows = [&](int r, int count) { bytes[static_cast<std::size_t>(48 + r)] = static_cast<std::uint8_t>(count); };
  for (int r = 0; r < registers; ++r) set_rows(r, matrix_side);
  for (int matrix = 0; matrix < row_matrices(rows); ++matrix) {
    set_rows(left_register(matrix), rows_of(rows, matrix));
    for (int vector = 0; vector < first_operand / row_matrices(rows); ++vector)
      set_rows(sum_register(matrix, vector), rows_of(rows, matrix));
  }
  auto* constant = llvm::ConstantDataArray::get(module.getContext(), llvm::ArrayRef(bytes));
  auto* global = new llvm::GlobalVariable(module, constant->getType(), true, llvm::GlobalValue::InternalLinkage, constant, name);
  global->setAlignment(llvm::Align(64));
  return global;
}

void configure_matrices(llvm::IRBuilderBase& builder, llvm::Value* configuration) {
  call(builder, llvm::Intrinsic::x86_ldtilecfg, {configuration});
}

void release_matrices(llvm::IRBuilderBase& builder) { call(builder, llvm::Intrinsic::x86_tilerelease, {}); }

void emit_matrix_sums(llvm::IRBuilderBase& builder, const MicroKernel& kernel, const MatrixOperands& operands) {
  const Tile& tile = kernel.tile;
  llvm::LLVMContext& context = builder.getContext();
  llvm::Function* function = builder.GetInsertBlock()->getParent();
  auto block = [&](const char* label) { return llvm::BasicBlock::Create(context, label, function); };
  auto number = [&](std::int64_t value) { return builder.getInt64(static_cast<std::uint64_t>(value)); };
  auto name = [&](int r) { return builder.getInt8(static_cast<std::uint8_t>(r)); };
  auto at = [&](llvm::Value* base, std::int64_t words) {
    return words == 0 ? base : builder.CreateInBoundsGEP(builder.getFloatTy(), base, number(words));
  };
  auto for_sums = [&](const auto& body) {
    for (int matrix = 0; matrix < row_matrices(tile.rows); ++matrix)
      for (int vector = 0; vector < tile.vectors; ++vector)
        body(name(sum_register(matrix, vector)), at(operands.c, matrix * matrix_side * kernel.c_row_stride + vector * matrix_side));
  };
  llvm::Value *a_stride = number(kernel.a_row_stride * word_bytes), *b_stride = number(kernel.b_k_stride * word_bytes),
              *c_stride = number(kernel.c_row_stride * word_bytes);

  llvm::BasicBlock *add = block("add"), *set = block("set"), *loop = block("loop"), *end = block("end");
  builder.CreateCondBr(builder.CreateICmpNE(operands.accumulate, number(0)), add, set);
  builder.SetInsertPoint(add);
  for_sums([&](llvm::Value* sum, llvm::Value* c) { call(builder, llvm::Intrinsic::x86_tileloadd64, {sum, c, c_stride}); });
  builder.CreateBr(loop);
  builder.SetInsertPoint(set);
  for_sums([&](llvm::Value* sum, llvm::Value*) { call(builder, llvm::Intrinsic::x86_tilezero, {sum}); });
  builder.CreateBr(loop);

  builder.SetInsertPoint(loop);
  auto carried = [&](llvm::Value* begin) {
    llvm::PHINode* phi = builder.CreatePHI(begin->getType(), 3);
    for (llvm::BasicBlock* before : {add, set}) phi->addIncoming(begin, before);
    return phi;
  };
  llvm::PHINode *depth = carried(number(0)), *a = carried(operands.a), *b = carried(operands.b);
  for (int vector = 0; vector < tile.vectors; ++vector) {
    llvm::Value* right = name(right_register(tile.rows, vector));
    call(builder, llvm::Intrinsic::x86_tileloadd64, {right, at(b, vector * matrix_side), b_stride});
    for (int matrix = 0; matrix < row_matrices(tile.rows); ++matrix) {
      llvm::Value* left = name(left_register(matrix));
      if (vector == 0) call(builder, llvm::Intrinsic::x86_tileloadd64, {left, at(a, matrix * matrix_side * kernel.a_row_stride), a_stride});
      call(builder, llvm::Intrinsic::x86_tdpbf16ps, {name(sum_register(matrix, vector)), left, right});
    }
  }
  llvm::Value* next = builder.CreateAdd(depth, number(matrix_side));
  depth->addIncoming(next, loop);
  a->addIncoming(at(a, matrix_side), loop);
  b->addIncoming(at(b, matrix_side * kernel.b_k_stride), loop);
  builder.CreateCondBr(builder.CreateICmpSLT(next, operands.count), loop, end);

  builder.SetInsertPoint(end);
  for_sums([&](llvm::Value* sum, llvm::Value* c) { call(builder, llvm::Intrinsic::x86_tilestored64, {sum, c, c_stride}); });
}

}  // namespace heed
