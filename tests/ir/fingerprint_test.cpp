// Equal for equal programs in different arenas; each difference of what a program is shows.
#include "ir/fingerprint.h"

#include <gtest/gtest.h>

#include <array>
#include <map>
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

// Of each definition alone, by name.
std::map<std::string, Fragment> fragments(const std::string& text) {
  Diagnostics diagnostics;
  auto module = parse_module("m.heed", text, diagnostics);
  auto elaborated = module ? elaborate(*module, {.sizes = {{"T", 6}}}, diagnostics) : std::nullopt;
  if (!elaborated) throw std::runtime_error(diagnostics.text(false));
  static std::vector<Elaborated> kept;  // whose arrays the fragments name
  kept.push_back(std::move(*elaborated));
  std::map<std::string, Fragment> found;
  for (const GraphOutput& output : kept.back().graph.outputs) found[output.name] = fingerprint(std::array{output.array}, {});
  return found;
}

TEST(Fingerprint, OfAFragmentLeavesOutNamesAndKeepsWhatIsReadWhere) {
  auto of_each = fragments(
      "fn f(a: f32[T, 3], b: f32[T, 3], c: f32[T, 3], d: f32[T, 3], e: f32[T, 4]) -> (p: f32[T, 3], q: f32[T, 3], r: f32[T, 3], "
      "s: f32[T, 3], t: f32[T, 4], u: f32[T, 3], v: f32[T, 3]) {\n"
      "  p[i, k] = a[i, k] - 2 * b[i, k]\n  q[i, k] = c[i, k] - 2 * d[i, k]\n  r[i, k] = a[i, k] - 3 * b[i, k]\n"
      "  s[i, k] = a[i, k] * b[i, k]\n  t[i, k] = e[i, k] - 2 * e[i, 3 - k]\n"
      "  u[i, k] = a[i, k] - 2 * b[i, 2 - k]\n  v[i, k] = a[i, k] - 2 * a[i, 2 - k]\n  return p, q, r, s, t, u, v\n}\n");
  EXPECT_EQ(of_each["p"].bytes, of_each["q"].bytes);
  auto names = [&](const std::string& of) {
    std::string text;
    for (ArrayRef array : of_each[of].arrays) text += array->name + " ";
    return text;
  };
  EXPECT_EQ(names("p"), "p a b ");
  EXPECT_EQ(names("q"), "q c d ");
  std::set<std::string> known;
  for (const char* each : {"p", "r", "s", "t", "u", "v"}) EXPECT_TRUE(known.insert(of_each[each].bytes).second) << each;
}

}  // namespace
}  // namespace heed
