// Finds libcuda.so.1 and its functions.
#include "runtime/cuda/driver.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "input_error.h"

namespace heed::cuda {
namespace {

constexpr int oldest_version = 12000;  // reads PTX 8.0

enum Attribute {
  clock_rate = 13,
  multiprocessor_count = 16,
  memory_clock_rate = 36,
  memory_bus_width = 37,
  level2_size = 38,
  major_version = 75,
  minor_version = 76,
  shared_optin = 97
};

template <class F>
void find(void* library, const char* name, F& function) {
  function = reinterpret_cast<F>(dlsym(library, name));
  if (!function)
    throw InputError(fmt::format("the NVIDIA driver has no function {}: it is too old; version {}.{} or later is needed", name,
                                 oldest_version / 1000, oldest_version % 1000 / 10));
}

Driver load() {
  void* library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (!library) throw InputError(fmt::format("no NVIDIA driver on this machine ({}); --device cpu runs everywhere", dlerror()));
  Driver d;
  find(library, "cuInit", d.Init);
  find(library, "cuDriverGetVersion", d.DriverGetVersion);
  find(library, "cuGetErrorName", d.GetErrorName);
  find(library, "cuGetErrorString", d.GetErrorString);
  find(library, "cuDeviceGetCount", d.DeviceGetCount);
  find(library, "cuDeviceGet", d.DeviceGet);
  find(library, "cuDeviceGetName", d.DeviceGetName);
  find(library, "cuDeviceGetAttribute", d.DeviceGetAttribute);
  find(library, "cuDeviceTotalMem_v2", d.DeviceTotalMem);
  find(library, "cuDevicePrimaryCtxRetain", d.DevicePrimaryCtxRetain);
  find(library, "cuDevicePrimaryCtxRelease_v2", d.DevicePrimaryCtxRelease);
  find(library, "cuCtxSetCurrent", d.CtxSetCurrent);
  find(library, "cuMemGetInfo_v2", d.MemGetInfo);
  find(library, "cuModuleLoadDataEx", d.ModuleLoadDataEx);
  find(library, "cuModuleUnload", d.ModuleUnload);
  find(library, "cuModuleGetFunction", d.ModuleGetFunction);
  find(library, "cuFuncSetAttribute", d.FuncSetAttribute);
  find(library, "cuLaunchKernel", d.LaunchKernel);
  find(library, "cuStreamCreate", d.StreamCreate);
  find(library, "cuStreamDestroy_v2", d.StreamDestroy);
  find(library, "cuStreamSynchronize", d.StreamSynchronize);
  find(library, "cuStreamWaitEvent", d.StreamWaitEvent);
  find(library, "cuEventCreate", d.EventCreate);
  find(library, "cuEventDestroy_v2", d.EventDestroy);
  find(library, "cuEventRecord", d.EventRecord);
  find(library, "cuEventSynchronize", d.EventSynchronize);
  find(library, "cuEventElapsedTime", d.EventElapsedTime);
  find(library, "cuMemAlloc_v2", d.MemAlloc);
  find(library, "cuMemFree_v2", d.MemFree);
  find(library, "cuMemHostAlloc", d.MemHostAlloc);
  find(library, "cuMemFreeHost", d.MemFreeHost);
  find(library, "cuMemcpyHtoDAsync_v2", d.MemcpyHtoDAsync);
  find(library, "cuMemcpyDtoHAsync_v2", d.MemcpyDtoHAsync);
  find(library, "cuMemcpyDtoDAsync_v2", d.MemcpyDtoDAsync);
  find(library, "cuMemsetD8Async", d.MemsetD8Async);
  find(library, "cuStreamBeginCapture_v2", d.StreamBeginCapture);
  find(library, "cuStreamEndCapture", d.StreamEndCapture);
  find(library, "cuGraphInstantiateWithFlags", d.GraphInstantiateWithFlags);
  find(library, "cuGraphLaunch", d.GraphLaunch);
  find(library, "cuGraphExecDestroy", d.GraphExecDestroy);
  find(library, "cuGraphDestroy", d.GraphDestroy);
  find(library, "cuTensorMapEncodeTiled", d.TensorMapEncodeTiled);
  if (Result result = d.Init(0)) throw InputError(fmt::format("the NVIDIA driver cannot start: {}", d.text_of(result)));
  int version = 0;
  d.DriverGetVersion(&version);
  if (version < oldest_version)
    throw InputError(fmt::format("the NVIDIA driver supports CUDA {}.{}; heed needs {}.{} or later", version / 1000, version % 1000 / 10,
                                 oldest_version / 1000, oldest_version % 1000 / 10));
  return d;
}

}  // namespace

std::string Driver::text_of(Result result) const {
  const char *name = nullptr, *text = nullptr;
  GetErrorName(result, &name);
  GetErrorString(result, &text);
  return fmt::format("{} ({})", name ? name : fmt::format("error {}", result), text ? text : "unknown");
}

void keep_machine_code(const std::string& folder, std::int64_t limit_bytes) {
  constexpr int keeps_what_is_there = 0;
  const auto say = [&](const char* name, const std::string& value) { setenv(name, value.c_str(), keeps_what_is_there); };
  if (folder.empty()) return say("CUDA_CACHE_DISABLE", "1");
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  say("CUDA_CACHE_PATH", folder);
  say("CUDA_CACHE_MAXSIZE", fmt::format("{}", limit_bytes));
}

const Driver& driver() {
  static const Driver loaded = load();
  return loaded;
}

int driver_version() {
  int version = 0;
  driver().DriverGetVersion(&version);
  return version;
}

std::vector<DeviceFigures> device_figures() {
  const Driver& d = driver();
  int count = 0;
  d.DeviceGetCount(&count);
  std::vector<DeviceFigures> all;
  for (int k = 0; k < count; ++k) {
    DeviceIndex index = 0;
    d.DeviceGet(&index, k);
    DeviceFigures figures;
    char name[256] = "";
    d.DeviceGetName(name, sizeof name, index);
    figures.name = name;
    auto attribute = [&](Attribute which) {
      int value = 0;
      d.DeviceGetAttribute(&value, which, index);
      return value;
    };
    figures.major = attribute(major_version), figures.minor = attribute(minor_version);
    figures.multiprocessors = attribute(multiprocessor_count), figures.clock_khz = attribute(clock_rate);
    figures.memory_clock_khz = attribute(memory_clock_rate), figures.memory_bits = attribute(memory_bus_width);
    figures.shared_bytes = attribute(shared_optin), figures.level2_bytes = attribute(level2_size);
    std::size_t bytes = 0;
    d.DeviceTotalMem(&bytes, index);
    figures.memory_bytes = static_cast<std::int64_t>(bytes);
    all.push_back(figures);
  }
  return all;
}

}  // namespace heed::cuda
