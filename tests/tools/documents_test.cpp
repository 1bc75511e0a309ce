// Every command in the documents runs: fenced `sh` blocks, in a folder with the files that `heed NAME` blocks before them hold.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

void run_document(const std::string& name, const Folder& folder) {
  std::istringstream document(read_text(source_folder() / name));
  std::string bin = std::filesystem::path(HEED_BINARY).parent_path().string();
  std::string line;
  int number = 0, commands = 0;
  while (std::getline(document, line)) {
    ++number;
    bool is_file = line.starts_with("```heed ");
    if (!is_file && line != "```sh") continue;
    std::string file = is_file ? line.substr(8) : "", text;
    while (std::getline(document, line) && line != "```") {
      ++number;
      text += line + "\n";
      if (is_file) continue;
      ++commands;
      Outcome outcome =
          run_program({"bash", "-c", "PATH=" + bin + ":$PATH XDG_CACHE_HOME=" + bin + "/test-cache; export PATH XDG_CACHE_HOME; " + line},
                      folder.path());
      EXPECT_EQ(outcome.status, 0) << name << ":" << number << ": " << line << "\n" << outcome.errors;
    }
    ++number;
    if (is_file) folder.write(file, text);
  }
  EXPECT_GT(commands, 0) << name << " has no commands";
}

TEST(Documents, Tutorial) {
  if (!std::filesystem::exists("/usr/share/datasets/fashion-mnist"))
    GTEST_SKIP() << "SKIPPED: Debian's dataset-fashion-mnist is not installed";
  run_document("docs/tutorial.md", Folder());
}

TEST(Documents, Readme) {
  Folder folder;
  std::filesystem::create_directory_symlink(source_folder() / "examples", folder / "examples");
  std::string text;
  for (int line = 0; line < 400; ++line) text += "To be, or not to be, that is the question: " + std::to_string(line * line) + "\n";
  folder.write("input.txt", text);
  run_document("README.md", folder);
}

TEST(Documents, Attention) {
  if (std::system("dot -V >/dev/null 2>&1") != 0) GTEST_SKIP() << "SKIPPED: Graphviz is not installed";
  run_document("docs/attention.md", Folder());
}

}  // namespace
}  // namespace heed
