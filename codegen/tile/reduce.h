// A running reduction in registers: one value, or one for each lane.
#pragma once
#include "codegen/tile/emitter.h"

namespace heed {

class Accumulator {
 public:
  // Starts at the identity, at the end of the innermost open loop. `dtype` is what is reduced: f64, f32, i64 or boolean.
  Accumulator(Emitter& emitter, Reduction reduction, DType dtype, bool vector);
  // Adds the value of an expression at the open loops' positions. `axis` is what argmax counts. Where the mask is false nothing changes.
  void add(Expr body, AxisRef axis, int copy, llvm::Value* mask);
  void merge(Accumulator& other);
  // The value and, of argmax, the index: to be exchanged with other threads, and what came from one.
  std::vector<llvm::Value*> parts();
  void set_parts(const std::vector<llvm::Value*>& parts);
  void merge_parts(const std::vector<llvm::Value*>& parts);
  llvm::Value* result();        // of each lane
  llvm::Value* across_lanes();  // one value, by halves

 private:
  llvm::Value* combine(llvm::Value* old, llvm::Value* value);
  void merge(llvm::Value* value, llvm::Value* index);

  Emitter& emitter_;
  Reduction reduction_;
  DType dtype_;
  bool vector_;
  llvm::AllocaInst *value_ = nullptr, *index_ = nullptr;
};

double identity_of(Reduction reduction);  // of floating values

}  // namespace heed
