// Memory, kernels and launches through the driver, on one stream; copies ahead on another.
#include "runtime/cuda/cuda_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <stdexcept>
#include <thread>
#include <vector>

#include "input_error.h"
#include "runtime/cores.h"
#include "runtime/cuda/copy_lane.h"
#include "runtime/cuda/driver.h"
#include "runtime/cuda/memory_pool.h"
#include "runtime/memory.h"

namespace heed {
namespace {

using cuda::Address;
using cuda::driver;

constexpr int out_of_memory = 2;
constexpr int most_dynamic_shared = 8;  // an attribute of a function

Address address_of(const void* memory) { return reinterpret_cast<Address>(memory); }

// Modules and functions of a program.
struct LoadedCode {
  std::vector<cuda::ModuleHandle> modules;
  std::vector<cuda::Function> functions;
  ~LoadedCode() {
    for (cuda::ModuleHandle module : modules)
      if (module) driver().ModuleUnload(module);
  }
};

class CudaDevice : public Device {
 public:
  explicit CudaDevice(int ordinal) : ordinal_(ordinal) {
    auto all = cuda::device_figures();
    if (ordinal < 0 || ordinal >= static_cast<int>(all.size()))
      throw InputError(all.empty() ? std::string("the NVIDIA driver sees no GPU")
                                   : fmt::format("there is no GPU {}: the driver sees {}, numbered from 0", ordinal, all.size()));
    figures_ = all[static_cast<std::size_t>(ordinal)];
    check(driver().DeviceGet(&index_, ordinal), "opening the device");
    check(driver().DevicePrimaryCtxRetain(&context_, index_), "making a context");
    check(driver().CtxSetCurrent(context_), "making a context current");
    constexpr unsigned without_legacy_order = 1;
    for (cuda::Stream* stream : {&stream_, &ahead_stream_}) check(driver().StreamCreate(stream, without_legacy_order), "making a stream");
    lane_.emplace(stream_), ahead_.emplace(ahead_stream_), pool_.emplace();
  }
  ~CudaDevice() override {
    driver().CtxSetCurrent(context_);
    lane_.reset(), ahead_.reset(), pool_.reset();
    for (cuda::Stream stream : {stream_, ahead_stream_}) driver().StreamDestroy(stream);
    driver().DevicePrimaryCtxRelease(index_);
  }

  std::string name() const override { return fmt::format("cuda:{} ({})", ordinal_, figures_.name); }

  void* allocate(std::int64_t bytes, std::string_view purpose) override {
    enter();
    Address address = 0;
    auto result = pool_->take(address, bytes, purpose);
    if (result == out_of_memory) fail_without_memory(bytes, purpose);
    check(result, "allocating memory");
    return reinterpret_cast<void*>(address);
  }
  void release(void* memory) noexcept override { pool_->give(address_of(memory)); }

  void copy_in(void* to, const void* from, std::int64_t bytes) override {
    enter();
    check_work(lane_->copy_in(address_of(to), from, static_cast<std::size_t>(bytes)), "copying to the device");
  }
  void copy_out(void* to, const void* from, std::int64_t bytes) override {
    enter();
    check_work(lane_->copy_out(to, address_of(from), static_cast<std::size_t>(bytes)), "copying from the device");
    unheard_launches_ = 0;
  }
  void copy(void* to, const void* from, std::int64_t bytes) override {
    enter();
    check_work(driver().MemcpyDtoDAsync(address_of(to), address_of(from), static_cast<std::size_t>(bytes), stream_),
               "copying on the device");
  }
  void clear(void* memory, std::int64_t bytes) override {
    enter();
    check_work(driver().MemsetD8Async(address_of(memory), 0, static_cast<std::size_t>(bytes), stream_), "clearing memory");
  }

  Moment copy_ahead(void* to, const void* from, std::int64_t bytes) override {
    enter();
    check(ahead_->copy_in(address_of(to), from, static_cast<std::size_t>(bytes)), "copying ahead to the device");
    return mark(ahead_stream_);
  }
  void come_after(const Moment& moment) override {
    enter();
    check_work(driver().StreamWaitEvent(stream_, event_of(moment), 0), "waiting for a copy");
  }
  Moment mark() override {
    enter();
    return mark(stream_);
  }
  double seconds_between(const Moment& from, const Moment& to) override {
    enter();
    float milliseconds = 0;
    check_work(driver().EventSynchronize(event_of(to)), "waiting");
    check_work(driver().EventElapsedTime(&milliseconds, event_of(from), event_of(to)), "measuring time");
    return 1e-3 * static_cast<double>(milliseconds);
  }

  std::shared_ptr<void> load(const Program& program) override {
    auto code = std::make_shared<LoadedCode>();
    code->modules.resize(program.kernels.size());
    code->functions.resize(program.kernels.size());
    std::atomic<std::size_t> next{0};
    std::vector<std::string> errors(program.kernels.size());
    auto work = [&] {
      driver().CtxSetCurrent(context_);
      for (std::size_t k; (k = next++) < program.kernels.size();)
        errors[k] = load(program.kernels[k], code->modules[k], code->functions[k]);
    };
    std::vector<std::thread> others;
    for (int k = 1; k < std::min(16, usable_threads()); ++k) others.emplace_back(work);
    work();
    for (std::thread& other : others) other.join();
    for (const std::string& error : errors)
      if (!error.empty()) throw std::runtime_error(error);
    return code;
  }

  void launch(void* code, const Program& program, const Launch& launch, std::span<void* const> parameters,
              const std::string& where) override {
    enter();
    const auto kernel = static_cast<std::size_t>(launch.kernel);
    const DeviceKernel& known = program.kernels[kernel];
    parameters_.clear();
    for (void* const& each : parameters) parameters_.push_back(const_cast<void**>(&each));
    std::vector<cuda::EncodedMap> maps;
    for (const TensorMap& each : launch.maps) maps.push_back(encoded(each, parameters[static_cast<std::size_t>(each.buffer)], where));
    for (cuda::EncodedMap& each : maps) parameters_.push_back(&each);
    auto result = driver().LaunchKernel(static_cast<LoadedCode*>(code)->functions[kernel], static_cast<unsigned>(launch.tasks), 1, 1,
                                        static_cast<unsigned>(known.threads), 1, 1, static_cast<unsigned>(known.shared_bytes), stream_,
                                        parameters_.data(), nullptr);
    last_launch_ = where, ++unheard_launches_;
    check(result, where);
  }

  std::shared_ptr<void> record(const std::function<void()>& work) override {
    enter();
    constexpr int of_this_thread = 1;
    check(driver().StreamBeginCapture(stream_, of_this_thread), "recording a graph");
    cuda::DriverGraph graph = nullptr;
    try {
      work();
    } catch (...) {
      driver().StreamEndCapture(stream_, &graph);
      throw;
    }
    check(driver().StreamEndCapture(stream_, &graph), "recording a graph");
    cuda::ExecutableGraph executable = nullptr;
    auto result = driver().GraphInstantiateWithFlags(&executable, graph, 0);
    driver().GraphDestroy(graph);
    check(result, "making a graph");
    return {executable, [](void* made) { driver().GraphExecDestroy(static_cast<cuda::ExecutableGraph>(made)); }};
  }
  void replay(void* recording) override {
    enter();
    last_launch_ = fmt::format("a kernel of a recorded run ({} with --profile names it)", one_by_one), unheard_launches_ = 1;
    check(driver().GraphLaunch(static_cast<cuda::ExecutableGraph>(recording), stream_), last_launch_);
  }

  void wait() override {
    enter();
    check_work(driver().StreamSynchronize(stream_), "waiting");
    unheard_launches_ = 0;
  }

 private:
  static constexpr const char* one_by_one = "CUDA_LAUNCH_BLOCKING=1";  // said to the driver: each launch waits for its kernel
  static cuda::Event event_of(const Moment& moment) { return static_cast<cuda::Event>(moment.get()); }
  Moment mark(cuda::Stream stream) const {
    cuda::EventHandle event;
    check(cuda::make_event(event), "making an event");
    check(driver().EventRecord(event.get(), stream), "marking a moment");
    return event;
  }

  cuda::EncodedMap encoded(const TensorMap& map, void* buffer, std::string_view where) const {
    constexpr int type_u16 = 1, no_interleave = 0, swizzle_128_bytes = 3, level2_256_bytes = 3, fill_zero = 0;
    std::uint64_t sizes[3], strides[2];
    std::uint32_t box[3], steps[3] = {1, 1, 1};
    for (std::size_t k = 0; k < 3; ++k)
      sizes[k] = static_cast<std::uint64_t>(map.sizes[k]), box[k] = static_cast<std::uint32_t>(map.box[k]);
    for (std::size_t k = 0; k < 2; ++k) strides[k] = static_cast<std::uint64_t>(map.strides[k]);
    cuda::EncodedMap out{};
    check(driver().TensorMapEncodeTiled(&out, type_u16, 3, static_cast<std::byte*>(buffer) + map.offset, sizes, strides, box, steps,
                                        no_interleave, swizzle_128_bytes, level2_256_bytes, fill_zero),
          fmt::format("{}: describing an operand", where));
    return out;
  }

  void enter() { check(driver().CtxSetCurrent(context_), "making a context current"); }

  void check(cuda::Result result, std::string_view doing) const {
    if (result != 0) throw std::runtime_error(fmt::format("{}: {}: {}", name(), doing, driver().text_of(result)));
  }

  // Of what is done in order after launches: the first to be told of a kernel's fault.
  void check_work(cuda::Result result, std::string_view doing) const {
    if (result == 0) return;
    if (last_launch_.empty()) check(result, doing);
    if (unheard_launches_ < 2) check(result, fmt::format("{} after {}", doing, last_launch_));
    check(result,
          fmt::format("{} after {} kernels, the last of them {} ({} names the one)", doing, unheard_launches_, last_launch_, one_by_one));
  }

  // What went wrong, in words; empty if nothing did.
  std::string load(const DeviceKernel& kernel, cuda::ModuleHandle& module, cuda::Function& function) {
    enum Option { info_log = 3, info_bytes = 4, error_log = 5, error_bytes = 6, verbose = 12 };
    std::vector<char> info(8192), error(8192);
    int keys[] = {info_log, info_bytes, error_log, error_bytes, verbose};
    void* values[] = {info.data(), reinterpret_cast<void*>(info.size()), error.data(), reinterpret_cast<void*>(error.size()),
                      reinterpret_cast<void*>(std::uintptr_t{1})};
    if (auto result = driver().ModuleLoadDataEx(&module, kernel.code.c_str(), 5, keys, values))
      return fmt::format("{}: the driver refuses the kernel {}: {}\n{}", name(), kernel.name, driver().text_of(result), error.data());
    if (auto result = driver().ModuleGetFunction(&function, module, kernel.name.c_str()))
      return fmt::format("{}: no kernel {} in its module: {}", name(), kernel.name, driver().text_of(result));
    if (kernel.shared_bytes > 48 << 10)
      if (auto result = driver().FuncSetAttribute(function, most_dynamic_shared, static_cast<int>(kernel.shared_bytes)))
        return fmt::format("{}: the kernel {} needs {} of shared memory: {}", name(), kernel.name,
                           readable_bytes(static_cast<double>(kernel.shared_bytes)), driver().text_of(result));
    return {};
  }

  [[noreturn]] void fail_without_memory(std::int64_t bytes, std::string_view purpose) {
    std::size_t free = 0, total = 0;
    driver().MemGetInfo(&free, &total);
    throw InputError(fmt::format("{}: no memory for {} of {}: {} of {} are free, this program holds {}; a smaller batch or model fits",
                                 name(), readable_bytes(static_cast<double>(bytes)), purpose, readable_bytes(static_cast<double>(free)),
                                 readable_bytes(static_cast<double>(total)), pool_->held_text()));
  }

  int ordinal_;
  cuda::DeviceFigures figures_;
  cuda::DeviceIndex index_ = 0;
  cuda::Context context_ = nullptr;
  cuda::Stream stream_ = nullptr, ahead_stream_ = nullptr;
  std::optional<cuda::CopyLane> lane_, ahead_;
  std::optional<cuda::MemoryPool> pool_;
  std::vector<void*> parameters_;
  std::string last_launch_;
  int unheard_launches_ = 0;  // since somebody waited
};

}  // namespace

std::shared_ptr<Device> open_cuda_device(int ordinal) { return std::make_shared<CudaDevice>(ordinal); }

}  // namespace heed
