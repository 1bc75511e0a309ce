// Cores by what a system's files say: hardware threads, control groups of both versions, files that are missing.
#include "runtime/cores.h"

#include <gtest/gtest.h>

#include <fstream>

#include "tests/runtime/folder.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(Cores, ThoseOfHardwareThreadsCountOnce) {
  TestFolder folder;
  const fs::path system = folder.path();
  for (int processor : {0, 1, 2, 3}) {
    const int core = processor % 2;
    write(system / ("cpu" + std::to_string(processor)) / "topology/thread_siblings_list",
          std::to_string(core) + "," + std::to_string(core + 2) + "\n");
  }
  EXPECT_EQ(cores_among({0, 1, 2, 3}, system), 2);
  EXPECT_EQ(cores_among({0, 2}, system), 1);
  EXPECT_EQ(cores_among({1}, system), 1);
  EXPECT_EQ(cores_among({0, 1, 8, 9}, system), 4) << "nothing is said of two of them";
}

TEST(Cores, AQuotaOfAnyGroupAroundLimits) {
  TestFolder folder;
  const fs::path root = folder.path();
  EXPECT_FALSE(processor_quota("0::/a/b\n", root));
  write(root / "a/b/cpu.max", "max 100000\n");
  EXPECT_FALSE(processor_quota("0::/a/b\n", root));
  write(root / "a/cpu.max", "150000 100000\n");
  EXPECT_EQ(processor_quota("0::/a/b\n", root), 1.5);
  EXPECT_FALSE(processor_quota("0::/c\n", root)) << "another group's";
  write(root / "cpu.max", "50000 100000\n");
  EXPECT_EQ(processor_quota("0::/a/b\n", root), 0.5);
  EXPECT_EQ(processor_quota("0::/\n", root), 0.5);
}

TEST(Cores, TheFirstVersionsQuotaHasTwoFiles) {
  TestFolder folder;
  const fs::path root = folder.path();
  write(root / "cpu,cpuacct/pod/cpu.cfs_quota_us", "-1\n");
  write(root / "cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  const std::string groups = "7:memory:/pod\n3:cpu,cpuacct:/pod\n2:cpuset:/\nno group\n";
  EXPECT_FALSE(processor_quota(groups, root));
  write(root / "cpu,cpuacct/pod/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(processor_quota(groups, root), 3);
}

TEST(Cores, ThereIsOneAtLeast) { EXPECT_GE(usable_threads(), 1); }

}  // namespace
}  // namespace heed
