// The driver layer with a driver that runs streams as late as it may: copies ahead, pinned memory, the pool, times by events.
#include "runtime/cuda/cuda_device.h"

#include <dlfcn.h>

#include <chrono>
#include <cstdlib>
#include <numeric>
#include <thread>

#include "runtime/device_execute.h"
#include "tests/fake_driver/fake_driver.h"
#include "tests/runtime/folder.h"
#include "tests/runtime/linear_model.h"

namespace heed {
namespace {

// The stand-in, which then is the libcuda.so.1 of this process.
struct Fake {
  void* library = dlopen(HEED_FAKE_DRIVER_FOLDER "/libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
  decltype(&fake_kernel) kernel = reinterpret_cast<decltype(&fake_kernel)>(dlsym(library, "fake_kernel"));
  decltype(&fake_order) order = reinterpret_cast<decltype(&fake_order)>(dlsym(library, "fake_order"));
  decltype(&fake_calls) calls = reinterpret_cast<decltype(&fake_calls)>(dlsym(library, "fake_calls"));
};
const Fake& fake() {
  static const Fake loaded;
  return loaded;
}

template <KernelFunction function>
void run_one_task(void* const* buffers) {
  function(buffers, nullptr, 0, nullptr);
}

class CudaDevice : public testing::Test {
 protected:
  void SetUp() override {
    fake().order(false);
    device = open_cuda_device(0);
  }
  void TearDown() override { unsetenv("HEED_FAKE_DRIVER"); }

  // The same program with the kernel of this name.
  std::shared_ptr<Program> on_device(const Program& program, const char* kernel) const {
    auto made = std::make_shared<Program>(program);
    made->device = device;
    made->kernels = {{kernel, "PTX", nullptr, 1, 0}};
    std::get<Launch>(made->steps.front()).kernel = 0;
    return made;
  }
  TrainPrograms programs_on_device() const {
    fake().kernel("start", 3, run_one_task<start>);
    fake().kernel("update", 9, run_one_task<update<4>>);
    fake().kernel("test_4", 4, run_one_task<test_loss<4>>);
    fake().kernel("test_2", 4, run_one_task<test_loss<2>>);
    const TrainPrograms plain = programs();
    return {on_device(*plain.initial, "start"), on_device(*plain.step, "update"),
            [this](std::int64_t batch) { return on_device(*evaluation(batch), batch == 4 ? "test_4" : "test_2"); }};
  }
  std::shared_ptr<Device> device;
};

std::vector<std::byte> bytes_of(std::size_t count, int first) {
  std::vector<std::byte> bytes(count);
  for (std::size_t k = 0; k < count; ++k) bytes[k] = static_cast<std::byte>((static_cast<std::size_t>(first) + k * 7 + k / 1000) & 0xFF);
  return bytes;
}

// More than the pinned memory holds, from memory that changes at once.
TEST_F(CudaDevice, CopiesThroughPinnedMemory) {
  constexpr std::size_t count = 23'000'001;
  DeviceMemory first(*device, count, "data"), second(*device, count, "data");
  for (int round = 0; round < 3; ++round) {
    std::vector<std::byte> from = bytes_of(count, round);
    device->copy_in(first.data(), from.data(), count);
    std::fill(from.begin(), from.end(), std::byte{0xEE});
    device->copy(second.data(), first.data(), count);
    std::vector<std::byte> back(count);
    device->copy_out(back.data(), second.data(), count);
    EXPECT_TRUE(back == bytes_of(count, round)) << round;
  }
}

// Whatever of both happens first: copies to the device, or what runs there.
TEST_F(CudaDevice, TrainsAsTheProcessorDoes) {
  TestRun expected;
  expected.train();
  for (const bool early_copies : {false, true}) {
    fake().order(early_copies);
    const long before = fake().calls("GraphLaunch");
    TestRun run;
    const TrainResult result = run.train(programs_on_device());
    EXPECT_EQ(result.step, 25);
    EXPECT_EQ(timeless(run.file("log.jsonl")), timeless(expected.file("log.jsonl"))) << early_copies;
    EXPECT_EQ(run.file("weights.safetensors"), expected.file("weights.safetensors")) << early_copies;
    EXPECT_GT(fake().calls("GraphLaunch") - before, 10) << "runs are not recorded";
  }
}

// While a step runs the next batch is on its way: the kernel waits for that.
namespace ahead {
long copies_at_start = 0, steps = 0;
bool all_came = true;
void update_when_next_is_there(void* const* buffers) {
  // Copies so far: the seed of the first values, both of the values; a step's number and seed, and its data; the next batch's data.
  ++steps;
  const long wanted = copies_at_start + 1 + 2 + 4 * steps + (steps < 25 ? 2 : 0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (all_came && fake().calls("MemcpyHtoDAsync") < wanted) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    all_came = std::chrono::steady_clock::now() < end;
  }
  run_one_task<update<4>>(buffers);
}
}  // namespace ahead

TEST_F(CudaDevice, TheNextBatchGoesBesideAStep) {
  TrainPrograms programs = programs_on_device();
  ahead::copies_at_start = fake().calls("MemcpyHtoDAsync");
  fake().kernel("update", 9, ahead::update_when_next_is_there);
  TestRun run;
  EXPECT_EQ(run.train(programs, points(22), {}).step, 25);
  EXPECT_TRUE(ahead::all_came) << "step " << ahead::steps << " ended before the next batch was on its way";
}

// What a stopped test had put ahead must not reach what has the memory next.
TEST_F(CudaDevice, MemoryIsFreeOnlyAfterCopiesIntoIt) {
  const std::shared_ptr<Program> program = on_device(*evaluation(4), "test_4");
  const std::vector<std::byte> ones(48, std::byte{1}), twos(48, std::byte{2});
  const std::vector<const void*> data{ones.data(), ones.data()};
  {
    DeviceValues(*program, 2).put_ahead(1, data);
  }
  std::vector<DeviceMemory> next;
  for (int k = 0; k < 8; ++k) {
    next.emplace_back(*device, 48, "data");
    device->copy_in(next.back().data(), twos.data(), 48);
  }
  device->wait();
  fake().order(true);
  DeviceMemory other(*device, 48, "data");
  device->copy_ahead(other.data(), ones.data(), 48);  // everything before it on that stream
  for (const DeviceMemory& memory : next) {
    std::vector<std::byte> back(48);
    device->copy_out(back.data(), memory.data(), 48);
    EXPECT_TRUE(back == twos);
  }
}

TEST_F(CudaDevice, MemoryIsKeptForWhatIsNext) {
  constexpr std::int64_t size = 10 << 20;
  void* first = DeviceMemory(*device, size, "a").data();
  const long allocations = fake().calls("MemAlloc");
  EXPECT_EQ(DeviceMemory(*device, size - 1000, "b").data(), first);
  EXPECT_EQ(fake().calls("MemAlloc"), allocations);
  DeviceMemory half(*device, size / 2, "too small for that block"), larger(*device, 2 * size, "too large");
  EXPECT_NE(half.data(), first);
  EXPECT_EQ(fake().calls("MemAlloc"), allocations + 2);
}

TEST_F(CudaDevice, KeptMemoryIsGivenBackBeforeItIsMissed) {
  setenv("HEED_FAKE_DRIVER", "memory=16000000", 1);
  {
    DeviceMemory(*device, 9 << 20, "a");
  }
  DeviceMemory small(*device, 1000, "something small");
  const DeviceMemory other(*device, 12 << 20, "b");
  {
    DeviceMemory kept(*device, 1 << 20, "c");
  }
  const std::string message = message_of([&] { DeviceMemory(*device, 8 << 20, "data"); });
  EXPECT_EQ(message,
            "cuda:0 (Fake 0): no memory for 8.39 MB of data: 3.42 MB of 8.59 GB are free, this program holds 12.6 MB (12.6 MB of b, "
            "1 kB of something small); a smaller batch or model fits");
}

// The driver's clock: a kernel takes a millisecond.
TEST_F(CudaDevice, MomentsAreOfTheDevicesClock) {
  DeviceMemory memory(*device, 1000, "data");
  const Device::Moment from = device->mark();
  const std::vector<std::byte> million = bytes_of(1'000'000, 1);
  DeviceMemory large(*device, 1'000'000, "data");
  device->copy_in(large.data(), million.data(), 1'000'000);
  const Device::Moment to = device->mark();
  EXPECT_NEAR(device->seconds_between(from, to), 1e-3, 1e-6);
}

}  // namespace
}  // namespace heed
