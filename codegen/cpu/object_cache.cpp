// A file is a header (magic, name, length, checksum) and the object, written beside its place and renamed into it.
#include "codegen/cpu/object_cache.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <link.h>
#include <llvm/ADT/StringExtras.h>
#include <llvm/Support/BLAKE3.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

namespace heed {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view magic = "heed objects 02\n";
constexpr std::string_view unfinished = ".part";
bool is_ours(const fs::path& extension) { return extension == kernel_extension || extension == program_extension; }
static_assert(magic.size() == 16);

struct Header {
  char magic[16];
  char name[48];
  std::uint64_t length;
  std::uint8_t checksum[16];
};
static_assert(sizeof(Header) == 88);

std::array<std::uint8_t, 16> hash(std::string_view content) {
  auto full = llvm::BLAKE3::hash<16>(llvm::ArrayRef(reinterpret_cast<const std::uint8_t*>(content.data()), content.size()));
  std::array<std::uint8_t, 16> out;
  std::copy(full.begin(), full.end(), out.begin());
  return out;
}

Header header_of(const std::string& name, std::string_view object) {
  Header header{};
  std::memcpy(header.magic, magic.data(), sizeof header.magic);
  std::memcpy(header.name, name.data(), std::min(name.size(), sizeof header.name));
  header.length = object.size();
  auto checksum = hash(object);
  std::memcpy(header.checksum, checksum.data(), sizeof header.checksum);
  return header;
}

bool write_all(int file, const void* data, std::size_t size) {
  auto* at = static_cast<const char*>(data);
  while (size > 0) {
    ssize_t written = ::write(file, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

// The note that the linker leaves in the file that holds this function; changes with every byte of it.
int find_note(dl_phdr_info* info, std::size_t, void* result) {
  auto here = reinterpret_cast<std::uintptr_t>(&find_note);
  bool ours = false;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    std::uintptr_t begin = info->dlpi_addr + segment.p_vaddr;
    ours |= segment.p_type == PT_LOAD && begin <= here && here < begin + segment.p_memsz;
  }
  if (!ours) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    auto* at = reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr);
    auto* end = at + segment.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      const char* owner = at + sizeof *note;
      const char* value = owner + ((note->n_namesz + 3) & ~3U);
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && std::memcmp(owner, "GNU", 4) == 0)
        *static_cast<std::string*>(result) = llvm::toHex(llvm::StringRef(value, note->n_descsz), true);
      at = value + ((note->n_descsz + 3) & ~3U);
    }
  }
  return 1;
}

std::string find_build_name() {
  std::string name;
  dl_iterate_phdr(find_note, &name);
  if (!name.empty()) return name;
  std::error_code error;  // Linked without a build id: the time of the file has to do.
  fs::path self = fs::read_symlink("/proc/self/exe", error);
  auto time = fs::last_write_time(self, error).time_since_epoch().count();
  return fmt::format("{} {} {}", self.string(), fs::file_size(self, error), time);
}

}  // namespace

std::string cache_folder(const CacheOptions& options) {
  if (!options.enabled) return "";
  if (!options.folder.empty()) return options.folder;
  if (const char* base = std::getenv("XDG_CACHE_HOME"); base && *base == '/') return std::string(base) + "/heed";
  if (const char* home = std::getenv("HOME"); home && *home == '/') return std::string(home) + "/.cache/heed";
  return "";
}

std::string content_name(std::string_view content) { return llvm::toHex(llvm::ArrayRef(hash(content).data(), 16), true); }

const std::string& build_name() {
  static const std::string name = find_build_name();
  return name;
}

std::string kernel_file(std::string_view name) { return fmt::format("{}{}", name, kernel_extension); }

ObjectCache::ObjectCache(const CacheOptions& options) : folder_(cache_folder(options)), limit_bytes_(options.limit_bytes) {}

std::optional<std::string> ObjectCache::find(const std::string& name) const {
  if (folder_.empty()) return {};
  fs::path path = fs::path(folder_) / name;
  std::error_code error;
  auto size = fs::file_size(path, error);
  if (error || !fs::is_regular_file(path, error) || size < sizeof(Header)) return {};
  std::ifstream file(path, std::ios::binary);
  Header header;
  std::string object(size - sizeof header, '\0');
  file.read(reinterpret_cast<char*>(&header), sizeof header);
  file.read(object.data(), static_cast<std::streamsize>(object.size()));
  if (!file) return {};
  Header expected = header_of(name, object);
  if (std::memcmp(&header, &expected, sizeof header) != 0) return {};
  fs::last_write_time(path, fs::file_time_type::clock::now(), error);
  return object;
}

bool ObjectCache::has_file(const std::string& name) const {
  std::error_code error;
  return !folder_.empty() && fs::exists(fs::path(folder_) / name, error);
}

void ObjectCache::store(const std::string& name, std::string_view object) const {
  if (folder_.empty()) return;
  static std::atomic<unsigned> counter{0};
  std::error_code ignored;
  fs::create_directories(folder_, ignored);
  fs::path place = fs::path(folder_) / name;
  fs::path part = fs::path(folder_) / fmt::format("{}.{}.{}{}", name, getpid(), counter++, unfinished);
  int file = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file < 0) return;
  Header header = header_of(name, object);
  bool whole = write_all(file, &header, sizeof header) && write_all(file, object.data(), object.size());
  whole &= ::close(file) == 0;
  if (!whole || ::rename(part.c_str(), place.c_str()) != 0) ::unlink(part.c_str());
}

void ObjectCache::trim() const {
  if (folder_.empty()) return;
  struct Entry {
    fs::file_time_type used;
    fs::path path;
    std::int64_t size;
  };
  std::vector<Entry> entries;
  std::int64_t total = 0;
  std::error_code error;
  auto now = fs::file_time_type::clock::now();
  for (fs::directory_iterator at(folder_, error), end; !error && at != end; at.increment(error)) {
    std::error_code gone;  // Another process may be trimming, too.
    auto extension = at->path().extension();
    if (!is_ours(extension) && extension != unfinished) continue;
    auto used = at->last_write_time(gone);
    auto size = static_cast<std::int64_t>(at->file_size(gone));
    if (gone) continue;
    if (extension == unfinished) {  // Left by a process that died, unless it is being written.
      if (now - used > std::chrono::hours(1)) fs::remove(at->path(), gone);
      continue;
    }
    entries.push_back({used, at->path(), size});
    total += size;
  }
  if (total <= limit_bytes_) return;
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.used, a.path) < std::tie(b.used, b.path); });
  for (const Entry& entry : entries) {
    if (total <= limit_bytes_ / 4 * 3) break;
    std::error_code gone;
    fs::remove(entry.path, gone);
    total -= entry.size;
  }
}

}  // namespace heed
