// The simulated GPU sees what kernels do wrong: each kernel here has one mistake, and one has none.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <bit>
#include <cmath>
#include <numeric>

#include "codegen/cuda/builtins.h"
#include "codegen/cuda/piece.h"
#include "tests/device.h"

namespace heed {
namespace {

constexpr int size = block_threads;

// What a kernel does in each thread, with a buffer of `size` f32 and one of as many that holds 0, 1, 2 …
struct Code {
  llvm::IRBuilder<>& b;
  llvm::Function* kernel;
  llvm::Value* thread = nullptr;

  llvm::Value* word(int value) { return b.getInt32(static_cast<std::uint32_t>(value)); }
  llvm::Value* global(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), kernel->getArg(0), index); }
  llvm::Value* given(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), kernel->getArg(1), index); }
  llvm::Value* shared(llvm::Value* index) { return b.CreateGEP(b.getFloatTy(), shared_memory(b), index); }
  llvm::Value* shared_half(llvm::Value* index) { return b.CreateGEP(b.getInt16Ty(), shared_memory(b), index); }
  llvm::Value* number() { return b.CreateSIToFP(thread, b.getFloatTy()); }
  llvm::Value* mirrored() { return b.CreateSub(word(size - 1), thread); }
  llvm::Value* load(llvm::Value* place) { return b.CreateLoad(b.getFloatTy(), place); }
  template <class Body>
  void where(llvm::Value* condition, Body body) {
    auto *inside = llvm::BasicBlock::Create(b.getContext(), "", kernel), *after = llvm::BasicBlock::Create(b.getContext(), "", kernel);
    b.CreateCondBr(condition, inside, after);
    b.SetInsertPoint(inside);
    body();
    b.CreateBr(after);
    b.SetInsertPoint(after);
  }
};

KernelSource source_of(const std::string& name, const std::function<void(Code&)>& write) {
  return {name, [write](llvm::Module& module, const std::string& symbol) {
            llvm::Function* kernel = declare_kernel(module, symbol, 2);
            llvm::IRBuilder<> b(llvm::BasicBlock::Create(module.getContext(), "", kernel));
            Code code{b, kernel};
            code.thread = thread_index(b);
            write(code);
            b.CreateRetVoid();
          }};
}

// Runs a kernel in two blocks and gives what its buffer holds then.
std::vector<float> run(const std::string& name, const std::function<void(Code&)>& write) {
  SimulatorBuiltins builtins = simulated_builtins();
  DeviceCode code = simulated_code({source_of(name, write)}, {{size * 4}}, builtins, {});
  Program program;
  program.device = simulated_device();
  program.kernels = code.kernels;
  program.code = code.owner;
  program.buffers = {{Buffer::Kind::output, 0, size * 4, "f32"}, {Buffer::Kind::input, 0, size * 4, "f32"}};
  program.inputs = {{"x", ProgramValue::Role::data, {"f32", {size}}}};
  program.outputs = {{"y", ProgramValue::Role::result, {"f32", {size}}}};
  program.regions = {{name, "model.heed:7"}};
  Launch launch{.tasks = 2, .buffers = {{0}, {1}}, .region = 0, .kernel = 0};
  program.steps = {launch};
  auto shared = std::make_shared<const Program>(program);
  DeviceExecutor executor(shared);
  DeviceValues values(*shared);
  std::vector<float> given(size);
  std::iota(given.begin(), given.end(), 0.0F);
  values.put(0, given.data());
  executor.run(values.inputs(), values.outputs(), nullptr);
  std::vector<float> result(size);
  values.get_output(0, result.data());
  return result;
}

// Writes the numbers of the threads backwards through shared memory; `with_barrier` or without.
void reverse(Code& c, bool with_barrier) {
  c.b.CreateStore(c.number(), c.shared(c.thread));
  if (with_barrier) block_barrier(c.b);
  llvm::Value* other = c.load(c.shared(c.mirrored()));
  c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(other, c.global(c.thread)); });
}

std::string message_of(const std::string& name, const std::function<void(Code&)>& write) {
  try {
    run(name, write);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

TEST(Simulator, ASoundKernelRuns) {
  std::vector<float> result = run("reverse", [](Code& c) { reverse(c, true); });
  for (int k = 0; k < size; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(size - 1 - k));
}

TEST(Simulator, ShufflesReachTheOtherLane) {
  std::vector<float> result = run("shuffle", [](Code& c) {
    llvm::Value* other = shuffle_xor(c.b, c.number(), 8);
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(other, c.global(c.thread)); });
  });
  for (int k = 0; k < size; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(k ^ 8));
}

// Two threads may write the halves of a word.
TEST(Simulator, NeighboursOf16BitsAreApart) {
  std::vector<float> result = run("halves", [](Code& c) {
    c.b.CreateStore(c.b.CreateTrunc(c.thread, c.b.getInt16Ty()), c.shared_half(c.mirrored()));
    block_barrier(c.b);
    llvm::Value* half = c.b.CreateUIToFP(c.b.CreateLoad(c.b.getInt16Ty(), c.shared_half(c.thread)), c.b.getFloatTy());
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(half, c.global(c.thread)); });
  });
  for (int k = 0; k < size; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(size - 1 - k));
}

TEST(Simulator, SaysWhatIsWrong) {
  struct Mistake {
    const char *name, *words;
    std::function<void(Code&)> write;
  };
  const Mistake mistakes[] = {
      {"missing barrier", "with no barrier between: shared memory", [](Code& c) { reverse(c, false); }},
      {"one past the end", "writes 4 bytes outside of",
       [](Code& c) { c.b.CreateStore(c.number(), c.global(c.b.CreateAdd(c.thread, c.word(1)))); }},
      {"before the start", "reads 4 bytes outside of",
       [](Code& c) { c.b.CreateStore(c.load(c.global(c.b.CreateSub(c.thread, c.word(1)))), c.shared(c.thread)); }},
      {"past shared memory", "outside of", [](Code& c) { c.b.CreateStore(c.number(), c.shared(c.b.CreateAdd(c.thread, c.word(64)))); }},
      {"unaligned", "unaligned",
       [](Code& c) {
         llvm::Value* place = c.b.CreateGEP(c.b.getInt8Ty(), c.shared(c.word(0)), c.b.CreateAdd(c.thread, c.word(1)));
         c.where(c.b.CreateICmpEQ(c.thread, c.word(5)), [&] { c.b.CreateStore(c.number(), place); });
       }},
      {"two blocks write one place", "with no barrier between: buffer 0", [](Code& c) { c.b.CreateStore(c.number(), c.global(c.thread)); }},
      {"threads of two warps write one place", "with no barrier between: shared memory",
       [](Code& c) { c.b.CreateStore(c.number(), c.shared(c.b.CreateURem(c.thread, c.word(32)))); }},
      {"threads of two warps write one element of 16 bits", "with no barrier between: shared memory",
       [](Code& c) { c.b.CreateStore(c.b.getInt16(1), c.shared_half(c.b.CreateURem(c.thread, c.word(32)))); }},
      {"some leave before a barrier", "wait for threads that never come",
       [](Code& c) { c.where(c.b.CreateICmpSLT(c.thread, c.word(40)), [&] { block_barrier(c.b); }); }},
      {"half a warp shuffles", "wait for threads that never come",
       [](Code& c) { c.where(c.b.CreateICmpSLT(c.thread, c.word(16)), [&] { shuffle_xor(c.b, c.number(), 1); }); }},
  };
  for (const Mistake& mistake : mistakes) {
    std::string message = message_of(mistake.name, mistake.write);
    EXPECT_NE(message.find(mistake.words), std::string::npos) << mistake.name << ": " << message;
    EXPECT_NE(message.find("model.heed:7"), std::string::npos) << message;
  }
}

// Turns of a ring: each of `turns` copies of 64 f32, two ahead, is read backwards by other threads of the first 64 than those who copied.
struct Ring {
  int waits = 1;        // groups that may still be under way when a slot is read
  int slots = 3;        // of the ring
  bool barrier = true;  // between the wait and the reads
  bool commits = true;
  int shift = 0;         // elements that the sources are moved by
  int target_shift = 0;  // bytes that the targets are
};

constexpr int ring_elements = 64;

void copy_through(Code& c, const Ring& ring) {
  constexpr int turns = size / ring_elements;
  auto slot = [&](int turn) { return c.word(turn % ring.slots * ring_elements); };
  auto request = [&](int turn) {
    llvm::Value* place = c.b.CreateAdd(c.b.CreateMul(c.thread, c.word(4)), slot(turn));
    llvm::Value* source = c.b.CreateAdd(c.b.CreateMul(c.thread, c.word(4)), c.word(turn * ring_elements + ring.shift));
    llvm::Value* to = c.b.CreateConstGEP1_32(c.b.getInt8Ty(), c.shared(place), static_cast<unsigned>(ring.target_shift));
    copy_async(c.b, to, c.given(source), 16, c.word(16), c.b.CreateICmpSLT(c.thread, c.word(ring_elements / 4)));
    if (ring.commits) commit_copies(c.b);
  };
  request(0), request(1);
  for (int turn = 0; turn < turns; ++turn) {
    wait_for_copies(c.b, turn + 1 < turns ? ring.waits : 0);
    if (ring.barrier) block_barrier(c.b);
    if (turn + 2 < turns) request(turn + 2);
    llvm::Value* first = c.b.CreateAnd(c.b.CreateICmpSLT(c.thread, c.word(ring_elements)), c.b.CreateICmpEQ(block_index(c.b), c.word(0)));
    c.where(first, [&] {
      llvm::Value* mirrored = c.b.CreateSub(c.word(ring_elements - 1), c.thread);
      c.b.CreateStore(c.load(c.shared(c.b.CreateAdd(mirrored, slot(turn)))),
                      c.global(c.b.CreateAdd(c.thread, c.word(turn * ring_elements))));
    });
  }
}

TEST(Simulator, CopiesGoThroughARing) {
  std::vector<float> result = run("ring", [](Code& c) { copy_through(c, {}); });
  for (int k = 0; k < size; ++k)
    EXPECT_EQ(result[static_cast<std::size_t>(k)],
              static_cast<float>(k / ring_elements * ring_elements + ring_elements - 1 - k % ring_elements));
}

TEST(Simulator, CopiesAreInstructionsOfTheChip) {
  std::string ptx = device_text(source_of("ring", [](Code& c) { copy_through(c, {}); }), "ring", cuda_target_named("sm_80")).assembly;
  for (const char* each : {"cp.async.cg.shared.global", "cp.async.commit_group", "cp.async.wait_group 1"})
    EXPECT_NE(ptx.find(each), std::string::npos) << each << " in " << ptx;
}

TEST(Simulator, CopiesFillWithZeros) {
  std::vector<float> result = run("zeros", [](Code& c) {
    llvm::Value* place = c.b.CreateMul(c.thread, c.word(2));
    llvm::Value* present = c.b.CreateSelect(c.b.CreateICmpSLT(c.thread, c.word(10)), c.word(8), c.word(4));
    copy_async(c.b, c.shared(place), c.given(place), 8, present, c.b.CreateICmpSLT(c.thread, c.word(size / 2)));
    commit_copies(c.b);
    wait_for_copies(c.b, 0);
    block_barrier(c.b);
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(c.load(c.shared(c.thread)), c.global(c.thread)); });
  });
  for (int k = 0; k < size; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], k < 20 || k % 2 == 0 ? static_cast<float>(k) : 0.0F) << k;
}

TEST(Simulator, SaysWhatIsWrongWithCopies) {
  struct Mistake {
    const char *name, *words;
    Ring ring;
  };
  const Mistake mistakes[] = {
      {"wrong number of groups", "that was not waited for: shared memory", {.waits = 2}},
      {"no commit", "that was not waited for: shared memory", {.commits = false}},
      {"no barrier after the wait", "shared memory", {.barrier = false}},
      {"a slot is released early", "reads, with no barrier between: shared memory", {.slots = 2}},
      {"from past the end", "reads 16 bytes outside of buffer 1", {.shift = 4}},
      {"from an unaligned place", "copies 16 bytes from an unaligned place", {.shift = 1}},
      {"to an unaligned place", "writes 16 bytes unaligned in shared memory", {.target_shift = 4}},
      {"to outside of shared memory", "copies 16 bytes to outside of shared memory", {.target_shift = 4096}},
  };
  for (const Mistake& mistake : mistakes) {
    std::string message = message_of(mistake.name, [&](Code& c) { copy_through(c, mistake.ring); });
    EXPECT_NE(message.find(mistake.words), std::string::npos) << mistake.name << ": " << message;
    EXPECT_NE(message.find("model.heed:7"), std::string::npos) << message;
  }
}

// The second matrix of 8 x 8 halves, its lines chosen by lanes 8 … 15, plain and transposed.
TEST(Simulator, LoadsMatrices) {
  for (bool transposed : {false, true}) {
    std::vector<float> result = run("matrices", [&](Code& c) {
      c.b.CreateStore(c.b.CreateTrunc(c.thread, c.b.getInt16Ty()), c.b.CreateGEP(c.b.getInt16Ty(), shared_memory(c.b), c.thread));
      block_barrier(c.b);
      llvm::Value* line =
          c.b.CreateGEP(c.b.getInt8Ty(), shared_memory(c.b), c.b.CreateMul(c.b.CreateURem(c.thread, c.word(32)), c.word(16)));
      llvm::Value* value = c.b.CreateUIToFP(load_matrices(c.b, line, transposed)[1], c.b.getFloatTy());
      c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(value, c.global(c.thread)); });
    });
    for (int k = 0; k < size; ++k) {
      int lane = k % 32, low = 64 + (transposed ? lane % 4 * 16 + lane / 4 : lane * 2);
      EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(low + 65536 * (low + (transposed ? 8 : 1)))) << k;
    }
  }
}

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
  for (const Mistake& mistake : mistakes) {
    std::string message;
    try {
      error_of_boxes(mistake.boxes);
    } catch (const std::runtime_error& error) {
      message = error.what();
    }
    EXPECT_NE(message.find(mistake.words), std::string::npos) << mistake.name << ": " << message;
    EXPECT_NE(message.find("model.heed:7"), std::string::npos) << message;
  }
}

// Two groups of four warps: the second one goes on when the first one has given it its turn. Each member is a mistake if it is changed.
struct Turns {
  bool given = true, taken = true;
};

void take_turns(Code& c, const Turns& turns) {
  llvm::Value* is_first = c.b.CreateICmpSLT(c.thread, c.word(size / 2));
  if (turns.given) c.where(is_first, [&] { give_turn(c.b, c.word(1)); });
  if (turns.taken) c.where(c.b.CreateNot(is_first), [&] { wait_for_turn(c.b, c.word(1)); });
}

TEST(Simulator, WarpsTakeTurns) {
  auto message = [](const Turns& turns) { return message_of("turns", [&](Code& c) { take_turns(c, turns); }); };
  run("turns", [](Code& c) { take_turns(c, {}); });
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
  llvm::Value *full = c.shared(c.word(size - 2)), *empty = c.shared(c.word(size - 4));
  c.where(c.b.CreateICmpEQ(c.thread, c.word(0)), [&] {
    make_barrier(c.b, full, 1), make_barrier(c.b, empty, size / 32 - 1);
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
  const std::vector<float> result = run("handed", [](Code& c) { hand_over(c, {}); });
  for (std::size_t k = 32; k < static_cast<std::size_t>(size); ++k) EXPECT_EQ(result[k], static_cast<float>((k % 32 ^ 1) + 2)) << k;
  auto message = [](const HandedOver& handed) { return message_of("handed", [&](Code& c) { hand_over(c, handed); }); };
  EXPECT_NE(message({.together = false}).find("with no barrier between"), std::string::npos);
  EXPECT_NE(message({.waited = false}).find("with no barrier between"), std::string::npos);
  EXPECT_NE(message({.kept = false}).find("with no barrier between"), std::string::npos) << message({.kept = false});
}

// Memory that nobody wrote holds NaN, so that what is made of it shows.
TEST(Simulator, SharedMemoryStartsPoisoned) {
  std::vector<float> result = run("poisoned", [](Code& c) {
    llvm::Value* there = c.load(c.shared(c.thread));
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(there, c.global(c.thread)); });
  });
  for (float each : result) EXPECT_TRUE(each != each);
}

}  // namespace
}  // namespace heed
