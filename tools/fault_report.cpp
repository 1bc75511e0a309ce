// A reproducer holds the command line and the model files it names.
#include "tools/fault_report.h"

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tools/command.h"
#include "tools/version.h"

namespace heed {

int report_own_fault(const std::string& what, int count, char** arguments) {
  std::string report = fmt::format("# {}\n# {}\n# command:", version_text(), what);
  std::string models;
  for (int k = 0; k < count; ++k) {
    std::string argument = arguments[k];
    report += " " + argument;
    std::string path = argument.substr(0, argument.find(".heed") == std::string::npos ? 0 : argument.find(".heed") + 5);
    std::ifstream file(path);
    if (path.empty() || !file) continue;
    std::stringstream text;
    text << file.rdbuf();
    models += fmt::format("\n# --- {}\n{}", path, text.str());
  }
  std::error_code ignored;
  std::filesystem::path path =
      std::filesystem::temp_directory_path(ignored) / fmt::format("heed-fault-{}.heed", std::hash<std::string>{}(report));
  std::ofstream(path) << report << "\n" << models;
  fmt::print(stderr, "heed: a fault of its own: {}\nwhat is needed to reproduce it is in {}\n", what, path.string());
  return own_fault;
}

}  // namespace heed
