// Scalar expressions as LLVM IR at any vector width. One axis may lie along the lanes of a vector; every value is emitted once, at the
// loop of the deepest axis it depends on, so that what does not change inside a loop stands before it.
//
// A kernel is built by opening loops that bind axes, emitting expressions inside, and storing them:
//   Emitter e(module, symbol, accesses, shape);
//   e.open_loop(row, begin, end);
//   e.for_lanes(column, size, unroll, [&](int copies) { … e.emit_lanes(x, copy) …; e.store(…); });
//   e.close_loop();
//   e.finish();
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "codegen/tile/access.h"

namespace llvm {
class AllocaInst;
class Function;
class IRBuilderBase;
class Module;
class Type;
class Value;
}  // namespace llvm

namespace heed {

struct VectorShape {
  int lanes = 16;         // values in a vector, of any type; those of f32 in a register
  bool has_fma = true;    // else a product and a sum
  bool is_shared = true;  // among all threads; else one does all of a kernel's tasks
  bool has_bf16 = false;  // an instruction that rounds to it
  int block_threads = 0;  // of a GPU: a task is done by so many threads together, each in scalar code; 0: by one in vectors
};

// The function that code goes into, and where it finds what a task needs.
struct KernelFrame {
  llvm::Function* function;  // without a body
  std::vector<llvm::Value*> buffers;
  llvm::Value *scratch, *task, *fault;
  std::vector<llvm::Value*> maps{};  // pointers to descriptions of arrays, for copies by boxes
};

class Emitter {
 public:
  // Adds a function of the type KernelFunction. `accesses` must have prepared everything that will be emitted and outlive the emitter.
  Emitter(llvm::Module& module, const std::string& symbol, const Accesses& accesses, VectorShape shape);
  Emitter(llvm::Module& module, const KernelFrame& frame, const Accesses& accesses, VectorShape shape);
  ~Emitter();
  void finish();  // after the last loop is closed

  // --- where code goes: at the end of the innermost open loop
  llvm::IRBuilderBase& builder();
  llvm::Value* task();
  llvm::Value* scratch();               // pointer
  llvm::Value* buffers();               // the list of them, to hand on
  llvm::Value* fault();                 // the same
  llvm::Value* buffer(ArrayRef array);  // pointer
  llvm::Value* number(std::int64_t value);
  // The lowest digit of a mixed-radix number, to the base `size`; the number becomes what is left.
  llvm::Value* take_digit(llvm::Value*& rest, std::int64_t size);
  int lanes() const;

  // --- loops. They run at least once: begin < end.
  void open_loop(AxisRef axis, llvm::Value* begin, llvm::Value* end, std::int64_t step = 1);
  void open_loop(AxisRef axis, std::int64_t size);
  llvm::Value* open_counter(llvm::Value* begin, llvm::Value* end, std::int64_t step = 1);  // binds no axis
  void close_loop();
  // Code that is left out where the condition does not hold. Closed like a loop; binds nothing outside.
  void open_if(llvm::Value* condition);
  void close_if();
  void bind_axis(AxisRef axis, llvm::Value* value);  // i64; in the innermost loop
  // The axis along the lanes: lane l of copy c is at base + c * lanes + l. `active`: only so many lanes exist (null: all).
  void bind_lanes(AxisRef axis, llvm::Value* base, llvm::Value* active = nullptr);
  void unbind_lanes();
  // Covers 0 … size - 1 of an axis by `unroll` vectors at a time, then by one, then by a part of one. `body(copies)` is called with the
  // axis bound.
  void for_lanes(AxisRef axis, std::int64_t size, int unroll, const std::function<void(int copies)>& body);
  // The same from `begin` (a multiple of lanes) to `end`, which is at most `size`; begin < end.
  void for_lanes(AxisRef axis, llvm::Value* begin, llvm::Value* end, std::int64_t size, int unroll,
                 const std::function<void(int copies)>& body);
  // The value of an array that is local to the kernel, at the positions of the open loops: one a copy; vectors if `varying`.
  void bind_array(ArrayRef array, std::vector<llvm::Value*> copies, bool varying);

  // A local array with dimensions, kept in scratch. `width` > 0: each of so many lanes has its own, element by element.
  void bind_strip(ArrayRef array, llvm::Value* pointer, int width);

  // --- values. f64, f32, integers (i64; vectors also i32 where nothing can overflow), i1.
  bool is_varying(Expr x) const;                  // differs between lanes
  llvm::Value* emit(Expr x, int copy = 0);        // a vector if it varies, else a scalar
  llvm::Value* emit_lanes(Expr x, int copy = 0);  // always a vector, of a type of its own for each dtype: integers i64
  llvm::Value* emit_scalar(Expr x);               // must not vary
  // Faults for the data-dependent indices of a prepared root (or reduction) at the present positions.
  void emit_checks(Expr owner, int copies = 1);
  llvm::Value* active_mask();  // of lanes that exist; null: all do

  // --- memory. Addresses are in elements; `pointer` is the start. Values are converted between the compute type and dtype.
  llvm::Value* load(DType dtype, llvm::Value* pointer, llvm::Value* element, bool vector,
                    llvm::Value* mask = nullptr);  // contiguous if vector
  void store(DType dtype, llvm::Value* pointer, llvm::Value* element, llvm::Value* value, llvm::Value* mask = nullptr);
  // Stores the value of one copy at an address, an affine expression of open axes: contiguous, one element, or scattered, as it comes out.
  void store_at(DType dtype, llvm::Value* pointer, const LinearForm& address, llvm::Value* value, int copy, llvm::Value* mask = nullptr);
  llvm::Value* address_of(const LinearForm& address);  // of expressions that do not vary
  void store_strip(ArrayRef array, const LinearForm& address, llvm::Value* value, int copy);

  // --- accumulators: registers that live across loops
  llvm::AllocaInst* make_array(std::int64_t words);                         // memory of the function, 8 bytes each
  llvm::AllocaInst* make_register(llvm::Type* type, llvm::Value* initial);  // set at the end of the innermost open loop
  llvm::Value* get(llvm::AllocaInst* slot);
  void set(llvm::AllocaInst* slot, llvm::Value* value);
  llvm::Type* type_of(DType compute, bool vector);
  llvm::Value* constant(DType compute, double value, bool vector);

  struct State;
  State& state() { return *state_; }

 private:
  void begin(const KernelFrame& frame);
  std::unique_ptr<State> state_;
};

}  // namespace heed
