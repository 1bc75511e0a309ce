// Cores by what a system's files say: hardware threads, files that are missing.
#include "runtime/cores.h"

#include <gtest/gtest.h>

#include "tests/runtime/folder.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

TEST(Cores, ThoseOfHardwareThreadsCountOnce) {
  TestFolder folder;
  const fs::path system = folder.path();
  for (int processor : {0, 1, 2, 3}) {
    const int core = processor % 2;
    folder.write("cpu" + std::to_string(processor) + "/topology/thread_siblings_list",
                 std::to_string(core) + "," + std::to_string(core + 2) + "\n");
  }
  EXPECT_EQ(cores_among({0, 1, 2, 3}, system), 2);
  EXPECT_EQ(cores_among({0, 2}, system), 1);
  EXPECT_EQ(cores_among({1}, system), 1);
  EXPECT_EQ(cores_among({0, 1, 8, 9}, system), 4) << "nothing is said of two of them";
}

TEST(Cores, ThereIsOneAtLeast) { EXPECT_GE(usable_threads(), 1); }

}  // namespace
}  // namespace heed
