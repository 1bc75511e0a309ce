// Barriers that count, boxes and products by four warps on the simulated GPU: kernels without a mistake, and with one each.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>

#include "tests/codegen/small_kernel.h"
#include "tests/device.h"

namespace heed {
namespace {

// A product of 64 x 8 sums: thread 0 asks for boxes, four warps multiply. Each member is a mistake if it is changed.
struct Boxes {
  int full_parity = 0, empty_parity = 1;
  int bytes = 0;               // that the barrier waits for, more than come
  bool early = false;          // a slot is released before its products are done
  bool waits = true;           // for the last products
  int shift = 0;               // bytes that boxes are moved by
  std::int64_t stride = 1024;  // of eight lines
  int swizzle = 0;             // by which the chunks of the left operand's lines are taken in another order than they lie in
  bool held = false;           // the left operand's fragments are in registers; that is no mistake
};

constexpr int box_rows = 64, box_columns = 8, box_slices = 4, box_depth = 64 * box_slices, box_slots = 2;
constexpr int left_bytes = box_rows * 128, slot_bytes = left_bytes + box_columns * 128;

void multiply_boxes(llvm::IRBuilder<>& b, llvm::Function* kernel, const Boxes& boxes) {
  Code c{b, kernel};
  c.thread = thread_index(b);
  auto at = [&](int bytes) { return b.CreateConstGEP1_32(b.getInt8Ty(), shared_memory(b), static_cast<unsigned>(bytes)); };
  auto full = [&](int slot) { return at(box_slots * slot_bytes + 8 * slot); };
  auto empty = [&](int slot) { return at(box_slots * slot_bytes + 8 * box_slots + 8 * slot); };
  llvm::Value* sums = b.CreateAlloca(llvm::ArrayType::get(b.getFloatTy(), 4));
  c.where(b.CreateICmpEQ(c.thread, c.word(0)), [&] {
    for (int slot = 0; slot < box_slots; ++slot) make_barrier(b, full(slot), 1), make_barrier(b, empty(slot), 4);
    publish_barriers(b);
  });
  block_barrier(b);
  c.where(b.CreateICmpEQ(c.thread, c.word(0)), [&] {
    for (int slice = 0; slice < box_slices; ++slice) {
      const int slot = slice % box_slots;
      wait_for_phase(b, empty(slot), c.word(slice / box_slots % 2 ^ boxes.empty_parity));
      arrive_expecting(b, full(slot), slot_bytes + boxes.bytes);
      copy_box(b, at(slot * slot_bytes + boxes.shift), kernel->getArg(3), {c.word(64 * slice), c.word(0), c.word(0)}, full(slot));
      copy_box(b, at(slot * slot_bytes + left_bytes), kernel->getArg(4), {c.word(64 * slice), c.word(0), c.word(0)}, full(slot));
    }
  });
  c.where(b.CreateICmpSGE(c.thread, c.word(128)), [&] {
    auto sum = [&](unsigned k) { return b.CreateConstGEP1_32(b.getFloatTy(), sums, k); };
    llvm::Value* is_first = b.CreateICmpEQ(b.CreateURem(c.thread, c.word(32)), c.word(0));
    for (unsigned k = 0; k < 4; ++k) b.CreateStore(llvm::ConstantFP::get(b.getFloatTy(), 1e9), sum(k));  // the first product begins anew
    auto held_words = [&](int depth) {
      llvm::Value *lane = b.CreateURem(c.thread, c.word(32)), *warp = b.CreateURem(b.CreateUDiv(c.thread, c.word(32)), c.word(4));
      llvm::Value* own_row = b.CreateAdd(b.CreateMul(warp, c.word(16)), b.CreateUDiv(lane, c.word(4)));
      std::vector<llvm::Value*> words;
      for (int word = 0; word < 4; ++word) {
        llvm::Value* first = b.CreateMul(b.CreateAdd(own_row, c.word(word % 2 * 8)), c.word(box_depth / 2));
        llvm::Value* place = b.CreateAdd(b.CreateAdd(first, b.CreateURem(lane, c.word(4))), c.word((depth + word / 2 * 8) / 2));
        words.push_back(b.CreateLoad(b.getInt32Ty(), b.CreateGEP(b.getInt32Ty(), kernel->getArg(1), place)));
      }
      return words;
    };
    for (int slice = 0; slice < box_slices; ++slice) {
      const int slot = slice % box_slots;
      wait_for_phase(b, full(slot), c.word(slice / box_slots % 2 ^ boxes.full_parity));
      llvm::Value *left = matrix_place(b, at(slot * slot_bytes), 16, boxes.stride),
                  *right = matrix_place(b, at(slot * slot_bytes + left_bytes), 16, 1024);
      begin_products(b);
      for (int step = 0; step < 4; ++step) {
        const WideProduct product{MatrixKind::bf16, box_columns, false, false, slice == 0 && step == 0};
        llvm::Value *moved = b.getInt64(static_cast<std::uint64_t>(2 * step)), *own = b.CreateAdd(right, moved);
        llvm::Value* moved_left = b.getInt64(static_cast<std::uint64_t>(2 * step ^ boxes.swizzle));
        if (boxes.held)
          multiply_wide(b, product, sums, held_words(64 * slice + 16 * step), own);
        else
          multiply_wide(b, product, sums, b.CreateAdd(left, moved_left), own);
      }
      commit_products(b);
      if (boxes.early) arrive(b, empty(slot), is_first);
      if (slice > 0 && !boxes.early) {
        wait_for_products(b, 1);
        arrive(b, empty((slice - 1) % box_slots), is_first);
      }
    }
    if (boxes.waits) wait_for_products(b, 0, sums, 4);
    llvm::Value* thread = b.CreateSub(c.thread, c.word(128));
    llvm::Value* row =
        b.CreateAdd(b.CreateMul(b.CreateUDiv(thread, c.word(32)), c.word(16)), b.CreateUDiv(b.CreateURem(thread, c.word(32)), c.word(4)));
    llvm::Value* column = b.CreateMul(b.CreateURem(thread, c.word(4)), c.word(2));
    for (unsigned k = 0; k < 4; ++k) {
      llvm::Value* index =
          b.CreateAdd(b.CreateMul(b.CreateAdd(row, c.word(k / 2 * 8)), c.word(box_columns)), b.CreateAdd(column, c.word(k % 2)));
      b.CreateStore(b.CreateLoad(b.getFloatTy(), sum(k)), c.global(index));
    }
  });
  b.CreateRetVoid();
}

float box_factor(int k) { return static_cast<float>(k * 7 % 15 - 7); }

// The largest difference from what it should be.
double error_of_boxes(const Boxes& boxes) {
  KernelSource source{"boxes", [&](llvm::Module& module, const std::string& symbol) {
                        llvm::Function* kernel = declare_kernel(module, symbol, 2, 2);
                        llvm::IRBuilder<> b(llvm::BasicBlock::Create(module.getContext(), "", kernel));
                        multiply_boxes(b, kernel, boxes);
                      }};
  SimulatorBuiltins builtins = simulated_builtins();
  DeviceCode code = simulated_code({source}, {{box_slots * slot_bytes + 16 * box_slots}}, builtins, {});
  constexpr int factors = (box_rows + box_columns) * box_depth;
  Program program;
  program.device = simulated_device();
  program.kernels = code.kernels;
  program.code = code.owner;
  program.buffers = {{Buffer::Kind::output, 0, box_rows * box_columns * 4, "f32"}, {Buffer::Kind::input, 0, factors * 2, "bf16"}};
  program.inputs = {{"x", ProgramValue::Role::data, {"bf16", {factors}}}};
  program.outputs = {{"y", ProgramValue::Role::result, {"f32", {box_rows * box_columns}}}};
  program.regions = {{"boxes", "model.heed:7"}};
  auto map = [](std::int64_t offset, int lines) {
    return TensorMap{1, offset, {box_depth, lines, 1}, {box_depth * 2, lines * box_depth * 2}, {64, lines, 1}};
  };
  program.steps = {Launch{.tasks = 1,
                          .buffers = {{0}, {1}},
                          .region = 0,
                          .kernel = 0,
                          .maps = {map(0, box_rows), map(std::int64_t{box_rows} * box_depth * 2, box_columns)}}};
  auto shared = std::make_shared<const Program>(program);
  DeviceExecutor executor(shared);
  DeviceValues values(*shared);
  std::vector<std::uint16_t> given;
  for (int k = 0; k < factors; ++k) given.push_back(static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(box_factor(k)) >> 16));
  values.put(0, given.data());
  executor.run(values.inputs(), values.outputs(), nullptr);
  std::vector<float> result(box_rows * box_columns);
  values.get_output(0, result.data());
  double worst = 0;
  for (int row = 0; row < box_rows; ++row)
    for (int column = 0; column < box_columns; ++column) {
      double sum = 0;
      for (int k = 0; k < box_depth; ++k) sum += box_factor(row * box_depth + k) * box_factor((box_rows + column) * box_depth + k);
      worst = std::max(worst, std::abs(sum - result[static_cast<std::size_t>(row * box_columns + column)]));
    }
  return worst;
}

TEST(Simulator, MultipliesBoxes) {
  EXPECT_EQ(error_of_boxes({}), 0);
  EXPECT_EQ(error_of_boxes({.held = true}), 0);
  EXPECT_GT(error_of_boxes({.stride = 512}), 1) << "lines that are not where the product looks for them";
  EXPECT_GT(error_of_boxes({.swizzle = 2}), 1) << "chunks that are not where the product looks for them";
}

TEST(Simulator, SaysWhatIsWrongWithBoxes) {
  struct Mistake {
    const char *name, *words;
    Boxes boxes;
  };
  const Mistake mistakes[] = {
      {"not waited for", "reads what", {.full_parity = 1}},
      {"the first slot is waited for", "wait for threads that never come", {.empty_parity = 0}},
      {"too many bytes are expected", "wait for threads that never come", {.bytes = 16}},
      {"too few bytes are expected", "more bytes than its barrier waits for", {.bytes = -16}},
      {"a slot is released early", "copies a box over what products under way read", {.early = true}},
      {"the last products are not waited for", "ends while products are under way", {.waits = false}},
      {"an unaligned box", "not aligned to 1024", {.shift = 512}},
      {"not waited for, the other operand held", "reads what", {.full_parity = 1, .held = true}},
      {"a slot is released early, the other operand held", "copies a box over what products under way read", {.early = true, .held = true}},
      {"the last products are not waited for, one operand held", "ends while products are under way", {.waits = false, .held = true}},
  };
  for (const auto& [name, words, boxes] : mistakes) expect_mistake(name, words, [&] { error_of_boxes(boxes); });
}

// Two groups of four warps: the second one goes on when the first one has given it its turn. Each member is a mistake if it is changed.
struct Turns {
  bool given = true, taken = true;
};

void take_turns(Code& c, const Turns& turns) {
  llvm::Value* is_first = c.b.CreateICmpSLT(c.thread, c.word(block_threads / 2));
  if (turns.given) c.where(is_first, [&] { give_turn(c.b, c.word(1)); });
  if (turns.taken) c.where(c.b.CreateNot(is_first), [&] { wait_for_turn(c.b, c.word(1)); });
}

TEST(Simulator, WarpsTakeTurns) {
  auto message = [](const Turns& turns) { return message_of([&] { run_small("turns", [&](Code& c) { take_turns(c, turns); }); }); };
  run_small("turns", [](Code& c) { take_turns(c, {}); });
  EXPECT_NE(message({.given = false}).find("wait for threads that never come"), std::string::npos);
  EXPECT_NE(message({.taken = false}).find("a turn is given that nobody takes"), std::string::npos);
}

// One warp writes what all others read, again and again, by barriers that count. Each member is a mistake if it is changed.
struct HandedOver {
  bool together = true;  // the writers, before one of them arrives
  bool waited = true;    // for the first words
  bool kept = true;      // until all have read them
};

void hand_over(Code& c, const HandedOver& handed) {
  llvm::Value *lane = c.b.CreateURem(c.thread, c.word(32)), *is_first_lane = c.b.CreateICmpEQ(lane, c.word(0));
  llvm::Value *full = c.shared(c.word(block_threads - 2)), *empty = c.shared(c.word(block_threads - 4));
  c.where(c.b.CreateICmpEQ(c.thread, c.word(0)), [&] {
    make_barrier(c.b, full, 1), make_barrier(c.b, empty, block_threads / 32 - 1);
    publish_barriers(c.b);
  });
  block_barrier(c.b);
  llvm::Value* writes = c.b.CreateICmpSLT(c.thread, c.word(32));
  c.where(writes, [&] {
    for (int turn = 0; turn < 3; ++turn) {
      if (handed.kept) wait_for_phase(c.b, empty, c.word((turn + 1) % 2));
      c.b.CreateStore(c.b.CreateFAdd(c.number(), llvm::ConstantFP::get(c.b.getFloatTy(), turn)), c.shared(lane));
      if (handed.together) warp_barrier(c.b);
      arrive(c.b, full, is_first_lane);
    }
  });
  c.where(c.b.CreateNot(writes), [&] {
    for (int turn = 0; turn < 3; ++turn) {
      if (handed.waited) wait_for_phase(c.b, full, c.word(turn % 2));
      llvm::Value* read = c.load(c.shared(c.b.CreateXor(lane, c.word(1))));
      c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(read, c.global(c.thread)); });
      warp_barrier(c.b);
      arrive(c.b, empty, is_first_lane);
    }
  });
}

TEST(Simulator, WordsAreHandedOver) {
  const std::vector<float> result = run_small("handed", [](Code& c) { hand_over(c, {}); });
  for (std::size_t k = 32; k < static_cast<std::size_t>(block_threads); ++k)
    EXPECT_EQ(result[k], static_cast<float>((k % 32 ^ 1) + 2)) << k;
  auto message = [](const HandedOver& handed) { return message_of([&] { run_small("handed", [&](Code& c) { hand_over(c, handed); }); }); };
  EXPECT_NE(message({.together = false}).find("with no barrier between"), std::string::npos);
  EXPECT_NE(message({.waited = false}).find("with no barrier between"), std::string::npos);
  EXPECT_NE(message({.kept = false}).find("with no barrier between"), std::string::npos) << message({.kept = false});
}

}  // namespace
}  // namespace heed
