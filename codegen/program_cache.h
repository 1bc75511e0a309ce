// Whole programs in the cache, beside their kernels: one that is found there needs neither a plan nor LLVM's optimiser.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "codegen/compile.h"

namespace heed {

class ProgramCache {
 public:
  // `what` determines the program, the options and this build of heed apart.
  ProgramCache(std::string_view what, const CompileOptions& options);

  struct Found {
    std::optional<Compilation> compilation;
    std::string note;      // that it was stored with
    std::string why_none;  // in words, where there is none
  };
  Found find() const;
  void store(const Compilation& compilation, const std::string& note) const;

 private:
  const CompileOptions& options_;
  ObjectCache cache_;
  std::string file_;  // empty: programs are not kept
};

}  // namespace heed
