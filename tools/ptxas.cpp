// Runs ptxas and reads what it prints.
#include "tools/ptxas.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <regex>
#include <sstream>

#include "tools/command.h"

namespace heed {
namespace {

bool is_program(const std::string& path) { return access(path.c_str(), X_OK) == 0 && std::filesystem::is_regular_file(path); }

// Everything a program prints, and its exit status.
std::pair<std::string, int> output_of(const std::vector<std::string>& words) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw UserError("no pipe can be made for ptxas");
  pid_t child = fork();
  if (child < 0) throw UserError("no process can be started for ptxas");
  if (child == 0) {
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[0]);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(ends[1]);
  std::string text;
  std::array<char, 4096> piece{};
  for (ssize_t count; (count = read(ends[0], piece.data(), piece.size())) > 0;) text.append(piece.data(), static_cast<std::size_t>(count));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return {text, WIFEXITED(status) ? WEXITSTATUS(status) : -1};
}

}  // namespace

std::string find_ptxas() {
  if (const char* named = std::getenv("HEED_PTXAS")) {
    if (!is_program(named)) throw UserError(fmt::format("HEED_PTXAS={}: no such program", named));
    return named;
  }
  std::stringstream folders(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string folder; std::getline(folders, folder, ':');)
    if (is_program(folder + "/ptxas")) return folder + "/ptxas";
  const char* toolkit = std::getenv("CUDA_HOME");
  for (const std::string& folder : {std::string(toolkit ? toolkit : ""), std::string("/usr/local/cuda"), std::string("/opt/cuda")})
    if (!folder.empty() && is_program(folder + "/bin/ptxas")) return folder + "/bin/ptxas";
  return {};
}

AssemblyReport assemble(const std::string& ptxas, const std::string& target, const std::string& file) {
  auto [text, status] = output_of({ptxas, "-v", "-arch=" + target, file, "-o", "/dev/null"});
  if (status != 0) throw UserError(fmt::format("ptxas refuses {} for {}:\n{}", file, target, text));
  AssemblyReport report;
  auto number = [&](const std::regex& pattern) -> std::int64_t {
    std::smatch match;
    return std::regex_search(text, match, pattern) ? std::stoll(match[1]) : 0;
  };
  report.registers = static_cast<int>(number(std::regex("Used (\\d+) registers")));
  report.stack_bytes = number(std::regex("(\\d+) bytes stack frame"));
  report.spill_stores = number(std::regex("(\\d+) bytes spill stores"));
  report.spill_loads = number(std::regex("(\\d+) bytes spill loads"));
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (line.find("C75") != std::string::npos) report.notes.push_back(line);
  return report;
}

}  // namespace heed
