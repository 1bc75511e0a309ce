// Equal for equal programs in different arenas; each difference of what a program is shows.
#include "ir/fingerprint.h"

#include <gtest/gtest.h>

#include <set>

#include "ir/language/elaborate.h"

namespace heed {
namespace {

std::string of(const std::string& text, const Sizes& sizes = {{"T", 6}}, const std::string& name = "m.heed") {
  Diagnostics diagnostics;
  auto module = parse_module(name, text, diagnostics);
  auto elaborated = module ? elaborate(*module, {.sizes = sizes}, diagnostics) : std::nullopt;
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  return fingerprint(elaborated->graph);
}

constexpr const char* text = "fn f(x: f32[T, 3], n: i32[T]) -> (y: f32[T]) {\n  return sum(2 * exp(x), axis = 1)\n}\n";
constexpr const char* loop =
    "fn f(x: f32[T, 3]) -> (y: f32[T, 3]) {\n  hs, last = scan(e in x, h = zeros([3])) {\n    h = 0.5 * h + e\n    yield h\n  }\n"
    "  return hs + last\n}\n";

std::string with(std::string changed, const std::string& from, const std::string& to) {
  std::size_t at = changed.find(from);
  if (at == std::string::npos) throw std::logic_error(from);
  return changed.replace(at, from.size(), to);
}

TEST(Fingerprint, OfTheSameTextIsTheSame) {
  EXPECT_EQ(of(text), of(text));
  EXPECT_EQ(of(loop), of(loop));
  EXPECT_EQ(of(text), of(with(text, "exp(x)", " exp( x )")));
}

TEST(Fingerprint, EveryDifferenceShows) {
  std::set<std::string> known{of(text), of(loop)};
  auto expect_new = [&](const std::string& fingerprint, const std::string& what) { EXPECT_TRUE(known.insert(fingerprint).second) << what; };
  for (auto [from, to] : {std::pair{"2 *", "3 *"},
                          {"exp", "log"},
                          {"f(x", "g(x"},
                          {"y: f32", "z: f32"},
                          {"x: f32[T, 3]", "x: f64[T, 3]"},
                          {"n: i32[T]", "n: i32[T, 1]"},
                          {"sum(", "max("},
                          {"{\n", "{\n\n"},
                          {"axis = 1", "axis = 0"},
                          {"n: i32", "n: i64"}})
    if (std::string(from) == "axis = 1")
      expect_new(of(with(with(text, "f32[T])", "f32[3])"), from, to)), from);
    else if (std::string(from) == "x: f32[T, 3]")
      expect_new(of(with(with(text, "(y: f32", "(y: f64"), from, to)), from);
    else
      expect_new(of(with(text, from, to)), from);
  for (auto [from, to] :
       {std::pair{"0.5", "0.25"}, {"zeros", "ones"}, {"scan", "reverse_scan"}, {"yield h", "yield e"}, {"+ last", "- last"}})
    expect_new(of(with(loop, from, to)), from);
  expect_new(of(text, {{"T", 7}}), "another size");
  expect_new(of(loop, {{"T", 7}}), "another length");
  expect_new(of(text, {{"T", 6}}, "n.heed"), "another file");
}

}  // namespace
}  // namespace heed
