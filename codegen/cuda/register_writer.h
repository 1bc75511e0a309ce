// Writes the kernel of a program in registers: its task (register_writer.cpp), the steps of a body (register_steps.cpp), and the loops over
// blocks of columns, whose tiles come through a ring in shared memory: while one is used those after it are on their way
// (register_loop.cpp).
#pragma once
#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/fragment_load.h"
#include "codegen/cuda/register_values.h"
#include "codegen/cuda/target.h"
#include "runtime/program.h"

namespace heed {

constexpr std::int64_t chunk_elements = chunk_bytes / half_bytes;

// Ranges of columns that data decides.
struct ColumnsByData {
  ArrayRef begin, end;
  LinearForm address;  // over units, and `number`: the number of the block of rows
  AxisRef number;
};

// Everything that the code depends on, kept for the thread that writes it.
struct PreparedRegisters {
  RegisterProgram program;
  RegisterAccesses accesses;
  std::optional<ColumnsByData> by_data;
  std::vector<ArrayRef> buffers;
  std::vector<SharedTile> shapes;  // of tiles
  std::vector<TensorMap> maps;     // of tiles, where there are groups of warps
  // Besides the groups, one whose first thread copies.
  int threads() const { return warp_threads * (program.warps() + (program.groups > 0 ? 4 : 0)); }
  explicit PreparedRegisters(const RegisterProgram& p) : program(p), accesses(p) {}
};

class RegisterWriter {
 public:
  using Kind = RegisterStep::Kind;
  using Values = std::vector<llvm::Value*>;

  RegisterWriter(llvm::Module& module, const std::string& symbol, const PreparedRegisters& prepared);
  virtual ~RegisterWriter() = default;
  virtual void write();

 protected:
  llvm::BasicBlock* new_block() { return llvm::BasicBlock::Create(b_.getContext(), "", function_); }
  llvm::Value* number(std::int64_t value) { return b_.getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* wide(std::int64_t value) { return b_.getInt64(static_cast<std::uint64_t>(value)); }
  llvm::Value* real(double value) { return llvm::ConstantFP::get(b_.getFloatTy(), value); }
  const RegisterTile& tile(int k) const { return program_.tiles[static_cast<std::size_t>(k)]; }
  const SharedTile& shape(int k) const { return p_.shapes[static_cast<std::size_t>(k)]; }
  llvm::Value* buffer(ArrayRef array) const;
  int rows() const { return static_cast<int>(2 * program_.tall); }
  std::size_t number_of(const RegisterProgram::Part& part) const { return static_cast<std::size_t>(&part - program_.parts.data()); }
  int columns_of(AxisRef axis) const { return fragment::columns_in(axis == program_.column ? program_.columns : axis->size); }

  // --- the task
  void decode_task();
  llvm::Value* in_table(std::size_t place);
  void bind_rows();
  void bind_width(AxisRef width);
  void write_parts();

  // --- values that stay
  std::size_t kept_number(ArrayRef kept) const;
  int kept_columns(ArrayRef kept) const { return kept->shape.size() == 1 ? 0 : fragment::columns_in(kept->shape[1]); }
  // A part of a sum that each thread of a quad has is put together where the whole is needed.
  void bind_kept(const RegisterSteps& steps, bool in_loop);
  llvm::Value* over_quad(llvm::Value* x, Reduction reduction);
  llvm::Value* together(llvm::Value* x, llvm::Value* y, Reduction reduction);

  // --- steps
  void do_steps(const RegisterSteps& steps, bool in_loop);
  AxisRef width_of(const RegisterStep& step) const;
  bool is_spread(const RegisterSteps& steps, const RegisterStep& sum) const;
  MatrixKind kind_of(int k) const { return tile(k).array->dtype == DType::bf16 ? MatrixKind::bf16 : MatrixKind::f16; }
  // into[i][n] += left[i] right[n], fragments of 16 rows and of 8 columns.
  void multiply(Values& sums, int columns, MatrixKind kind, int tall, int pair, const Values& left, const Values& right);
  Values score(const RegisterStep& step);
  Values left_fragment(int which, std::int64_t i, std::int64_t depth);
  // Where the thread's first fragment of a tile of rows lies, from the tile's place on; compilers cannot see that it is the same for each
  // block of columns, else they keep the address of each fragment.
  llvm::Value* rows_place(int which, std::int64_t i);
  // The same of a tile of columns, from its place in a slot on.
  llvm::Value* columns_place(int which, FragmentLoad load);
  // A fragment of a left factor that is made of scores: elements of those are where fragments have them.
  Values packed(Expr x, MatrixKind kind, int i, int depth);
  Values sum(const RegisterStep& step, bool is_last);
  // Row by row; column by column where values of columns come from memory, so that each is at hand for all rows.
  void for_elements(int rows, int columns, const std::function<void(int r, int c)>& visit);
  // Of what a reduction goes over; its identity where the element does not exist.
  llvm::Value* factor(Expr x, AxisRef over, Reduction reduction, int r, int c);
  Values reduced(const RegisterStep& step, bool spread, const std::function<void(int r, int c)>& also = {});  // for each element
  Values kept(const RegisterStep& step);
  // Two neighbours at once where they lie side by side.
  void store(const RegisterStep& step);

  // --- blocks of columns
  // What a loop carries from one block to the next.
  Values carried() const;
  void set_carried(const Values& all);

  struct Run {
    llvm::Value *column, *blocks;
    llvm::Value *next_column, *has_next;  // of the runs after it
  };
  virtual void go_over_columns(const RegisterProgram::Part& part, std::size_t first_run);
  // Leaves out blocks that data says are not needed.
  void narrow(Run& run);
  // A tile's first element for the first position on rows or columns.
  llvm::Value* source_of(int k);
  std::int64_t stride_on(int k, AxisRef axis) const { return tile(k).line == axis ? tile(k).stride : 1; }
  void copy(int k, llvm::Value* to, llvm::Value* from, AxisRef axis, llvm::Value* first, bool may_end);
  void copy_rows(int k);
  void copy_columns(std::size_t place, llvm::Value* slot, llvm::Value* column, bool may_end);
  llvm::Value* shared(llvm::Value* place);
  // Fragments of rows that are few stay in registers.
  void hold_rows(const RegisterProgram::Part& part);
  void loop(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, const Run& run);

  // --- values of columns alone: each thread makes those of one column, for all
  RegisterValues::AsideColumn aside_column(llvm::Value* column, bool may_end);
  void make_vectors(RegisterValues::AsideColumn& aside, llvm::Value* stage);
  // Memory is read while the last sum over columns is under way, for which fewest values are at hand.
  void read_ahead();
  void bind_vectors();

  // --- the ring: when a tile's turn comes all threads have it and are done with the one before, in whose place the next but all comes
  void enter_phase();
  // After a step: the next tile's turn, if this one is done with.
  void leave_tiles(const RegisterSteps& steps, std::size_t k);
  void turn_ring();

  const PreparedRegisters& p_;
  const RegisterProgram& program_;
  llvm::Module& module_;
  std::string symbol_;
  llvm::IRBuilder<> b_;
  llvm::Function* function_ = nullptr;
  std::optional<RegisterValues> values_;
  std::vector<std::vector<TileShare>> shares_;  // of tiles
  llvm::Value *lane_ = nullptr, *warp_ = nullptr, *row_ = nullptr, *entry_ = nullptr, *pair_ = nullptr;
  llvm::GlobalVariable* table_ = nullptr;
  std::vector<Values> state_;  // of the kept values
  // Of the part over columns.
  RingLayout ring_;
  Values slots_, sources_;
  Values vector_stages_;
  RegisterValues::AsideColumn ahead_{};                                               // of the next block of columns
  std::map<std::tuple<std::int64_t, bool, std::int64_t>, llvm::Value*> rows_places_;  // of the block of columns
  std::map<std::tuple<int, std::int64_t, std::int64_t>, Values> held_;
  std::size_t phase_ = 0;
  llvm::Value *next_column_ = nullptr, *has_next_ = nullptr;
};

}  // namespace heed
