// NVPTX's form of each builtin: one table.
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/IntrinsicsNVPTX.h>
#include <llvm/IR/Module.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "codegen/cuda/builtins.h"

namespace heed {
namespace {

using llvm::Value;
using Arguments = llvm::ArrayRef<Value*>;

Value* intrinsic(llvm::IRBuilderBase& b, llvm::Intrinsic::ID id, llvm::ArrayRef<Value*> arguments) {
  return b.CreateCall(llvm::Intrinsic::getDeclaration(b.GetInsertBlock()->getModule(), id), arguments);
}

// Stores the parts of an intrinsic's result where the builtin was to write them.
Value* store_results(llvm::IRBuilderBase& b, Value* results, Value* all) {
  for (unsigned k = 0; k < 4; ++k) {
    Value* part = b.CreateExtractValue(all, k);
    b.CreateStore(part, b.CreateConstGEP1_32(part->getType(), results, k));
  }
  return nullptr;
}

llvm::Type* shared_pointer(llvm::IRBuilderBase& b) { return llvm::PointerType::get(b.getContext(), 3); }

Value* loaded_matrices(llvm::IRBuilderBase& b, Arguments a, llvm::Intrinsic::ID id) {
  auto* load = llvm::Intrinsic::getDeclaration(b.GetInsertBlock()->getModule(), id, {shared_pointer(b)});
  return store_results(b, a[0], b.CreateCall(load, {b.CreateAddrSpaceCast(a[1], shared_pointer(b))}));
}

// Assembly that is executed where it stands, by all threads together.
Value* assembly(llvm::IRBuilderBase& b, llvm::Type* result, const std::string& text, const std::string& constraints, Arguments arguments) {
  std::vector<llvm::Type*> types;
  for (Value* argument : arguments) types.push_back(argument->getType());
  const std::string all = constraints + (constraints.empty() ? "~{memory}" : ",~{memory}");
  auto* code = llvm::InlineAsm::get(llvm::FunctionType::get(result, types, false), text, all, /*hasSideEffects=*/true);
  llvm::CallInst* call = b.CreateCall(code, arguments);
  call->addFnAttr(llvm::Attribute::Convergent);
  return call;
}
void assembly(llvm::IRBuilderBase& b, const std::string& text, const std::string& constraints, Arguments arguments) {
  assembly(b, b.getVoidTy(), text, constraints, arguments);
}

Value* shared_word(llvm::IRBuilderBase& b, Value* pointer) {
  return b.CreateTrunc(b.CreatePtrToInt(b.CreateAddrSpaceCast(pointer, shared_pointer(b)), b.getInt64Ty()), b.getInt32Ty());
}

// The same as an address, in 32 bits from what is known of it, and how instructions name it that add a constant to it.
std::pair<Value*, std::string> shared_place(llvm::IRBuilderBase& b, Value* pointer, int operand = 0) {
  const llvm::DataLayout& layout = b.GetInsertBlock()->getModule()->getDataLayout();
  llvm::APInt constant(64, 0);
  Value* base = pointer->stripAndAccumulateConstantOffsets(layout, constant, true);
  llvm::MapVector<Value*, llvm::APInt> further;
  auto* moved = llvm::dyn_cast<llvm::GEPOperator>(base);
  const bool is_moved = moved && moved->collectOffset(layout, 64, further, constant);
  Value* word = shared_word(b, is_moved ? moved->getPointerOperand() : base);
  for (const auto& [index, size] : further)
    word =
        b.CreateAdd(word, b.CreateMul(b.CreateTrunc(index, b.getInt32Ty()), b.getInt32(static_cast<std::uint32_t>(size.getZExtValue()))));
  return {word, "[$" + std::to_string(operand) + "+" + std::to_string(constant.getSExtValue()) + "]"};
}

std::int64_t constant_of(Value* value) { return llvm::cast<llvm::ConstantInt>(value)->getSExtValue(); }

// "$from,$from+1,…"
std::string places(std::int64_t from, std::int64_t count) {
  std::string text;
  for (std::int64_t k = 0; k < count; ++k) text += (k > 0 ? ",$" : "$") + std::to_string(from + k);
  return text;
}

// Assembly that changes f32 in memory of the thread's own, or makes them; they become registers. `text` names them $0 …, then the
// arguments.
void with_sums(llvm::IRBuilderBase& b, Value* sums, std::int64_t count, const std::string& text, const std::string& constraints,
               std::vector<Value*> arguments, bool are_new = false) {
  std::string all;
  std::vector<llvm::Type*> types(static_cast<std::size_t>(count), b.getFloatTy());
  for (std::int64_t k = 0; k < count; ++k) all += "=f,";
  all += constraints;
  auto place = [&](std::int64_t k) { return b.CreateConstGEP1_64(b.getFloatTy(), sums, static_cast<std::uint64_t>(k)); };
  for (std::int64_t k = 0; k < count && !are_new; ++k) {
    all += (all.back() == ',' ? "" : ",") + std::to_string(k);
    arguments.push_back(b.CreateLoad(b.getFloatTy(), place(k)));
  }
  if (all.back() == ',') all.pop_back();
  Value* made = assembly(b, llvm::StructType::get(b.getContext(), types), text, all, arguments);
  for (std::int64_t k = 0; k < count; ++k) b.CreateStore(b.CreateExtractValue(made, static_cast<unsigned>(k)), place(k));
}

// wgmma of the arguments kind, columns, left_across, right_across, is_first, sums, `words` of the left operand, the right one.
void multiply_wide_by(llvm::IRBuilderBase& b, Arguments a, const std::string& left, const std::string& constraints, std::int64_t words,
                      const std::string& left_across) {
  const std::int64_t columns = constant_of(a[1]), sums = columns / 2;
  const bool is_first = constant_of(a[4]) != 0;
  const std::string type = constant_of(a[0]) == static_cast<std::int64_t>(MatrixKind::bf16) ? "bf16" : "f16";
  const std::string text = std::string("{ .reg .pred p; ") + (is_first ? "setp.ne.b32" : "setp.eq.b32") +
                           " p, 0, 0; wgmma.mma_async.sync.aligned.m64n" + std::to_string(columns) + "k16.f32." + type + "." + type + " {" +
                           places(0, sums) + "}, " + left + ", $" + std::to_string(sums + words) + ", p, 1, 1" + left_across + ", " +
                           std::to_string(constant_of(a[3])) + "; }";
  with_sums(b, a[5], sums, text, constraints, {a.begin() + 6, a.end()}, is_first);
}

struct Lowering {
  llvm::StringRef name;
  Value* (*make)(llvm::IRBuilderBase& b, Arguments arguments);
  const char *text = nullptr, *constraints = "";  // one instruction of the arguments as they are, in place of `make`
};

constexpr std::uint32_t whole_warp = 0xFFFFFFFFU;

const Lowering lowerings[] = {
    {"heed.thread", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_read_ptx_sreg_tid_x, {}); }},
    {"heed.thread_here",
     [](llvm::IRBuilderBase& b, Arguments) -> Value* {
       auto* type = llvm::FunctionType::get(b.getInt32Ty(), false);
       return b.CreateCall(llvm::InlineAsm::get(type, "mov.u32 $0, %tid.x;", "=r", /*hasSideEffects=*/true));
     }},
    {"heed.block", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_read_ptx_sreg_ctaid_x, {}); }},
    {"heed.barrier", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_barrier0, {}); }},
    {"heed.warp_barrier",
     [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_bar_warp_sync, {b.getInt32(whole_warp)}); }},
    {"heed.shuffle_xor",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return intrinsic(b, llvm::Intrinsic::nvvm_shfl_sync_bfly_i32, {b.getInt32(whole_warp), a[0], a[1], b.getInt32(31)});
     }},
    {"heed.power_of_two", [](llvm::IRBuilderBase& b, Arguments a) { return intrinsic(b, llvm::Intrinsic::nvvm_ex2_approx_ftz_f, {a[0]}); }},
    {"heed.tanh",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       auto* type = llvm::FunctionType::get(b.getFloatTy(), {b.getFloatTy()}, false);
       return b.CreateCall(llvm::InlineAsm::get(type, "tanh.approx.f32 $0, $1;", "=f,f", /*hasSideEffects=*/false), {a[0]});
     }},
    {"heed.reciprocal", [](llvm::IRBuilderBase& b, Arguments a) { return intrinsic(b, llvm::Intrinsic::nvvm_rcp_approx_ftz_f, {a[0]}); }},
    {"heed.hidden",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       auto* type = llvm::FunctionType::get(b.getPtrTy(), {b.getPtrTy()}, false);
       return b.CreateCall(llvm::InlineAsm::get(type, "mov.b64 $0, $1;", "=l,l", /*hasSideEffects=*/true), {a[0]});
     }},
    {"heed.hidden_word",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       auto* type = llvm::FunctionType::get(b.getInt32Ty(), {b.getInt32Ty()}, false);
       return b.CreateCall(llvm::InlineAsm::get(type, "mov.b32 $0, $1;", "=r,r", /*hasSideEffects=*/true), {a[0]});
     }},
    {"heed.make_barrier",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       assembly(b, "mbarrier.init.shared::cta.b64 [$0], $1;", "r,r", {shared_word(b, a[0]), a[1]});
       return nullptr;
     }},
    {"heed.publish_barriers", nullptr, "fence.mbarrier_init.release.cluster;"},
    {"heed.arrive",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       const auto [address, place] = shared_place(b, a[0]);
       assembly(b, "{ .reg .pred p; setp.ne.b32 p, $1, 0; @p mbarrier.arrive.shared::cta.b64 _, " + place + "; }", "r,r", {address, a[1]});
       return nullptr;
     }},
    {"heed.arrive_expecting",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       assembly(b, "mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", "r,r", {shared_word(b, a[0]), a[1]});
       return nullptr;
     }},
    {"heed.wait_for_phase",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       const auto [address, place] = shared_place(b, a[0]);
       assembly(b,
                "{ .reg .pred p;\n"
                "again: mbarrier.try_wait.parity.shared::cta.b64 p, " +
                    place +
                    ", $1;\n"
                    "@p bra over;\n"
                    "bra again;\n"
                    "over: }",
                "r,r", {address, a[1]});
       return nullptr;
     }},
    {"heed.copy_box",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       assembly(b, "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$1, {$2, $3, $4}], [$5];",
                "r,l,r,r,r,r", {shared_word(b, a[0]), a[1], a[2], a[3], a[4], shared_word(b, a[5])});
       return nullptr;
     }},
    {"heed.matrix_place",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       Value* address = b.CreateLShr(b.CreateAnd(shared_word(b, a[0]), b.getInt32(0x3FFFF)), 4);
       const std::int64_t fixed = (std::int64_t{1} << 62) | (constant_of(a[2]) >> 4 << 32) | (constant_of(a[1]) >> 4 << 16);
       return b.CreateOr(b.CreateZExt(address, b.getInt64Ty()), b.getInt64(static_cast<std::uint64_t>(fixed)));
     }},
    {"heed.begin_products", nullptr, "wgmma.fence.sync.aligned;"},
    {"heed.multiply_wide",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       multiply_wide_by(b, a, "$" + std::to_string(constant_of(a[1]) / 2), "l,l", 1, constant_of(a[2]) != 0 ? ", 1" : ", 0");
       return nullptr;
     }},
    {"heed.multiply_wide_held",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       multiply_wide_by(b, a, "{" + places(constant_of(a[1]) / 2, 4) + "}", "r,r,r,r,l", 4, "");
       return nullptr;
     }},
    {"heed.hold_until_known",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       // Nothing is below the lowest number but minus infinity. Stores alone are not moved over a wait for products.
       const auto [address, place] = shared_place(b, a[2]);
       assembly(b, "{ .reg .pred p; setp.lt.f32 p, $1, 0fFF7FFFFF; @p st.shared.f32 " + place + ", $2; }", "r,f,f", {address, a[0], a[1]});
       return nullptr;
     }},
    {"heed.read_quad",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       const auto [address, place] = shared_place(b, a[1], 4);
       with_sums(b, a[0], 4, "ld.volatile.shared::cta.v4.f32 {$0,$1,$2,$3}, " + place + ";", "r", {address}, true);
       return nullptr;
     }},
    {"heed.commit_products", nullptr, "wgmma.commit_group.sync.aligned;"},
    {"heed.wait_for_products",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       const std::string text = "wgmma.wait_group.sync.aligned " + std::to_string(constant_of(a[0])) + ";";
       if (constant_of(a[2]) == 0)
         assembly(b, text, "", {});
       else
         with_sums(b, a[1], constant_of(a[2]), text, "", {});
       return nullptr;
     }},
    {"heed.wait_for_turn", nullptr, "bar.sync $0, 256;", "r"},  // its own threads and those of the one that gives
    {"heed.give_turn", nullptr, "bar.arrive $0, 256;", "r"},
    {"heed.leave_registers",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       assembly(b, "setmaxnreg.dec.sync.aligned.u32 " + std::to_string(constant_of(a[0])) + ";", "", {});
       return nullptr;
     }},
    {"heed.take_registers",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       assembly(b, "setmaxnreg.inc.sync.aligned.u32 " + std::to_string(constant_of(a[0])) + ";", "", {});
       return nullptr;
     }},
    {"heed.same_in_warp",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return intrinsic(b, llvm::Intrinsic::nvvm_shfl_sync_idx_i32, {b.getInt32(whole_warp), a[0], b.getInt32(0), b.getInt32(31)});
     }},
    {"heed.copy_async",
     [](llvm::IRBuilderBase& b, Arguments a) -> Value* {
       if (!llvm::isa<llvm::Constant>(a[4])) {
         auto* call = &*b.GetInsertPoint();
         b.SetInsertPoint(llvm::SplitBlockAndInsertIfThen(b.CreateIsNotNull(a[4]), call, false));
       }
       std::uint64_t bytes = llvm::cast<llvm::ConstantInt>(a[2])->getZExtValue();
       auto id = bytes == 16  ? llvm::Intrinsic::nvvm_cp_async_cg_shared_global_16_s
                 : bytes == 8 ? llvm::Intrinsic::nvvm_cp_async_ca_shared_global_8_s
                              : llvm::Intrinsic::nvvm_cp_async_ca_shared_global_4_s;
       Value* from = b.CreateAddrSpaceCast(a[1], llvm::PointerType::get(b.getContext(), 1));
       return intrinsic(b, id, {b.CreateAddrSpaceCast(a[0], shared_pointer(b)), from, a[3]});
     }},
    {"heed.commit_copies", [](llvm::IRBuilderBase& b, Arguments) { return intrinsic(b, llvm::Intrinsic::nvvm_cp_async_commit_group, {}); }},
    {"heed.wait_for_copies",
     [](llvm::IRBuilderBase& b, Arguments a) { return intrinsic(b, llvm::Intrinsic::nvvm_cp_async_wait_group, {a[0]}); }},
    {"heed.load_matrices",
     [](llvm::IRBuilderBase& b, Arguments a) { return loaded_matrices(b, a, llvm::Intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_b16); }},
    {"heed.load_matrices_transposed",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return loaded_matrices(b, a, llvm::Intrinsic::nvvm_ldmatrix_sync_aligned_m8n8_x4_trans_b16);
     }},
    {"heed.multiply_bf16",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return store_results(b, a[0], intrinsic(b, llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_bf16, a.drop_front()));
     }},
    {"heed.multiply_tf32",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return store_results(b, a[0], intrinsic(b, llvm::Intrinsic::nvvm_mma_m16n8k8_row_col_tf32, a.drop_front()));
     }},
    {"heed.multiply_f16",
     [](llvm::IRBuilderBase& b, Arguments a) {
       std::vector<Value*> typed(a.begin() + 1, a.end());
       for (std::size_t k = 0; k < 6; ++k) typed[k] = b.CreateBitCast(typed[k], llvm::FixedVectorType::get(b.getHalfTy(), 2));
       return store_results(b, a[0], intrinsic(b, llvm::Intrinsic::nvvm_mma_m16n8k16_row_col_f32_f32, typed));
     }},
    {"heed.multiply_f16_in_halves",  // of the depth
     [](llvm::IRBuilderBase& b, Arguments a) {
       auto half = [&](std::size_t k) -> Value* { return b.CreateBitCast(a[1 + k], llvm::FixedVectorType::get(b.getHalfTy(), 2)); };
       std::vector<Value*> sums(a.begin() + 7, a.end());
       Value* made = nullptr;
       for (std::size_t k = 0; k < 2; ++k) {
         std::vector<Value*> typed{half(2 * k), half(2 * k + 1), half(4 + k)};
         typed.insert(typed.end(), sums.begin(), sums.end());
         made = intrinsic(b, llvm::Intrinsic::nvvm_mma_m16n8k8_row_col_f32_f32, typed);
         for (unsigned j = 0; j < 4; ++j) sums[j] = b.CreateExtractValue(made, j);
       }
       return store_results(b, a[0], made);
     }},
    {"heed.pack_bf16",
     [](llvm::IRBuilderBase& b, Arguments a) {
       return b.CreateBitCast(intrinsic(b, llvm::Intrinsic::nvvm_ff2bf16x2_rn, {a[1], a[0]}), b.getInt32Ty());
     }},
    {"heed.shared",
     [](llvm::IRBuilderBase& b, Arguments) -> Value* {
       llvm::Module& module = *b.GetInsertBlock()->getModule();
       auto* memory = module.getNamedGlobal("heed_shared");
       if (!memory) {
         auto* type = llvm::ArrayType::get(b.getInt8Ty(), 0);
         memory = new llvm::GlobalVariable(module, type, false, llvm::GlobalValue::ExternalLinkage, nullptr, "heed_shared", nullptr,
                                           llvm::GlobalValue::NotThreadLocal, 3);
         memory->setAlignment(llvm::Align(1024));
       }
       return llvm::ConstantExpr::getAddrSpaceCast(memory, b.getPtrTy());
     }},
};

}  // namespace

void lower_builtins(llvm::Module& module, int chip) {
  constexpr int first_with_whole_products = 80;  // of fragments with a depth of 16
  auto name_of = [&](const llvm::Function& function) -> llvm::StringRef {
    const bool is_cut = chip < first_with_whole_products && function.getName() == "heed.multiply_f16";
    return is_cut ? "heed.multiply_f16_in_halves" : function.getName();
  };
  std::vector<llvm::Function*> builtins;
  for (llvm::Function& function : module)
    if (function.isDeclaration() && function.getName().starts_with("heed.")) builtins.push_back(&function);
  llvm::IRBuilder<> b(module.getContext());
  for (llvm::Function* function : builtins) {
    const Lowering* lowering = nullptr;
    for (const Lowering& each : lowerings)
      if (each.name == name_of(*function)) lowering = &each;
    if (!lowering) throw std::logic_error("cuda: no lowering of " + function->getName().str());
    while (!function->use_empty()) {
      auto* call = llvm::cast<llvm::CallInst>(function->user_back());
      b.SetInsertPoint(call);
      std::vector<Value*> arguments(call->arg_begin(), call->arg_end());
      Value* value =
          lowering->make ? lowering->make(b, arguments) : assembly(b, b.getVoidTy(), lowering->text, lowering->constraints, arguments);
      if (!call->getType()->isVoidTy()) call->replaceAllUsesWith(value);
      call->eraseFromParent();
    }
    function->eraseFromParent();
  }
}

}  // namespace heed
