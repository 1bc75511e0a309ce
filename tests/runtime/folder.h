// A folder that is there for one test, with what is written into it, and the message of an InputError.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "input_error.h"
#include "runtime/files.h"

namespace heed {

class TestFolder {
 public:
  TestFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "heed-test-XXXXXX").string();
    path_ = mkdtemp(name.data());
  }
  ~TestFolder() {
    std::error_code none;
    std::filesystem::remove_all(path_, none);
  }
  TestFolder(const TestFolder&) = delete;
  TestFolder& operator=(const TestFolder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }
  std::string write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path(*this / name).parent_path());
    std::ofstream(*this / name, std::ios::binary) << text;
    return *this / name;
  }

 private:
  std::string path_;
};

inline std::string read_text(const std::string& path) { return std::string(text_of(read_file(path))); }

// What an InputError said, with the folder's path left out.
inline std::string message_of(const std::function<void()>& action, const std::string& folder = "") {
  try {
    action();
  } catch (const InputError& error) {
    std::string text = error.what();
    for (auto at = text.find(folder + "/"); !folder.empty() && at != std::string::npos; at = text.find(folder + "/"))
      text.erase(at, folder.size() + 1);
    return text;
  }
  return "no error";
}

}  // namespace heed
