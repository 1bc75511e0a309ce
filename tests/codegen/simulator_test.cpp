// The simulated GPU sees what kernels do wrong: each kernel here has one mistake, and one has none.
#include <gtest/gtest.h>

#include "tests/codegen/small_kernel.h"
#include "tests/device.h"

namespace heed {
namespace {

// Writes the numbers of the threads backwards through shared memory; `with_barrier` or without.
void reverse(Code& c, bool with_barrier) {
  c.b.CreateStore(c.number(), c.shared(c.thread));
  if (with_barrier) block_barrier(c.b);
  llvm::Value* other = c.load(c.shared(c.mirrored()));
  c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(other, c.global(c.thread)); });
}

TEST(Simulator, ASoundKernelRuns) {
  std::vector<float> result = run_small("reverse", [](Code& c) { reverse(c, true); });
  for (int k = 0; k < block_threads; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(block_threads - 1 - k));
}

TEST(Simulator, ShufflesReachTheOtherLane) {
  std::vector<float> result = run_small("shuffle", [](Code& c) {
    llvm::Value* other = shuffle_xor(c.b, c.number(), 8);
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(other, c.global(c.thread)); });
  });
  for (int k = 0; k < block_threads; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(k ^ 8));
}

// Two threads may write the halves of a word.
TEST(Simulator, NeighboursOf16BitsAreApart) {
  std::vector<float> result = run_small("halves", [](Code& c) {
    c.b.CreateStore(c.b.CreateTrunc(c.thread, c.b.getInt16Ty()), c.shared_half(c.mirrored()));
    block_barrier(c.b);
    llvm::Value* half = c.b.CreateUIToFP(c.b.CreateLoad(c.b.getInt16Ty(), c.shared_half(c.thread)), c.b.getFloatTy());
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(half, c.global(c.thread)); });
  });
  for (int k = 0; k < block_threads; ++k) EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(block_threads - 1 - k));
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
  for (const auto& [name, words, write] : mistakes) expect_mistake(name, words, [&] { run_small(name, write); });
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
  constexpr int turns = block_threads / ring_elements;
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
  std::vector<float> result = run_small("ring", [](Code& c) { copy_through(c, {}); });
  for (int k = 0; k < block_threads; ++k)
    EXPECT_EQ(result[static_cast<std::size_t>(k)],
              static_cast<float>(k / ring_elements * ring_elements + ring_elements - 1 - k % ring_elements));
}

TEST(Simulator, CopiesAreInstructionsOfTheChip) {
  std::string ptx = device_text(source_of("ring", [](Code& c) { copy_through(c, {}); }), "ring", cuda_target_named("sm_80")).assembly;
  for (const char* each : {"cp.async.cg.shared.global", "cp.async.commit_group", "cp.async.wait_group 1"})
    EXPECT_NE(ptx.find(each), std::string::npos) << each << " in " << ptx;
}

TEST(Simulator, CopiesFillWithZeros) {
  std::vector<float> result = run_small("zeros", [](Code& c) {
    llvm::Value* place = c.b.CreateMul(c.thread, c.word(2));
    llvm::Value* present = c.b.CreateSelect(c.b.CreateICmpSLT(c.thread, c.word(10)), c.word(8), c.word(4));
    copy_async(c.b, c.shared(place), c.given(place), 8, present, c.b.CreateICmpSLT(c.thread, c.word(block_threads / 2)));
    commit_copies(c.b);
    wait_for_copies(c.b, 0);
    block_barrier(c.b);
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(c.load(c.shared(c.thread)), c.global(c.thread)); });
  });
  for (int k = 0; k < block_threads; ++k)
    EXPECT_EQ(result[static_cast<std::size_t>(k)], k < 20 || k % 2 == 0 ? static_cast<float>(k) : 0.0F) << k;
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
  for (const Mistake& mistake : mistakes)
    expect_mistake(mistake.name, mistake.words, [&] { run_small(mistake.name, [&](Code& c) { copy_through(c, mistake.ring); }); });
}

// The second matrix of 8 x 8 halves, its lines chosen by lanes 8 … 15, plain and transposed.
TEST(Simulator, LoadsMatrices) {
  for (bool transposed : {false, true}) {
    std::vector<float> result = run_small("matrices", [&](Code& c) {
      c.b.CreateStore(c.b.CreateTrunc(c.thread, c.b.getInt16Ty()), c.b.CreateGEP(c.b.getInt16Ty(), shared_memory(c.b), c.thread));
      block_barrier(c.b);
      llvm::Value* line =
          c.b.CreateGEP(c.b.getInt8Ty(), shared_memory(c.b), c.b.CreateMul(c.b.CreateURem(c.thread, c.word(32)), c.word(16)));
      llvm::Value* value = c.b.CreateUIToFP(load_matrices(c.b, line, transposed)[1], c.b.getFloatTy());
      c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(value, c.global(c.thread)); });
    });
    for (int k = 0; k < block_threads; ++k) {
      int lane = k % 32, low = 64 + (transposed ? lane % 4 * 16 + lane / 4 : lane * 2);
      EXPECT_EQ(result[static_cast<std::size_t>(k)], static_cast<float>(low + 65536 * (low + (transposed ? 8 : 1)))) << k;
    }
  }
}

// Memory that nobody wrote holds NaN, so that what is made of it shows.
TEST(Simulator, SharedMemoryStartsPoisoned) {
  std::vector<float> result = run_small("poisoned", [](Code& c) {
    llvm::Value* there = c.load(c.shared(c.thread));
    c.where(c.b.CreateICmpEQ(block_index(c.b), c.word(0)), [&] { c.b.CreateStore(there, c.global(c.thread)); });
  });
  for (float each : result) EXPECT_TRUE(each != each);
}

}  // namespace
}  // namespace heed
