// A machine that runs kernels in memory of its own: a GPU behind its driver, or a simulated one.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "runtime/program.h"

namespace heed {

class Device {
 public:
  virtual ~Device() = default;
  virtual std::string name() const = 0;

  // Memory aligned to 256, its contents undefined. Throws InputError that says what was asked for and what holds the rest.
  virtual void* allocate(std::int64_t bytes, std::string_view purpose) = 0;
  virtual void release(void* memory) noexcept = 0;

  // In the order of calls, as launches are. Copies out have ended when they return; what is copied in may be changed at once.
  virtual void copy_in(void* to, const void* from, std::int64_t bytes) = 0;
  virtual void copy_out(void* to, const void* from, std::int64_t bytes) = 0;
  virtual void copy(void* to, const void* from, std::int64_t bytes) = 0;  // both on the device; they may overlap
  virtual void clear(void* memory, std::int64_t bytes) = 0;

  // Makes a program's kernels ready. They live as long as what is returned.
  virtual std::shared_ptr<void> load(const Program& program) = 0;
  // `code`: what load gave. `where` names the kernel in messages: its region and the model's line.
  virtual void launch(void* code, const Program& program, const Launch& launch, std::span<void* const> parameters,
                      const std::string& where) = 0;
  // Work that goes on beside what is under way, in the order of such calls; they may come from another thread. Nothing under way may use
  // `to`. The moment comes when the copy has ended.
  using Moment = std::shared_ptr<void>;
  virtual Moment copy_ahead(void* to, const void* from, std::int64_t bytes) = 0;
  // What is asked for from now on begins after that moment.
  virtual void come_after(const Moment& moment) = 0;
  // The moment at which everything asked for so far, but copies ahead, is done.
  virtual Moment mark() = 0;
  // By the device's clock. Waits for both.
  virtual double seconds_between(const Moment& from, const Moment& to) = 0;

  // What `work` asks of the device, kept to be done again with one call; null where the device has no such thing.
  virtual std::shared_ptr<void> record(const std::function<void()>& work) {
    (void)work;
    return {};
  }
  virtual void replay(void* recording) { (void)recording; }
  // Until everything asked for, but copies ahead, is done; faults of kernels end here at the latest, as std::runtime_error.
  virtual void wait() = 0;
};

// Owns memory of a device.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(Device& device, std::int64_t bytes, std::string_view purpose)
      : device_(&device), data_(device.allocate(bytes, purpose)), bytes_(bytes) {}
  DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  ~DeviceMemory() {
    if (data_) device_->release(data_);
  }
  std::byte* data() const { return static_cast<std::byte*>(data_); }
  std::int64_t bytes() const { return bytes_; }
  void swap(DeviceMemory& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  std::int64_t bytes_ = 0;
};

}  // namespace heed
