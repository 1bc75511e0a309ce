// A libcuda.so.1 for tests of what heed says of drivers: it has memory of the host and kernels that do nothing. HEED_FAKE_DRIVER says what
// goes wrong: old, empty, refuse, memory=BYTES (more is not to be had), launch=NUMBER (that kernel cannot be launched), kernel=NUMBER (that
// one faults while it runs), replay (a kernel of a graph does).
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <unordered_map>

namespace {

constexpr int invalid_value = 1, out_of_memory = 2, invalid_ptx = 218, illegal_address = 700;

std::string_view wrong() {
  const char* text = std::getenv("HEED_FAKE_DRIVER");
  return text ? text : "";
}

// The number after "word="; -1 if another thing goes wrong.
long long number_after(std::string_view word) {
  const std::string_view text = wrong();
  return text.starts_with(word) ? std::atoll(text.data() + word.size()) : -1;
}

int launches = 0, state = 0;
bool captures = false;
std::size_t in_use = 0;
std::unordered_map<void*, std::size_t> sizes;

int object = 0;  // what all handles point to
template <class Handle>
int give(Handle* handle) {
  *handle = &object;
  return 0;
}

}  // namespace

extern "C" {

int cuInit(unsigned) { return 0; }
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
  *value = attribute == 75 ? (device == 0 ? 8 : 6) : attribute == 76 ? 0 : attribute == 16 ? 108 : attribute == 13 ? 1410000 : 164 << 10;
  return 0;
}
int cuDeviceTotalMem_v2(std::size_t* bytes, int) { return *bytes = std::size_t{8} << 30, 0; }
int cuDevicePrimaryCtxRetain(void** context, int) { return give(context); }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void*) { return 0; }
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  const long long most = number_after("memory=");
  return *free = most < 0 ? 0 : static_cast<std::size_t>(most) - in_use, *total = std::size_t{8} << 30, 0;
}
int cuModuleLoadDataEx(void** module, const void*, unsigned options, int* keys, void** values) {
  if (wrong() != "refuse") return give(module);
  constexpr int error_log = 5;
  for (unsigned k = 0; k < options; ++k)
    if (keys[k] == error_log) std::strcpy(static_cast<char*>(values[k]), "ptxas fatal: line 7");
  return invalid_ptx;
}
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void*, const char*) { return give(function); }
int cuFuncSetAttribute(void*, int, int) { return 0; }
int cuLaunchKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**, void**) {
  if (captures) return 0;
  ++launches;
  if (number_after("launch=") == launches) return invalid_value;
  if (number_after("kernel=") == launches) state = illegal_address;
  return 0;
}
int cuStreamCreate(void** stream, unsigned) { return give(stream); }
int cuStreamDestroy_v2(void*) { return 0; }
int cuStreamSynchronize(void*) { return state; }
int cuMemAlloc_v2(unsigned long long* address, std::size_t bytes) {
  const long long most = number_after("memory=");
  if (most >= 0 && in_use + bytes > static_cast<std::size_t>(most)) return out_of_memory;
  void* memory = std::calloc(1, bytes);
  in_use += sizes[memory] = bytes;
  return *address = reinterpret_cast<unsigned long long>(memory), 0;
}
int cuMemFree_v2(unsigned long long address) {
  void* memory = reinterpret_cast<void*>(address);
  in_use -= sizes[memory];
  sizes.erase(memory);
  return std::free(memory), 0;
}
int cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) { return *memory = std::malloc(bytes), 0; }
int cuMemFreeHost(void* memory) { return std::free(memory), 0; }
int cuMemcpyHtoDAsync_v2(unsigned long long to, const void* from, std::size_t bytes, void*) {
  return std::memcpy(reinterpret_cast<void*>(to), from, bytes), state;
}
int cuMemcpyDtoHAsync_v2(void* to, unsigned long long from, std::size_t bytes, void*) {
  return std::memcpy(to, reinterpret_cast<const void*>(from), bytes), state;
}
int cuMemcpyDtoDAsync_v2(unsigned long long to, unsigned long long from, std::size_t bytes, void*) {
  return std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), bytes), state;
}
int cuMemsetD8Async(unsigned long long address, unsigned char byte, std::size_t bytes, void*) {
  return std::memset(reinterpret_cast<void*>(address), byte, bytes), state;
}
int cuStreamBeginCapture_v2(void*, int) { return captures = true, 0; }
int cuStreamEndCapture(void*, void** graph) { return captures = false, give(graph); }
int cuGraphInstantiateWithFlags(void** executable, void*, unsigned long long) { return give(executable); }
int cuGraphLaunch(void*, void*) {
  if (wrong() == "replay") state = illegal_address;
  return 0;
}
int cuGraphExecDestroy(void*) { return 0; }
int cuGraphDestroy(void*) { return 0; }
int cuTensorMapEncodeTiled(void*, int, unsigned, void*, const void*, const void*, const void*, const void*, int, int, int, int) {
  return 0;
}
}
