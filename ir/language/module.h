// A parsed file with what it imports. Names at its top level are found here, those of the prelude behind them.
#pragma once
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "ir/language/elaborate.h"
#include "ir/language/syntax.h"

namespace heed {

struct Module {
  SourceFile source;
  syntax::File file;
  std::string folder;                                            // of the file, ends with `/` unless empty
  bool is_library = false;                                       // built into the binary
  std::map<std::string, std::shared_ptr<const Module>> imports;  // by alias
  std::shared_ptr<const Module> prelude;                         // null in the prelude itself

  std::map<std::string, const syntax::Function*> functions;
  std::map<std::string, const syntax::Binding*> lets;
  std::map<std::string, const syntax::Train*> trains;  // by model
  std::set<std::string> lost;                          // names whose definitions are mistaken: nothing is said of their uses
};

// Reports the mistakes of the definitions that could be read, in a file of which others could not.
void check_rest(const Module& module, Diagnostics& diagnostics);

std::vector<std::string> top_level_names(const Module& module);
std::string list_in_words(const std::vector<std::string>& names);  // "`a`, `b` and `c`"

}  // namespace heed
