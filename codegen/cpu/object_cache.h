// What was compiled, on disk, by content: kernels, and programs that are made of them. A cache is never trusted and never in the way: what
// is missing, truncated, foreign, unreadable or unwritable is as if it were not there.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace heed {

struct CacheOptions {
  bool enabled = true;
  std::string folder;                                  // empty: $XDG_CACHE_HOME/heed, else ~/.cache/heed
  std::int64_t limit_bytes = std::int64_t{512} << 20;  // of all files; the longest unused go first
};

// The folder that `options` mean; empty where there is none.
std::string cache_folder(const CacheOptions& options);

// 128 bits of BLAKE3 as 32 hexadecimal digits.
std::string content_name(std::string_view content);

// Names this build of heed, so that objects of another one are never found.
const std::string& build_name();

// Names of files end with one of these; others are not the cache's.
constexpr std::string_view kernel_extension = ".o", program_extension = ".program";
std::string kernel_file(std::string_view kernel);

class ObjectCache {
 public:
  explicit ObjectCache(const CacheOptions& options);
  bool is_on() const { return !folder_.empty(); }
  // The object stored under `name`, and marks it as used now.
  std::optional<std::string> find(const std::string& name) const;
  bool has_file(const std::string& name) const;  // also if it is damaged
  // Safe against other threads and processes: whoever is last wins, readers see one or the other whole.
  void store(const std::string& name, std::string_view object) const;
  // Removes the longest unused files until three quarters of the limit are left, if there is more than the limit.
  void trim() const;

 private:
  std::string folder_;  // empty: off
  std::int64_t limit_bytes_;
};

}  // namespace heed
