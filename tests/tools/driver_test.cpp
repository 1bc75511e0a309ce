// What heed says of NVIDIA's driver, with one that has no GPU: too old, without memory, kernels that fail.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

class Driver : public testing::Test {
 protected:
  void SetUp() override {
    folder.write("rows.heed", "fn rows(x: f32[N, N]) -> f32[N] {\n  y = exp(x @ x)\n  return sum(softmax(y @ x), axis = 1)\n}\n");
  }
  Outcome with(const std::string& wrong, const std::vector<std::string>& arguments) {
    std::vector<std::string> command{"env", std::string("LD_LIBRARY_PATH=") + HEED_FAKE_DRIVER_FOLDER, "HEED_FAKE_DRIVER=" + wrong,
                                     HEED_BINARY};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run_program(command, folder.path());
  }
  void expect_error(const std::string& wrong, const std::vector<std::string>& parts, const std::string& command = "run",
                    const std::string& device = "cuda") {
    Outcome outcome = with(wrong, {command, "rows.heed", "--size", "N=256", "--cache", "off", "--device", device});
    EXPECT_EQ(outcome.status, 1) << wrong;
    for (const std::string& part : parts) EXPECT_NE(outcome.errors.find(part), std::string::npos) << part << " in " << outcome.errors;
  }
  Folder folder;
};

TEST_F(Driver, DevicesAreListedWithTheirFigures) {
  Outcome outcome = with("", {"devices"});
  EXPECT_EQ(outcome.status, 0);
  for (const char* part : {"cuda:0  Fake 0, compute capability 8.0 (kernels for sm_80), 108 multiprocessors at 1410 MHz, 8.59 GB",
                           "peaks by its figures: 311.9 TFLOP/s in bf16 and f16, 155.9 in tf32, 19.49 in f32, 1555 GB/s",
                           "cuda:1  Fake 1, compute capability 6.0 (too old: heed needs 7.5 or later)", "driver CUDA 12.4"})
    EXPECT_NE(outcome.output.find(part), std::string::npos) << part << " in " << outcome.output;
}

TEST_F(Driver, OneThatIsTooOldSaysSo) { expect_error("old", {"--device cuda: ", "supports CUDA 11.8; heed needs 12.0 or later"}); }

TEST_F(Driver, DevicesThatCannotBeUsedAreNamed) {
  expect_error("empty", {"--device cuda: the NVIDIA driver sees no GPU"});
  expect_error("", {"--device cuda:1: Fake 1: compute capability 6.0 is too old"}, "run", "cuda:1");
  expect_error("", {"--device cuda:2: there is no GPU 2: the driver sees 2, numbered from 0"}, "run", "cuda:2");
}

TEST_F(Driver, WithoutMemorySaysWhatWasAskedForAndWhatHoldsTheRest) {
  expect_error(
      "memory=600000",
      {"cuda:0 (Fake 0): no memory for 262 kB of data: 75.2 kB of 8.59 GB are free, this program holds 524 kB (24 bytes of the record of "
       "faults, ",
       "524 kB of values between kernels", "a smaller batch or model fits"});
}

TEST_F(Driver, AKernelThatItRefusesIsNamedWithItsWords) {
  expect_error("refuse", {"the driver refuses the kernel heed_", "CUDA_ERROR_INVALID_PTX (said by the driver)\nptxas fatal: line 7"});
}

TEST_F(Driver, KeepsMachineCodeWhereHeedKeepsItsOwn) {
  const std::string cache = (folder / "kept").string();
  auto told = [&](const std::string& where) {
    return with("tell-cache", {"run", "rows.heed", "--size", "N=16", "--cache", where, "--device", "cuda"}).errors;
  };
  EXPECT_NE(told(cache).find("CUDA_CACHE_PATH=" + cache + "/driver\nCUDA_CACHE_MAXSIZE=536870912\n"), std::string::npos) << told(cache);
  EXPECT_TRUE(std::filesystem::is_directory(cache + "/driver"));
  EXPECT_EQ(told("off").find("CUDA_CACHE_DISABLE=1\n"), 0U) << told("off");
}

// The first run waits for each kernel; later ones are recorded, and say how to find it.
TEST_F(Driver, AFaultNamesItsKernelAndTheModelsLine) {
  expect_error("launch=2", {"heed_", "product 256x256x256, rows.heed:3: CUDA_ERROR_INVALID_VALUE (said by the driver)"});
  expect_error("kernel=1", {"heed_", "exp, y (rows.heed:2): CUDA_ERROR_ILLEGAL_ADDRESS (said by the driver)"});
  expect_error("kernel=2", {"heed_", "product 256x256x256, rows.heed:3: CUDA_ERROR_ILLEGAL_ADDRESS (said by the driver)"});
  expect_error("replay", {"a kernel of a recorded run (CUDA_LAUNCH_BLOCKING=1 with --profile names it)", "CUDA_ERROR_ILLEGAL_ADDRESS"},
               "bench");
}

// Of runs whose kernels nobody waits for it is one of them, until the driver is told to go one by one.
TEST_F(Driver, AFaultOfALaterRunIsNamedWhenKernelsGoOneByOne) {
  const std::vector<std::string> run{"run", "rows.heed", "--size", "N=256", "--cache", "off", "--device", "cuda", "--profile"};
  const std::string fault = "CUDA_ERROR_ILLEGAL_ADDRESS (said by the driver)";
  Outcome outcome = with("kernel=11", run);
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.errors.find(" kernels, the last of them heed_"), std::string::npos) << outcome.errors;
  EXPECT_NE(outcome.errors.find("(CUDA_LAUNCH_BLOCKING=1 names the one): " + fault), std::string::npos) << outcome.errors;
  setenv("CUDA_LAUNCH_BLOCKING", "1", 1);
  outcome = with("kernel=11", run);
  unsetenv("CUDA_LAUNCH_BLOCKING");
  EXPECT_EQ(outcome.status, 1);
  EXPECT_NE(outcome.errors.find("product 256x256x256, rows.heed:3: " + fault), std::string::npos) << outcome.errors;
}

// The stand-in's kernels take a millisecond each by its clock.
TEST_F(Driver, ProfilesAndBenchesTellTheDevicesOwnTime) {
  const std::vector<std::string> rest{"rows.heed", "--size", "N=256", "--device", "cuda"};
  auto told = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), rest.begin(), rest.end());
    Outcome outcome = with("", arguments);
    EXPECT_EQ(outcome.status, 0) << outcome.errors;
    return outcome.output;
  };
  const std::string profile = told({"run", "--profile", "--trace", "trace.json"});
  const std::size_t at = profile.find("3.000 ms a run in kernels, of 20 runs");
  EXPECT_NE(at, std::string::npos) << profile;
  EXPECT_NE(profile.find("33.3 %      1.000"), std::string::npos) << profile;
  EXPECT_NE(read_text(folder / "trace.json").find("\"dur\":1000.0"), std::string::npos);
  const std::string bench = told({"bench", "--json", "--repeat", "5"});
  EXPECT_NE(bench.find("\"median_s\":0.003"), std::string::npos) << bench;
  EXPECT_NE(bench.find("\"clock\":\"device\""), std::string::npos) << bench;
  EXPECT_NE(told({"bench", "--repeat", "5"}).find(" % of its nominal "), std::string::npos);
}

}  // namespace
}  // namespace heed
