// Files read whole, unpacked where they are compressed, and files that are replaced whole or not at all.
#include "runtime/files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <lzma.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "input_error.h"
#include "runtime/inflate.h"

namespace heed {
namespace {

constexpr const char* unfinished = ".heed-part";  // the ending of files that are being written

std::string reason() { return std::strerror(errno); }

bool starts_with(const Bytes& bytes, std::initializer_list<unsigned char> magic) {
  if (bytes.size() < magic.size()) return false;
  std::size_t at = 0;
  for (const unsigned char byte : magic) {
    if (bytes[at++] != std::byte{byte}) return false;
  }
  return true;
}

[[noreturn]] void damaged(const std::string& path, const char* format, std::size_t size, bool truncated) {
  throw InputError(truncated ? fmt::format("{} is truncated: its {} data end after {} bytes", path, format, size)
                             : fmt::format("{} is damaged: its {} data cannot be unpacked", path, format));
}

Bytes unpack_gzip(const Bytes& packed, const std::string& path) {
  Inflated inflated = inflate(packed, Packing::gzip, path);
  if (inflated.end != Inflated::End::whole) damaged(path, "gzip", packed.size(), inflated.end == Inflated::End::truncated);
  return std::move(inflated.bytes);
}

Bytes unpack_xz(const Bytes& packed, const std::string& path) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, UINT64_MAX, LZMA_CONCATENATED) != LZMA_OK) throw InputError(path + ": no memory to unpack it");
  Bytes out(packed.size() * 4);
  stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
  stream.avail_in = packed.size();
  std::size_t used = 0;
  lzma_ret status = LZMA_OK;
  while (status == LZMA_OK) {
    if (used == out.size()) out.resize(std::max<std::size_t>(out.size() * 2, std::size_t{1} << 16));
    stream.next_out = reinterpret_cast<std::uint8_t*>(out.data() + used);
    stream.avail_out = out.size() - used;
    status = lzma_code(&stream, LZMA_FINISH);
    used = out.size() - stream.avail_out;
  }
  lzma_end(&stream);
  if (status != LZMA_STREAM_END) damaged(path, "xz", packed.size(), status == LZMA_BUF_ERROR);
  out.resize(used);
  return out;
}

void sync_folder_of(const std::string& path) {
  auto folder = std::filesystem::path(path).parent_path();
  if (folder.empty()) folder = ".";
  const int handle = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (handle < 0) return;
  fsync(handle);
  close(handle);
}

}  // namespace

std::string_view text_of(std::span<const std::byte> bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

Bytes read_file(const std::string& path) {
  const int handle = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle < 0) throw InputError(fmt::format("cannot read {}: {}", path, reason()));
  struct stat status{};
  fstat(handle, &status);
  Bytes bytes(static_cast<std::size_t>(std::max<off_t>(status.st_size, 0)));
  std::size_t used = 0;
  while (true) {  // Until the end, whatever the size said: a pipe has none.
    if (used == bytes.size()) bytes.resize(used + 4096);
    const ssize_t count = read(handle, bytes.data() + used, bytes.size() - used);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const std::string why = reason();
      close(handle);
      throw InputError(fmt::format("cannot read {}: {}", path, why));
    }
    if (count == 0) break;
    used += static_cast<std::size_t>(count);
  }
  close(handle);
  bytes.resize(used);
  return bytes;
}

Bytes unpack(Bytes packed, const std::string& path) {
  if (starts_with(packed, {0x1f, 0x8b})) return unpack_gzip(packed, path);
  if (starts_with(packed, {0xfd, '7', 'z', 'X', 'Z', 0})) return unpack_xz(packed, path);
  return packed;
}

std::optional<std::string> find_packed(const std::string& path) {
  for (const char* ending : {"", ".gz", ".xz"}) {
    std::error_code ignored;
    if (std::filesystem::exists(path + ending, ignored)) return path + ending;
  }
  return std::nullopt;
}

Bytes read_packed(const std::string& path) {
  const auto found = find_packed(path);
  if (!found) throw InputError(fmt::format("{} is missing, and so are {}.gz and {}.xz", path, path, path));
  return unpack(read_file(*found), *found);
}

void make_folder(const std::string& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) throw InputError(fmt::format("cannot make the folder {}: {}", path, error.message()));
}

FolderLock::FolderLock(const std::string& path) : handle_(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (handle_ < 0) throw InputError(fmt::format("cannot read the folder {}: {}", path, reason()));
  if (flock(handle_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    close(handle_);
    throw InputError(fmt::format("another process is writing to the folder {}: wait for it, or give another folder", path));
  }
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(path, none)) {
    if (entry.path().extension() == unfinished) std::filesystem::remove(entry.path(), none);
  }
}

FolderLock::~FolderLock() { close(handle_); }

ReplacedFile::ReplacedFile(std::string path) : path_(std::move(path)), temporary_(fmt::format("{}.{}{}", path_, getpid(), unfinished)) {
  file_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) throw InputError(fmt::format("cannot write {}: {}", path_, reason()));
}

ReplacedFile::~ReplacedFile() {
  if (file_ < 0) return;
  close(file_);
  unlink(temporary_.c_str());
}

void ReplacedFile::fail(const char* what) {
  throw InputError(fmt::format("cannot {} {}: {}; what was there before is unchanged", what, path_, reason()));
}

void ReplacedFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(file_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail("write");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
}

void ReplacedFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void ReplacedFile::commit() {
  if (fsync(file_) != 0) fail("write");
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace");
  close(file_);
  file_ = -1;
  sync_folder_of(path_);
}

void replace_file(const std::string& path, std::string_view text) {
  ReplacedFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace heed
