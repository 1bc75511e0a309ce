// A libcuda.so.1 for tests of what heed does with drivers: it has memory of the host, and kernels that do nothing unless a test says what.
// HEED_FAKE_DRIVER says what goes wrong: old, empty, refuse, memory=BYTES (more is not to be had), launch=NUMBER (that kernel cannot be
// launched), kernel=NUMBER (that one faults while it runs), replay (a kernel of a graph does), tell-cache (nothing; it prints what it
// is told of its cache).
#include "tests/fake_driver/fake_driver.h"

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "tests/fake_driver/streams.h"

namespace {

constexpr int invalid_value = 1, out_of_memory = 2, invalid_ptx = 218, illegal_address = 700;
constexpr double kernel_seconds = 1e-3, bytes_per_second = 1e9;
using Address = unsigned long long;

std::string_view wrong() {
  const char* text = std::getenv("HEED_FAKE_DRIVER");
  return text ? text : "";
}

// The number after "word="; -1 if another thing goes wrong.
long long number_after(std::string_view word) {
  const std::string_view text = wrong();
  return text.starts_with(word) ? std::atoll(text.data() + word.size()) : -1;
}

struct Kernel {
  int parameters = 0;
  void (*function)(void* const*) = nullptr;
};

bool early_copies = false;
std::atomic<int> launches = 0, state = 0;
std::size_t in_use = 0;
// Never destroyed: devices are closed when the process ends, after a library's objects are gone.
auto& streams = *new fake::Streams;
auto& sizes = *new std::map<void*, std::size_t>;
auto& kernels = *new std::map<std::string, Kernel, std::less<>>;
auto& calls = *new std::map<std::string, long, std::less<>>;
auto& events = *new std::map<void*, std::shared_ptr<fake::Event>>;
auto& graphs = *new std::map<void*, std::shared_ptr<fake::Graph>>;

// Of one call of the driver.
struct Call {
  std::unique_lock<std::mutex> lock{streams.mutex};
  explicit Call(const char* name) { ++calls[name]; }
};

int object = 0;  // what other handles point to
template <class Handle>
int give(Handle* handle) {
  *handle = &object;
  return 0;
}

fake::Stream& stream_of(void* handle) { return *static_cast<fake::Stream*>(handle); }

int add_copy(void* stream, void* to, const void* from, std::size_t bytes) {
  streams.add(stream_of(stream), {[=] { std::memmove(to, from, bytes); }, static_cast<double>(bytes) / bytes_per_second});
  return state;
}

void synchronize_all(std::unique_lock<std::mutex>& lock) {
  for (const auto& stream : streams.all) streams.run_all(lock, *stream);
}

}  // namespace

extern "C" {

void fake_kernel(const char* name, int parameters, void (*function)(void* const*)) { kernels[name] = {parameters, function}; }
void fake_order(bool early) { early_copies = early; }
long fake_calls(const char* name) {
  std::lock_guard lock(streams.mutex);
  return calls[name];
}

int cuInit(unsigned) {
  if (wrong() == "tell-cache")
    for (const char* name : {"CUDA_CACHE_DISABLE", "CUDA_CACHE_PATH", "CUDA_CACHE_MAXSIZE"})
      if (const char* value = std::getenv(name)) std::fprintf(stderr, "%s=%s\n", name, value);
  return 0;
}
int cuDriverGetVersion(int* version) { return *version = wrong() == "old" ? 11080 : 12040, 0; }
int cuGetErrorName(int result, const char** name) {
  *name = result == out_of_memory     ? "CUDA_ERROR_OUT_OF_MEMORY"
          : result == invalid_ptx     ? "CUDA_ERROR_INVALID_PTX"
          : result == illegal_address ? "CUDA_ERROR_ILLEGAL_ADDRESS"
                                      : "CUDA_ERROR_INVALID_VALUE";
  return 0;
}
int cuGetErrorString(int, const char** text) { return *text = "said by the driver", 0; }
int cuDeviceGetCount(int* count) { return *count = wrong() == "empty" ? 0 : 2, 0; }
int cuDeviceGet(int* device, int ordinal) { return *device = ordinal, 0; }
int cuDeviceGetName(char* name, int length, int device) {
  return std::snprintf(name, static_cast<std::size_t>(length), "Fake %d", device), 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  switch (attribute) {
    case 75:
      return *value = device == 0 ? 8 : 6, 0;
    case 76:
      return *value = 0, 0;
    case 16:
      return *value = 108, 0;
    case 13:
      return *value = 1410000, 0;
    case 36:
      return *value = 1215000, 0;
    case 37:
      return *value = 5120, 0;
    default:
      return *value = 164 << 10, 0;
  }
}
int cuDeviceTotalMem_v2(std::size_t* bytes, int) { return *bytes = std::size_t{8} << 30, 0; }
int cuDevicePrimaryCtxRetain(void** context, int) { return give(context); }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void*) { return 0; }
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  Call call("MemGetInfo");
  const long long most = number_after("memory=");
  return *free = most < 0 ? 0 : static_cast<std::size_t>(most) - in_use, *total = std::size_t{8} << 30, 0;
}
int cuModuleLoadDataEx(void** module, const void*, unsigned options, int* keys, void** values) {
  Call call("ModuleLoadDataEx");
  if (wrong() != "refuse") return give(module);
  constexpr int error_log = 5;
  for (unsigned k = 0; k < options; ++k)
    if (keys[k] == error_log) std::strcpy(static_cast<char*>(values[k]), "ptxas fatal: line 7");
  return invalid_ptx;
}
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void*, const char* name) {
  Call call("ModuleGetFunction");
  return *function = &kernels[name], 0;
}
int cuFuncSetAttribute(void*, int, int) { return 0; }
int cuLaunchKernel(void* function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void* stream, void** parameters,
                   void**) {
  Call call("LaunchKernel");
  const Kernel kernel = *static_cast<Kernel*>(function);
  std::vector<void*> values;
  for (int k = 0; k < kernel.parameters; ++k) values.push_back(*static_cast<void**>(parameters[k]));
  const bool captures = stream_of(stream).captured != nullptr;
  const int number = captures ? 0 : ++launches;
  if (!captures && number_after("launch=") == number) return invalid_value;
  streams.add(stream_of(stream), {[=] {
                                    if (number > 0 && number_after("kernel=") == number) state = illegal_address;
                                    if (kernel.function && state == 0) kernel.function(values.data());
                                  },
                                  kernel_seconds});
  const char* blocking = std::getenv("CUDA_LAUNCH_BLOCKING");
  if (blocking && *blocking == '1' && !captures) streams.run_all(call.lock, stream_of(stream));
  return state;
}
int cuStreamCreate(void** stream, unsigned) {
  Call call("StreamCreate");
  *stream = streams.all.emplace_back(std::make_unique<fake::Stream>()).get();
  return 0;
}
int cuStreamDestroy_v2(void* stream) {
  Call call("StreamDestroy");
  streams.run_all(call.lock, stream_of(stream));
  std::erase_if(streams.all, [&](const auto& each) { return each.get() == stream; });
  return 0;
}
int cuStreamSynchronize(void* stream) {
  Call call("StreamSynchronize");
  streams.run_all(call.lock, stream_of(stream));
  return state;
}
int cuEventCreate(void** event, unsigned) {
  Call call("EventCreate");
  auto made = std::make_shared<fake::Event>();
  *event = made.get();
  events[*event] = std::move(made);
  return 0;
}
int cuEventDestroy_v2(void* event) {
  Call call("EventDestroy");
  events.erase(event);
  return 0;
}
int cuEventRecord(void* handle, void* stream) {
  Call call("EventRecord");
  const auto event = events.at(handle);
  event->stream = &stream_of(stream);
  streams.add(stream_of(stream), {nullptr, 0, event, nullptr, ++event->recorded});
  return state;
}
int cuEventSynchronize(void* handle) {
  Call call("EventSynchronize");
  const auto event = events.at(handle);
  streams.await(call.lock, *event, event->recorded);
  return state;
}
int cuEventElapsedTime(float* milliseconds, void* from, void* to) {
  Call call("EventElapsedTime");
  *milliseconds = static_cast<float>(1e3 * (events.at(to)->seconds - events.at(from)->seconds));
  return state;
}
int cuStreamWaitEvent(void* stream, void* handle, unsigned) {
  Call call("StreamWaitEvent");
  const auto event = events.at(handle);
  streams.add(stream_of(stream), {nullptr, 0, nullptr, event, event->recorded});
  return state;
}
int cuMemAlloc_v2(Address* address, std::size_t bytes) {
  Call call("MemAlloc");
  const long long most = number_after("memory=");
  if (most >= 0 && in_use + bytes > static_cast<std::size_t>(most)) return out_of_memory;
  void* memory = std::calloc(1, bytes);
  in_use += sizes[memory] = bytes;
  return *address = reinterpret_cast<Address>(memory), 0;
}
int cuMemFree_v2(Address address) {
  Call call("MemFree");
  synchronize_all(call.lock);
  void* memory = reinterpret_cast<void*>(address);
  in_use -= sizes[memory];
  sizes.erase(memory);
  return std::free(memory), 0;
}
int cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  Call call("MemHostAlloc");
  return *memory = std::malloc(bytes), 0;
}
int cuMemFreeHost(void* memory) {
  Call call("MemFreeHost");
  return std::free(memory), 0;
}
int cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t bytes, void* stream) {
  Call call("MemcpyHtoDAsync");
  add_copy(stream, reinterpret_cast<void*>(to), from, bytes);
  if (early_copies) streams.run_all(call.lock, stream_of(stream));
  return state;
}
int cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t bytes, void* stream) {
  Call call("MemcpyDtoHAsync");
  return add_copy(stream, to, reinterpret_cast<const void*>(from), bytes);
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t bytes, void* stream) {
  Call call("MemcpyDtoDAsync");
  return add_copy(stream, reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes);
}
int cuMemsetD8Async(Address address, unsigned char byte, std::size_t bytes, void* stream) {
  Call call("MemsetD8Async");
  streams.add(stream_of(stream), {[=] { std::memset(reinterpret_cast<void*>(address), byte, bytes); }});
  return state;
}
int cuStreamBeginCapture_v2(void* stream, int) {
  Call call("StreamBeginCapture");
  return stream_of(stream).captured = std::make_shared<fake::Graph>(), 0;
}
int cuStreamEndCapture(void* stream, void** graph) {
  Call call("StreamEndCapture");
  auto made = std::exchange(stream_of(stream).captured, nullptr);
  *graph = made.get();
  graphs[*graph] = std::move(made);
  return 0;
}
int cuGraphInstantiateWithFlags(void** executable, void* graph, unsigned long long) {
  Call call("GraphInstantiateWithFlags");
  auto made = std::make_shared<fake::Graph>(*graphs.at(graph));
  *executable = made.get();
  graphs[*executable] = std::move(made);
  return 0;
}
int cuGraphLaunch(void* executable, void* stream) {
  Call call("GraphLaunch");
  if (wrong() == "replay") streams.add(stream_of(stream), {[] { state = illegal_address; }});
  for (const fake::Task& task : *graphs.at(executable)) streams.add(stream_of(stream), task);
  return state;
}
int cuGraphExecDestroy(void* executable) {
  Call call("GraphExecDestroy");
  return graphs.erase(executable), 0;
}
int cuGraphDestroy(void* graph) {
  Call call("GraphDestroy");
  return graphs.erase(graph), 0;
}
int cuTensorMapEncodeTiled(void*, int, unsigned, void*, const void*, const void*, const void*, const void*, int, int, int, int) {
  return 0;
}
}
