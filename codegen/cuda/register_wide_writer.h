// Writes the kernel of a program in registers whose warps multiply in groups of four (sm_90a): one thread asks for boxes of all tiles, as
// soon as their places are free, and groups of warps make scores from what has come. While they look at one block's scores the sums over
// columns of the block before it are under way.
#pragma once
#include <functional>

#include "codegen/cuda/register_writer.h"
#include "ir/wide_layout.h"

namespace heed {

class WideRegisterWriter : public RegisterWriter {
 public:
  WideRegisterWriter(llvm::Module& module, const std::string& symbol, const PreparedRegisters& prepared);
  void write() override;

 private:
  // Of a block's tiles: which of the two stages, and the parity of the phase that brings them there.
  struct Turn {
    llvm::Value *stage, *parity;
  };
  Turn last_turn() { return {b_.CreateLoad(b_.getInt32Ty(), stage_), b_.CreateLoad(b_.getInt32Ty(), parity_)}; }
  Turn after(const Turn& turn) { return {b_.CreateXor(turn.stage, number(1)), b_.CreateXor(turn.parity, turn.stage)}; }
  void set_turn(const Turn& turn) { b_.CreateStore(turn.stage, stage_), b_.CreateStore(turn.parity, parity_); }

  // --- one part over columns (register_wide_writer.cpp)
  struct WideRun {
    const RegisterProgram::Kind* kind;
    Run run;
    std::int64_t fewest, most;  // blocks, of all rows
  };
  void begin_part(std::size_t number);
  // In the order in which they are done: first one that all rows have, if there is such.
  std::vector<WideRun> runs_of(const RegisterProgram::Part& part, std::size_t first_run);
  void make_barriers();
  void feed();
  void feed_part(const RegisterProgram::Part& part, std::size_t first_run);
  void copy_tile(int tile, llvm::Value* place, llvm::Value* first, llvm::Value* barrier);
  void go_over_columns(const RegisterProgram::Part& part, std::size_t first_run) override;
  void when(llvm::Value* condition, const std::function<void()>& work);
  void repeat(llvm::Value* column, llvm::Value* count, const std::function<void(llvm::Value* column)>& work);

  // --- one block of columns (register_wide_steps.cpp)
  void find_sums(const RegisterProgram::Part& part);
  void do_block(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, llvm::Value* column, bool is_first);
  void finish_sums(const Turn& last);
  void add_scores(const RegisterSteps& steps, const Turn& turn);
  void add_sums(const Turn& turn);
  void make_factors(const RegisterSteps& steps);
  void hold(const RegisterSteps& steps);
  Values of_products(llvm::Value* memory, int columns);
  void set_sums(const RegisterSteps& steps);

  // --- memory of the thread's own, which becomes registers
  llvm::Value* make_memory(llvm::Type* type, std::int64_t count);
  llvm::Value* at(llvm::Type* type, llvm::Value* memory, std::int64_t k) {
    return b_.CreateConstGEP1_64(type, memory, static_cast<std::uint64_t>(k));
  }
  void keep_state();  // from state_ to memory, and back
  void load_state();
  void keep_rows();  // but sums
  void load_rows();

  // --- shared memory
  llvm::Value* shared(llvm::Value* place);
  llvm::Value* barrier(std::size_t k);
  llvm::Value* rows_barrier() { return barrier(0); }
  enum class Sign : std::uint8_t { full, empty };
  // Of a tile of columns and one of its stages.
  llvm::Value* barrier(Sign sign, std::size_t place, llvm::Value* stage);
  llvm::Value* stage_place(std::size_t place, llvm::Value* stage);
  llvm::Value* matrix(int tile, llvm::Value* place);
  llvm::Value* matrix_of_stage(std::size_t place, llvm::Value* stage);
  // From a matrix to where its depth is so many steps of 16 further.
  std::int64_t moved(int tile, AxisRef depth, std::int64_t steps);
  bool is_across(int tile, AxisRef depth) const { return this->tile(tile).along != depth; }
  std::size_t place_of(int tile) const {
    return static_cast<std::size_t>(std::ranges::find(layout_.columns, tile) - layout_.columns.begin());
  }
  void wait_for_tiles(const std::vector<int>& tiles, const Turn& turn);
  void release_tiles(const std::vector<int>& tiles, const Turn& turn);

  struct WideSum {
    int tile;
    std::size_t kept;                                 // number of the value that it becomes
    int columns;                                      // of a thread
    llvm::Value *memory = nullptr, *words = nullptr;  // the sums; the factor's fragments
  };
  struct WideScore {
    int left, right;
    AxisRef over;
    llvm::Value* memory = nullptr;
  };
  std::vector<WideSum> sums_;
  std::vector<WideScore> scores_;
  std::vector<int> score_tiles_, sum_tiles_;  // of columns
  std::vector<llvm::Value*> kept_memory_;     // of each kept value, null where it is a sum of sums_
  WidePart layout_;
  llvm::Value* barriers_ = nullptr;                         // of tiles of columns
  std::int64_t first_barrier_ = 0;                          // of the part, in bytes
  llvm::Value *stage_ = nullptr, *parity_ = nullptr;        // memory: the turn of the last block
  llvm::Value* has_begun_ = nullptr;                        // memory: whether there was a block
  Values matrices_;                                         // of tiles of columns, their first stage
  llvm::Value *own_turn_ = nullptr, *next_turn_ = nullptr;  // barriers, by the group's number from 1 on
  llvm::Value *group_ = nullptr, *is_first_lane_ = nullptr;
  Values factors_;  // of all sums, row by row
};

}  // namespace heed
