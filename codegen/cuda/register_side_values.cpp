// Values of rows are made once for all blocks of columns, those of columns by threads that share the columns of a block, ahead of it, and
// come through shared memory.
#include "codegen/cuda/register_values.h"

namespace heed {

namespace {

constexpr int of_quad = 4;                // values that a thread reads at once
constexpr std::int64_t value_bytes = 4;   // each
constexpr std::int64_t quad_bytes = 16;   // of a thread
constexpr std::int64_t quads_bytes = 64;  // of the four threads that have a row together

}  // namespace

llvm::Value* RegisterValues::side_value(const SideValue& side, int r, int c) {
  return side.is_shift ? shift(side.x, r, c) : value(side.x, r, c);
}

void RegisterValues::keep_rows(const std::vector<SideValue>& sides, int rows) {
  for (const SideValue& side : sides)
    for (int r = 0; r < rows; ++r) side_value(side, r, -1);
  fixed_ = known_;
}

void RegisterValues::at_column(AsideColumn& aside, const std::function<void()>& make) {
  auto change = [&] {
    std::swap(axes_[program_.column], aside.base);
    std::swap(ends_[program_.column], aside.end);
    known_.swap(aside.known), bases_.swap(aside.bases), insides_.swap(aside.insides), vectors_.swap(aside.vectors);
  };
  change();
  make();
  change();
}

void RegisterValues::read_ahead(const SideValue& side) {
  for (Expr node : nodes_of(side.x))
    if (node->op == Op::read) value(node, -1, 0);
}

// Four values of a thread lie side by side: two columns twice, as scores start from them in two rows, or those of two fragments.
void RegisterValues::store_vector(const SideValue& side, llvm::Value* made, llvm::Value* memory, llvm::Value* column) {
  auto number = [&](std::int64_t value) { return b_.getInt32(static_cast<std::uint32_t>(value)); };
  auto bits = [&](int first, int count) { return b_.CreateAnd(b_.CreateLShr(column, number(first)), number((1 << count) - 1)); };
  auto plus = [&](llvm::Value* x, llvm::Value* y, std::int64_t weight) { return b_.CreateAdd(x, b_.CreateMul(y, number(weight))); };
  llvm::Value* place = plus(plus(number(0), bits(0, 1), value_bytes), bits(1, 2), quad_bytes);
  if (side.is_start) {
    place = plus(place, b_.CreateLShr(column, number(3)), quads_bytes);
  } else {
    place = plus(plus(place, bits(3, 1), 2 * value_bytes), b_.CreateLShr(column, number(4)), quads_bytes);
  }
  llvm::Value* word = made->getType()->isIntegerTy(1) ? b_.CreateZExt(made, b_.getInt32Ty()) : made;
  for (int copy = 0; copy < (side.is_start ? 2 : 1); ++copy) {
    llvm::Value* to = b_.CreateGEP(b_.getInt8Ty(), b_.CreateGEP(b_.getInt8Ty(), memory, place), number(2 * value_bytes * copy));
    b_.CreateAlignedStore(word, to, llvm::Align(value_bytes));
  }
}

llvm::Value* RegisterValues::of_vector(const Vector& vector, const SideValue& side, int r, int c) {
  const int quad = side.is_start ? c / 2 : c / of_quad, place = side.is_start ? r % 2 * 2 + c % 2 : c % of_quad;
  auto& known = quads_[{side.x, side.is_shift, quad}];
  if (!known) {
    llvm::Type* type = is_floating(side.x->dtype) ? b_.getFloatTy() : b_.getInt32Ty();
    llvm::Value* from = b_.CreateGEP(b_.getInt8Ty(), vector.memory, b_.getInt64(static_cast<std::uint64_t>(quad * quads_bytes)));
    known = b_.CreateAlignedLoad(llvm::FixedVectorType::get(type, of_quad), from, llvm::Align(quad_bytes));
  }
  llvm::Value* made = b_.CreateExtractElement(known, static_cast<std::uint64_t>(place));
  if (side.x->dtype == DType::boolean) made = b_.CreateICmpNE(made, b_.getInt32(0));
  return made;
}

llvm::Value* RegisterValues::start(Expr x, int r, int c) {
  if (auto vector = vectors_.find({x, false}); vector != vectors_.end() && vector->second.is_start)
    return of_vector(vector->second, {x, false, true}, r, c);
  return value(x, r, c);
}

}  // namespace heed
