// NVIDIA's driver, loaded when it is asked for: the functions that heed calls, declared here, since its header is not ours to ship.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace heed::cuda {

using Result = int;
using DeviceIndex = int;
using Address = unsigned long long;
using Context = struct ContextObject*;
using ModuleHandle = struct ModuleObject*;
using Function = struct FunctionObject*;
using Stream = struct StreamObject*;
using Event = struct EventObject*;
using DriverGraph = struct GraphObject*;
using ExecutableGraph = struct ExecutableGraphObject*;

struct alignas(64) EncodedMap {
  std::uint64_t words[16];
};

// Each is the driver's function of the same name with the prefix cu.
struct Driver {
  Result (*Init)(unsigned flags) = nullptr;
  Result (*DriverGetVersion)(int* version) = nullptr;
  Result (*GetErrorName)(Result, const char** name) = nullptr;
  Result (*GetErrorString)(Result, const char** text) = nullptr;
  Result (*DeviceGetCount)(int* count) = nullptr;
  Result (*DeviceGet)(DeviceIndex*, int ordinal) = nullptr;
  Result (*DeviceGetName)(char* name, int length, DeviceIndex) = nullptr;
  Result (*DeviceGetAttribute)(int* value, int attribute, DeviceIndex) = nullptr;
  Result (*DeviceTotalMem)(std::size_t* bytes, DeviceIndex) = nullptr;
  Result (*DevicePrimaryCtxRetain)(Context*, DeviceIndex) = nullptr;
  Result (*DevicePrimaryCtxRelease)(DeviceIndex) = nullptr;
  Result (*CtxSetCurrent)(Context) = nullptr;
  Result (*MemGetInfo)(std::size_t* free, std::size_t* total) = nullptr;
  Result (*ModuleLoadDataEx)(ModuleHandle*, const void* image, unsigned options, int* keys, void** values) = nullptr;
  Result (*ModuleUnload)(ModuleHandle) = nullptr;
  Result (*ModuleGetFunction)(Function*, ModuleHandle, const char* name) = nullptr;
  Result (*FuncSetAttribute)(Function, int attribute, int value) = nullptr;
  Result (*LaunchKernel)(Function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                         unsigned shared_bytes, Stream, void** parameters, void** extra) = nullptr;
  Result (*StreamCreate)(Stream*, unsigned flags) = nullptr;
  Result (*StreamDestroy)(Stream) = nullptr;
  Result (*StreamSynchronize)(Stream) = nullptr;
  Result (*StreamWaitEvent)(Stream, Event, unsigned flags) = nullptr;
  Result (*EventCreate)(Event*, unsigned flags) = nullptr;
  Result (*EventDestroy)(Event) = nullptr;
  Result (*EventRecord)(Event, Stream) = nullptr;
  Result (*EventSynchronize)(Event) = nullptr;
  Result (*EventElapsedTime)(float* milliseconds, Event from, Event to) = nullptr;
  Result (*MemAlloc)(Address*, std::size_t bytes) = nullptr;
  Result (*MemFree)(Address) = nullptr;
  Result (*MemHostAlloc)(void**, std::size_t bytes, unsigned flags) = nullptr;
  Result (*MemFreeHost)(void*) = nullptr;
  Result (*MemcpyHtoDAsync)(Address, const void*, std::size_t bytes, Stream) = nullptr;
  Result (*MemcpyDtoHAsync)(void*, Address, std::size_t bytes, Stream) = nullptr;
  Result (*MemcpyDtoDAsync)(Address, Address, std::size_t bytes, Stream) = nullptr;
  Result (*MemsetD8Async)(Address, unsigned char, std::size_t bytes, Stream) = nullptr;
  Result (*StreamBeginCapture)(Stream, int mode) = nullptr;
  Result (*StreamEndCapture)(Stream, DriverGraph*) = nullptr;
  Result (*GraphInstantiateWithFlags)(ExecutableGraph*, DriverGraph, unsigned long long flags) = nullptr;
  Result (*GraphLaunch)(ExecutableGraph, Stream) = nullptr;
  Result (*GraphExecDestroy)(ExecutableGraph) = nullptr;
  Result (*GraphDestroy)(DriverGraph) = nullptr;
  Result (*TensorMapEncodeTiled)(EncodedMap*, int type, unsigned rank, void* address, const std::uint64_t* sizes,
                                 const std::uint64_t* strides, const std::uint32_t* box, const std::uint32_t* steps, int interleave,
                                 int swizzle, int level2, int fill) = nullptr;

  // "CUDA_ERROR_INVALID_PTX (a PTX JIT compilation failed)".
  std::string text_of(Result result) const;
};

// Where the driver keeps the machine code that it makes of PTX, by content; an empty folder: nowhere. To be said before the driver is first
// asked for; what the environment says already stays.
void keep_machine_code(const std::string& folder, std::int64_t limit_bytes);

// The driver, initialised; once a process. Throws InputError where there is none, it is too old, or it cannot start.
const Driver& driver();

// Of every device the driver shows.
struct DeviceFigures {
  std::string name;
  int major = 0, minor = 0, multiprocessors = 0, clock_khz = 0, memory_clock_khz = 0, memory_bits = 0;
  std::int64_t memory_bytes = 0, shared_bytes = 0, level2_bytes = 0;
};
std::vector<DeviceFigures> device_figures();
int driver_version();  // 12040 is 12.4

}  // namespace heed::cuda
