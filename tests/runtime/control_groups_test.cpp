// What a system's files say of control groups of both versions, and of the groups around a process' own.
#include "runtime/control_groups.h"

#include <gtest/gtest.h>

#include "tests/runtime/folder.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

TEST(ControlGroups, AQuotaOfAnyGroupAroundLimits) {
  TestFolder folder;
  const fs::path root = folder.path();
  EXPECT_FALSE(processor_quota("0::/a/b\n", root));
  folder.write("a/b/cpu.max", "max 100000\n");
  EXPECT_FALSE(processor_quota("0::/a/b\n", root));
  folder.write("a/cpu.max", "150000 100000\n");
  EXPECT_EQ(processor_quota("0::/a/b\n", root), 1.5);
  EXPECT_FALSE(processor_quota("0::/c\n", root)) << "another group's";
  folder.write("cpu.max", "50000 100000\n");
  EXPECT_EQ(processor_quota("0::/a/b\n", root), 0.5);
  EXPECT_EQ(processor_quota("0::/\n", root), 0.5);
}

TEST(ControlGroups, TheFirstVersionsQuotaHasTwoFiles) {
  TestFolder folder;
  const fs::path root = folder.path();
  folder.write("cpu,cpuacct/pod/cpu.cfs_quota_us", "-1\n");
  folder.write("cpu,cpuacct/pod/cpu.cfs_period_us", "100000\n");
  const std::string groups = "7:memory:/pod\n3:cpu,cpuacct:/pod\n2:cpuset:/\nno group\n";
  EXPECT_FALSE(processor_quota(groups, root));
  folder.write("cpu,cpuacct/pod/cpu.cfs_quota_us", "300000\n");
  EXPECT_EQ(processor_quota(groups, root), 3);
}

// Any group around limits, and what the system keeps of files is as good as free.
TEST(ControlGroups, TheLeastMemoryOfAnyGroupIsLeft) {
  TestFolder folder;
  const fs::path root = folder.path();
  EXPECT_FALSE(memory_left("0::/a/b\n", root));
  folder.write("a/b/memory.max", "max\n");
  folder.write("a/b/memory.current", "700\n");
  EXPECT_FALSE(memory_left("0::/a/b\n", root)) << "no limit";
  folder.write("a/memory.max", "1000\n");
  folder.write("a/memory.current", "900\n");
  EXPECT_EQ(memory_left("0::/a/b\n", root), 100);
  EXPECT_FALSE(memory_left("0::/c\n", root)) << "another group's";
  folder.write("a/memory.stat", "anon 500\nactive_file 50\ninactive_file 300\n");
  EXPECT_EQ(memory_left("0::/a/b\n", root), 400);
  folder.write("memory.max", "200\n");
  folder.write("memory.current", "250\n");
  EXPECT_EQ(memory_left("0::/a/b\n", root), 0) << "more is in use than a limit that was lowered";
}

TEST(ControlGroups, TheFirstVersionsMemoryHasOtherNames) {
  TestFolder folder;
  const fs::path root = folder.path();
  const std::string groups = "4:memory:/pod/job\n3:cpu,cpuacct:/pod\n0::/\n";
  folder.write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  folder.write("memory/memory.usage_in_bytes", "5000\n");
  EXPECT_GT(memory_left(groups, root).value(), std::int64_t{1} << 62) << "no limit";
  folder.write("memory/pod/job/memory.limit_in_bytes", "4000\n");
  folder.write("memory/pod/job/memory.usage_in_bytes", "3000\n");
  folder.write("memory/pod/job/memory.stat", "inactive_file 1\ntotal_inactive_file 500\n");
  EXPECT_EQ(memory_left(groups, root), 1500);
}

}  // namespace
}  // namespace heed
