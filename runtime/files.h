// Files read whole, unpacked where they are compressed, and files that are replaced whole or not at all.
#pragma once
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace heed {

using Bytes = std::vector<std::byte>;

// Throws InputError that names the file and the system's reason.
Bytes read_file(const std::string& path);
std::string_view text_of(std::span<const std::byte> bytes);

// Unpacks gzip or xz, told by their first bytes; other contents are returned as they are.
Bytes unpack(Bytes packed, const std::string& path);

// The name under which a file is there: as given, or with .gz or .xz.
std::optional<std::string> find_packed(const std::string& path);
// The contents of `path`, `path`.gz or `path`.xz, unpacked.
Bytes read_packed(const std::string& path);

void make_folder(const std::string& path);

// Holds a folder for one process while it lives, and clears away what a killed one left half-written there. Throws InputError when
// another process holds it.
class FolderLock {
 public:
  explicit FolderLock(const std::string& path);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int handle_;
};

// Writes beside `path` and takes its place when `commit` is called: synced, renamed, the folder synced. Without a commit, or when
// anything fails (a full disk), what was there stays whole and nothing is left behind. Throws InputError.
class ReplacedFile {
 public:
  explicit ReplacedFile(std::string path);
  ~ReplacedFile();
  ReplacedFile(const ReplacedFile&) = delete;
  ReplacedFile& operator=(const ReplacedFile&) = delete;
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  void commit();

 private:
  [[noreturn]] void fail(const char* what);
  std::string path_, temporary_;
  int file_ = -1;
};

void replace_file(const std::string& path, std::string_view text);

}  // namespace heed
