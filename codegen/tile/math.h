// Scalar functions in vector code: polynomials for f32, calls of the C library lane by lane for f64 and for what is rare.
#pragma once
#include <span>
#include <string_view>

namespace llvm {
class IRBuilderBase;
class Value;
}  // namespace llvm

namespace heed {

// Floating arguments of one type, scalars or vectors. f32 results are within 4 units in the last place of the exact value;
// arguments below 2^-126 and results below 2^-125 may count as 0. Throws std::logic_error for a function that has no code.
llvm::Value* emit_function(llvm::IRBuilderBase& b, std::string_view name, std::span<llvm::Value* const> arguments, bool has_fma);
llvm::Value* emit_integer_function(llvm::IRBuilderBase& b, std::string_view name, std::span<llvm::Value* const> arguments);  // i64
llvm::Value* emit_power(llvm::IRBuilderBase& b, llvm::Value* x, llvm::Value* exponent);
// The numbers of random_word(key, index) in ir/function.h; `high` is the high half of index xor key.
llvm::Value* emit_random_uniform(llvm::IRBuilderBase& b, llvm::Value* key_low, llvm::Value* index_low, llvm::Value* high);

}  // namespace heed
