// A child process with its output in files.
#include "tests/tools/run_heed.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace heed {

namespace fs = std::filesystem;

std::vector<double> numbers_of(const std::string& text) {
  std::vector<double> all;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    char* end = nullptr;
    double number = std::strtod(word.c_str(), &end);
    if (end != word.c_str() && *end == 0) all.push_back(number);
  }
  return all;
}

std::string read_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

fs::path source_folder() { return fs::absolute(HEED_SOURCE_DIR); }

fs::path data_folder(const std::string& name) {
  const char* given = std::getenv("HEED_DATA");
  return (given ? fs::path(given) : source_folder() / "../shared/data") / name;
}

Folder::Folder() {
  static std::atomic<int> count{0};
  path_ = fs::temp_directory_path() / ("heed-test-" + std::to_string(getpid()) + "-" + std::to_string(count++));
  fs::create_directories(path_);
}

Folder::~Folder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

fs::path Folder::write(const std::string& name, const std::string& text) const {
  std::ofstream(path_ / name, std::ios::binary) << text;
  return path_ / name;
}

Outcome run_program(const std::vector<std::string>& command, const fs::path& folder) {
  Folder streams;
  std::string output = streams / "output", errors = streams / "errors";
  pid_t child = fork();
  if (child < 0) throw std::runtime_error("fork failed");
  if (child == 0) {
    int out = open(output.c_str(), O_WRONLY | O_CREAT, 0600), err = open(errors.c_str(), O_WRONLY | O_CREAT, 0600);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    if (chdir(folder.c_str()) != 0) _exit(127);
    std::vector<char*> arguments;
    for (const std::string& each : command) arguments.push_back(const_cast<char*>(each.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read_text(output), read_text(errors)};
}

Outcome run_heed(const std::vector<std::string>& arguments, const fs::path& folder) {
  static const bool cache_is_ours = setenv("XDG_CACHE_HOME", (fs::path(HEED_BINARY).parent_path() / "test-cache").c_str(), 1) == 0;
  if (!cache_is_ours) throw std::runtime_error("the environment cannot be set");
  std::vector<std::string> command{HEED_BINARY};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_program(command, folder);
}

}  // namespace heed
