// Writes the kernel of a program in registers whose warps multiply in groups of four (sm_90a): one thread asks for boxes of all tiles, as
// soon as their places are free, and groups of warps make scores from what has come. While they look at one block's scores the sums over
// columns of the block before it are under way; where a block has several scores, other products of its own are.
#pragma once
#include <functional>
#include <set>

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
  void feed_tiles(const std::vector<WideRun>& runs);
  void feed_vectors(const std::vector<WideRun>& runs);
  void copy_tile(int tile, llvm::Value* place, llvm::Value* first, llvm::Value* barrier);
  llvm::Value* box_number(const TileGrid& grid) { return b_.CreateTrunc(values_->address(grid.number, -1, -1), b_.getInt32Ty()); }
  void go_over_columns(const RegisterProgram::Part& part, std::size_t first_run) override;
  void do_blocks(const RegisterProgram::Part& part, const std::vector<WideRun>& runs);  // whose sums follow
  void when(llvm::Value* condition, const std::function<void()>& work);
  void repeat(llvm::Value* column, llvm::Value* count, const std::function<void(llvm::Value* column)>& work);

  // --- one block of columns (register_wide_steps.cpp)
  void find_products(const RegisterProgram::Part& part);
  // With the sums of the block before it, unless it is the first one.
  void do_block(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, llvm::Value* column, bool is_first);
  void finish_sums(const Turn& last);
  // With its own sums.
  void do_whole_block(const RegisterProgram::Part& part, const RegisterProgram::Kind& kind, llvm::Value* column);
  struct WideSum {
    int tile;
    std::size_t kept;                                 // number of the value that it becomes
    int columns;                                      // of a thread
    llvm::Value *memory = nullptr, *words = nullptr;  // the sums; the factor's fragments
  };
  struct WideScore {
    int left, right;
    AxisRef over;
    llvm::Value *memory = nullptr, *rows = nullptr;  // the scores; the matrix of the group's rows
  };
  using KeptNext = std::vector<std::pair<std::size_t, Values>>;  // values of rows that the next block has, by number
  void begin_block(const RegisterProgram::Kind& kind, llvm::Value* column);
  void end_block(const RegisterProgram::Part& part, const KeptNext& next, const Turn& turn);
  void bind_vectors(const Turn& turn);
  void begin_scores(const RegisterSteps& steps, const Turn& turn);
  // What scores start from: of rows it is the same for all columns, and comes from shared memory, four values by one instruction.
  void store_row_starts();
  void start_score(const WideScore& score, Expr from);
  void add_score(const WideScore& score, bool is_first, const Turn& turn);
  void add_sum(const WideSum& sum, const Turn& turn);
  void add_sums(const Turn& turn);
  void do_step(const RegisterSteps& steps, const RegisterStep& step, KeptNext& next);  // but products
  // Factors of sums, while an element of a reduction is made.
  void make_factors(const RegisterSteps& steps, const RegisterStep& reduction, int r, int c);
  bool are_made_together(Expr reduced, Expr factor) const;
  std::set<Expr> all_nodes(Expr x) const;  // names and what they stand for
  // What the sum was, scaled; its factor's words.
  void set_sum(const WideSum& sum, const RegisterStep& step);
  void set_words(const WideSum& sum, const std::function<llvm::Value*(int r, int c)>& factor);
  void hold(const RegisterSteps& steps);
  Values of_products(llvm::Value* memory, int columns);
  bool meets(Expr x, ArrayRef array) const;  // reads it, perhaps by a name
  // Whether registers hold the factor of a sum while others are made; else all sums begin when all factors are made.
  bool holds_factors(const RegisterProgram::Part& part) const;
  // Values of an expression that need known scores, but not this one.
  void make_before(Expr x, ArrayRef score, const std::vector<ArrayRef>& known);

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
  llvm::Value* barrier(std::size_t k);
  llvm::Value* rows_barrier() { return barrier(0); }
  enum class Sign : std::uint8_t { full, empty };
  // Of one of WidePart::streams, and one of its stages.
  llvm::Value* barrier(Sign sign, std::size_t stream, llvm::Value* stage);
  llvm::Value* vectors_place(llvm::Value* stage);
  llvm::Value* row_start_place(std::size_t k);  // of the thread's rows
  llvm::Value* stage_place(std::size_t place, llvm::Value* stage);
  // At a place known ahead, and units of descriptors (i64) further.
  llvm::Value* matrix(int tile, std::int64_t place, llvm::Value* units);
  llvm::Value* matrix_of_stage(std::size_t place, llvm::Value* stage);
  // From a matrix to where its depth is so many steps of 16 further.
  std::int64_t moved(int tile, AxisRef depth, std::int64_t steps);
  // Lines of a tile are along the rows or columns, where the depth is not, or the other way round.
  bool is_across(int tile, AxisRef depth) const { return is_of_block(this->tile(tile).along) != is_of_block(depth); }
  bool is_of_block(AxisRef axis) const { return axis == program_.row || axis == program_.column; }
  std::size_t place_of(int tile) const {
    return static_cast<std::size_t>(std::ranges::find(layout_.columns, tile) - layout_.columns.begin());
  }
  std::size_t stream_of(int tile) const;
  std::size_t stream_of_vectors() const { return layout_.streams.size() - 1; }
  void wait_for(const std::vector<std::size_t>& streams, const Turn& turn);
  void release(const std::vector<std::size_t>& streams, const Turn& turn);

  std::vector<WideSum> sums_;
  std::vector<WideScore> scores_;
  std::vector<std::size_t> score_streams_, sum_streams_;  // of their tiles of columns
  std::vector<llvm::Value*> kept_memory_;                 // of each kept value, null where it is a sum of sums_
  WidePart layout_;
  llvm::Value* barriers_ = nullptr;                         // of tiles of columns
  std::int64_t first_barrier_ = 0;                          // of the part, in bytes
  llvm::Value *stage_ = nullptr, *parity_ = nullptr;        // memory: the turn of the last block
  llvm::Value* has_begun_ = nullptr;                        // memory: whether there was a block
  llvm::Value *own_turn_ = nullptr, *next_turn_ = nullptr;  // barriers, by the group's number from 1 on
  llvm::Value *group_ = nullptr, *is_first_lane_ = nullptr;
};

}  // namespace heed
