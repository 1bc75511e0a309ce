// Runs the heed binary as a user would.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace heed {

struct Outcome {
  int status;  // exit status, or 128 + the signal
  std::string output, errors;
};

// In `folder`, with the given arguments; kernels are cached in a folder of the tests' own.
Outcome run_heed(const std::vector<std::string>& arguments, const std::filesystem::path& folder = ".");
Outcome run_program(const std::vector<std::string>& command, const std::filesystem::path& folder = ".");

// A new empty folder that goes with the object.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path write(const std::string& name, const std::string& text) const;

 private:
  std::filesystem::path path_;
};

// The words of a text that are numbers.
std::vector<double> numbers_of(const std::string& text);
std::string read_text(const std::filesystem::path& path);
std::filesystem::path source_folder();                       // of this repository
std::filesystem::path data_folder(const std::string& name);  // of data that is not part of it: $HEED_DATA or ../shared/data; may not exist

}  // namespace heed
