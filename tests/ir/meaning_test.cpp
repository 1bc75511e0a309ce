// tests/language/meaning/*.heed: functions without inputs that return truths, all of which hold.
#include <gtest/gtest.h>

#include <filesystem>
#include <set>

#include "ir/evaluate.h"
#include "ir/language/module.h"

namespace heed {
namespace {

bool all_true(const Tensor& tensor) {
  for (std::int64_t k = 0; k < tensor.count(); ++k)
    if (!tensor.integer(k)) return false;
  return tensor.dtype == DType::boolean;
}

TEST(Language, MeansWhatItSays) {
  std::set<std::filesystem::path> files;  // in order
  for (const auto& entry : std::filesystem::directory_iterator(HEED_SOURCE_DIR "/tests/language/meaning")) files.insert(entry.path());
  for (const auto& path : files) {
    Diagnostics diagnostics;
    auto module = load_module(path, diagnostics);
    ASSERT_TRUE(module) << diagnostics.text(false);
    for (const EntryInfo& entry : entries(*module)) {
      if (!module->functions.at(entry.name)->inputs.empty()) continue;
      auto made = elaborate(*module, {.entry = entry.name}, diagnostics);
      ASSERT_TRUE(made) << entry.name << "\n" << diagnostics.text(false);
      std::vector<Tensor> results = evaluate(made->graph, {});
      for (std::size_t k = 0; k < results.size(); ++k)
        EXPECT_TRUE(all_true(results[k]) || results[k].dtype != DType::boolean)
            << path.filename() << ": result " << k << " of " << entry.name;
    }
  }
}

}  // namespace
}  // namespace heed
