// Files of passes: a graph before, the passes, the graph after, as text. A case is
//   # case: what it shows
//   # passes: name, name
//   (a function or model)
//   # after
//   (what it is after the passes, in flat form)
// Both graphs are evaluated on the same random inputs. HEED_BLESS=1 writes what comes out into the file.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>

#include "gradient_check.h"
#include "ir/evaluate.h"
#include "ir/print.h"
#include "ir/verify.h"
#include "passes/differentiate.h"
#include "passes/pipeline.h"

namespace heed {
namespace {

namespace fs = std::filesystem;

struct Case {
  std::string title;
  std::vector<std::string> passes;
  std::string before, after;
};

std::vector<Case> cases_of(std::istream& file) {
  std::vector<Case> cases;
  std::string* text = nullptr;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("# case: ")) {
      cases.push_back({line.substr(8)});
      text = &cases.back().before;
    } else if (line.starts_with("# passes: ")) {
      std::istringstream names(line.substr(10));
      for (std::string name; std::getline(names >> std::ws, name, ',');) cases.back().passes.push_back(name);
    } else if (line == "# after") {
      text = &cases.back().after;
    } else if (text) {
      *text += line + "\n";
    }
  }
  return cases;
}

void write(const fs::path& path, const std::string& top, const std::vector<Case>& cases) {
  std::ofstream file(path);
  file << top;
  for (const Case& each : cases) {
    file << "\n# case: " << each.title << "\n# passes: ";
    for (std::size_t k = 0; k < each.passes.size(); ++k) file << (k ? ", " : "") << each.passes[k];
    file << "\n" << each.before << "# after\n" << each.after;
  }
}

std::string trimmed(std::string text) {
  text.erase(0, text.find_first_not_of('\n'));
  while (text.ends_with("\n\n")) text.pop_back();
  return text;
}

std::vector<Tensor> values_of(const Graph& graph) {
  const Graph expanded = differentiate(graph);
  std::map<std::string, Tensor> data;
  std::mt19937 random(11);
  for (const GraphInput& each : expanded.inputs) {
    const bool floating = is_floating(each.array->dtype);
    Tensor& tensor = data[each.array->name] = Tensor(floating ? DType::f64 : each.array->dtype, each.array->shape);
    const Interval range = each.array->range.value_or(Interval{0, 2});
    for (std::int64_t k = 0; k < tensor.count(); ++k) {
      if (floating)
        tensor.set(k, std::uniform_real_distribution<double>(-1, 1)(random));
      else
        tensor.set(k, range.low + static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(range.high - range.low + 1)));
    }
  }
  return evaluate(expanded, data, {EvaluateOptions::Precision::f64});
}

void expect_same_values(const Graph& a, const Graph& b) {
  const std::vector<Tensor> left = values_of(a), right = values_of(b);
  ASSERT_EQ(left.size(), right.size());
  for (std::size_t k = 0; k < left.size(); ++k) {
    ASSERT_EQ(left[k].shape, right[k].shape);
    for (std::int64_t m = 0; m < left[k].count(); ++m)
      if (left[k].real(m) != right[k].real(m))  // Infinities are equal, too.
        ASSERT_NEAR(left[k].real(m), right[k].real(m), 1e-12 * (1 + std::abs(left[k].real(m)))) << "result " << k << ", element " << m;
  }
}

// As text whose order and names depend on the text alone.
std::string shown(const Graph& graph) { return print(graph_of_text(print(graph))); }

class PassFile : public testing::TestWithParam<std::string> {};

TEST_P(PassFile, GivesWhatItSays) {
  const fs::path path = fs::path(HEED_SOURCE_DIR) / "tests/passes" / GetParam();
  std::ifstream file(path);
  std::vector<Case> cases = cases_of(file);
  ASSERT_FALSE(cases.empty());
  for (Case& each : cases) {
    SCOPED_TRACE(each.title);
    const Graph before = graph_of_text(each.before);
    const Graph after = run_passes(before, {.only = each.passes});
    verify(after, each.passes.back());
    expect_same_values(before, after);
    if (std::getenv("HEED_BLESS")) {
      each.after = shown(after);
      continue;
    }
    ASSERT_FALSE(trimmed(each.after).empty()) << "nothing is said of what comes out: HEED_BLESS=1 writes it";
    EXPECT_EQ(print(graph_of_text(each.after)), shown(after));
  }
  if (!std::getenv("HEED_BLESS")) return;
  std::ifstream again(path);
  std::string top;
  for (std::string line; std::getline(again, line) && !line.starts_with("# case: ");)
    if (!line.empty()) top += line + "\n";
  for (Case& each : cases) each.before = trimmed(each.before);
  write(path, top, cases);
}

std::vector<std::string> pass_files() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(HEED_SOURCE_DIR) / "tests/passes"))
    if (entry.path().extension() == ".heed") names.push_back(entry.path().filename().string());
  std::ranges::sort(names);
  return names;
}

INSTANTIATE_TEST_SUITE_P(Files, PassFile, testing::ValuesIn(pass_files()),
                         [](const auto& info) { return info.param.substr(0, info.param.find('.')); });

}  // namespace
}  // namespace heed
