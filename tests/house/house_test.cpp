// The rules of the house that a program can check: who includes whom, and words that must not appear.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;
const fs::path root = HEED_SOURCE_DIR;

struct Source {
  std::string path;  // from the root
  std::string text;
};

std::vector<Source> sources() {
  std::vector<Source> found;
  for (std::string folder : {"ir", "passes", "runtime", "codegen", "tools", "tests"})
    for (const auto& entry : fs::recursive_directory_iterator(root / folder)) {
      std::string extension = entry.path().extension().string();
      if (extension != ".cpp" && extension != ".h") continue;
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      found.push_back({fs::relative(entry.path(), root).string(), text.str()});
    }
  return found;
}

std::string folder_of(const std::string& path) { return path.substr(0, path.find('/')); }

std::vector<std::string> includes_of(const std::string& text) {
  static const std::regex include("#include [\"<]([^\">]+)[\">]");
  std::vector<std::string> found;
  for (std::sregex_iterator each(text.begin(), text.end(), include), end; each != end; ++each) found.push_back((*each)[1]);
  return found;
}

TEST(House, FoldersIncludeOnlyWhatTheyMay) {
  const std::map<std::string, std::set<std::string>> may = {
      {"ir", {"ir"}},
      {"passes", {"passes", "ir"}},
      {"runtime", {"runtime"}},
      {"codegen", {"codegen", "ir", "runtime"}},
      {"tools", {"tools", "ir", "passes", "runtime", "codegen"}},
  };
  for (const Source& source : sources()) {
    auto allowed = may.find(folder_of(source.path));
    if (allowed == may.end()) continue;
    for (const std::string& include : includes_of(source.text)) {
      std::string folder = folder_of(include);
      if (may.contains(folder)) EXPECT_TRUE(allowed->second.contains(folder)) << source.path << " includes " << include;
      if (folder == "llvm") EXPECT_EQ(allowed->first, "codegen") << source.path << " includes " << include;
      if (allowed->first == "codegen" && folder == "runtime")
        EXPECT_TRUE(include == "runtime/program.h" || include == "runtime/cores.h") << source.path << " includes " << include;
      EXPECT_FALSE(include.starts_with("..")) << source.path << " includes " << include << ": includes start at the root";
    }
  }
}

TEST(House, LlvmHeadersStayOutOfPublicHeaders) {
  for (const Source& source : sources())
    if (source.path == "codegen/compile.h" || (folder_of(source.path) == "tools" && source.path.ends_with(".h")))
      for (const std::string& include : includes_of(source.text)) EXPECT_NE(folder_of(include), "llvm") << source.path;
}

TEST(House, EveryFileSaysWhatItIs) {
  for (const Source& source : sources()) EXPECT_TRUE(source.text.starts_with("// ")) << source.path << " has no sentence atop";
}

TEST(House, NothingIsLeftUndoneOrNamedAfterNothing) {
  const std::string unfinished[] = {
      "TO"
      "DO",
      "FIX"
      "ME",
      "XX"
      "X"};
  const std::regex vague("(^|[/_])(utils?|helpers?|common|manager)([_.]|$)");
  for (const Source& source : sources()) {
    for (const std::string& word : unfinished)
      EXPECT_FALSE(std::regex_search(source.text, std::regex("\\b" + word + "\\b"))) << source.path << " has " << word;
    EXPECT_FALSE(std::regex_search(source.path, vague)) << source.path << " is a vague name";
    if (source.path.ends_with(".h")) {
      EXPECT_NE(source.text.find("#pragma once"), std::string::npos) << source.path;
      EXPECT_EQ(source.text.find("using namespace"), std::string::npos) << source.path;
    }
  }
}

}  // namespace
