// Arrays and regions in words.
#include "passes/describe.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>

#include "ir/algebra.h"
#include "ir/function.h"
#include "ir/region_frame.h"
#include "passes/describe_blocks.h"
#include "passes/kind.h"

namespace heed {

namespace {

const Origin& origin_of(ArrayRef array) { return array->arena->origin(array->origin); }

void add_once(std::vector<std::string>& words, std::string word) {
  if (!word.empty() && std::ranges::find(words, word) == words.end()) words.push_back(std::move(word));
}

std::string first_words(const std::vector<std::string>& words) {
  constexpr std::size_t shown = 4;
  if (words.size() <= shown) return fmt::format("{}", fmt::join(words, ", "));
  return fmt::format("{}, …", fmt::join(words.begin(), words.begin() + shown, ", "));
}

std::string words_of_map(Expr body) {
  std::vector<std::string> words;
  for (Expr node : nodes_of(body)) {
    if (node->op == Op::function) add_once(words, std::string(node->function->name));
    if (!is_floating(node->dtype)) continue;
    if (node->op == Op::product) add_once(words, "multiply");
    if (node->op == Op::linear) add_once(words, node->operands.size() > 1 || node->real != 0 ? "add" : "scale");
    if (node->op == Op::read && !std::ranges::all_of(node->operands, is_affine)) add_once(words, "gather");
    if (node->op == Op::cast) add_once(words, fmt::format("to {}", name_of(node->to)));
  }
  if (!words.empty()) return first_words(words);
  if (is_constant(body)) return "constant";
  return std::ranges::any_of(nodes_of(body), [](Expr node) { return node->op == Op::read; }) ? "move" : "numbers";
}

// Which axes of what it reads a reduction takes together.
std::string reduced_axes(Expr reduction) {
  Expr source = nullptr;
  auto reduces = [&](Expr index) {
    return index->op == Op::axis && std::ranges::find(reduction->axes, index->axes[0]) != reduction->axes.end();
  };
  for (Expr node : nodes_of(reduction->operands[0]))
    if (node->op == Op::read && std::ranges::any_of(node->operands, reduces) &&
        (!source || node->operands.size() > source->operands.size()))
      source = node;
  if (reduction->axes.size() > 1) return reduction->free.empty() ? "over everything" : fmt::format("over {} axes", reduction->axes.size());
  if (!source) return "over one axis";
  std::size_t place = 0;
  while (!reduces(source->operands[place])) ++place;
  if (source->operands.size() == 1) return "over everything";
  return place + 1 == source->operands.size() ? "over the last axis" : fmt::format("over axis {}", place);
}

std::string product_words(const ProductForm& form) {
  std::string sizes = fmt::format("{}x{}x{}", span_of(form.m), span_of(form.n), span_of(form.k));
  return form.batch.empty() ? "product " + sizes : fmt::format("{} products {}", span_of(form.batch), sizes);
}

std::string reduction_words(ArrayRef array) {
  Expr reduction = root_reduction(array);
  if (!reduction) return "reductions";
  return fmt::format("{} {}", record_of(reduction->reduction).name, reduced_axes(reduction));
}

}  // namespace

bool is_named(const std::string& what) { return !what.empty() && (std::isalpha(static_cast<unsigned char>(what[0])) || what[0] == '_'); }

std::string words_of(ArrayRef array) {
  const std::string& what = origin_of(array).what;
  switch (array->kind) {
    case Array::Kind::input:
      return "input";
    case Array::Kind::scanned:
      return "scan";
    case Array::Kind::gradient:
      return "gradient";
    case Array::Kind::definition:
      break;
  }
  switch (kind_of(array)) {
    case Kind::product:
      return product_words(*product_form_of(array));
    case Kind::scatter:
      return is_named(what) ? what + ", scatter" : "scatter";
    case Kind::reduction:
      return is_named(what) ? fmt::format("{}: {}", what, reduction_words(array)) : reduction_words(array);
    case Kind::map:
      return is_named(what) ? what : words_of_map(array->body);
  }
  return "";
}

// "weight" of `h.3.fc.weight`; what made it where it has no name.
static std::string short_name(ArrayRef array) {
  return array->name.empty() ? call_words(array) : array->name.substr(array->name.rfind('.') + 1);
}

std::string inside_words(ArrayRef array, const AxisNames& names) {
  if (array->kind != Array::Kind::definition) return words_of(array);
  auto axes = [&](const std::vector<AxisRef>& bound) {
    std::vector<std::string> texts;
    for (AxisRef axis : bound) {
      std::string name = names.name(array, axis);
      if (axis->size > 1 || bound.size() == 1) texts.push_back(name.empty() ? fmt::format("{}", axis->size) : name);
    }
    return fmt::format("{}", fmt::join(texts, " and "));
  };
  const std::string& what = origin_of(array).what;
  std::string call = is_named(what) ? what + ": " : "";
  Expr reduction = root_reduction(array);
  switch (kind_of(array)) {
    case Kind::product: {
      std::vector<std::string> operands;
      for (Expr node : nodes_of(array->body))
        if (node->op == Op::read) add_once(operands, short_name(node->array));
      std::string of = operands.size() == 2 ? fmt::format(" of {} and {}", operands[0], operands[1]) : "";
      return fmt::format("{}product{} over {}", what.starts_with("gradient") ? "gradient: " : "", of, axes(reduction->axes));
    }
    case Kind::reduction:
      if (!reduction) return words_of(array);
      return fmt::format("{}{} over {}", call, record_of(reduction->reduction).name, axes(reduction->axes));
    case Kind::scatter:
      return words_of(array);
    case Kind::map:
      return call + words_of_map(array->body);
  }
  return "";
}

std::string call_words(ArrayRef array) {
  static constexpr std::pair<std::string_view, std::string_view> operators[] = {{"@", "product"},  {"+", "add"},    {"-", "subtract"},
                                                                                {"*", "multiply"}, {"/", "divide"}, {"**", "power"},
                                                                                {"==", "equal"},   {"<", "less"},   {">", "greater"}};
  const std::string& what = origin_of(array).what;
  if (array->kind != Array::Kind::definition) return words_of(array);
  for (const auto& [symbol, word] : operators)
    if (what == symbol) return std::string(word);
  return what.empty() ? words_of(array) : what;
}

std::string label_of(const Region& region) {
  if (region.blocks) return label_of_blocks(region);
  std::vector<ArrayRef> arrays = arrays_of(region);
  std::vector<std::string> words, over;
  int reductions = 0;
  for (ArrayRef array : arrays) {
    Kind kind = kind_of(array);
    const std::string& what = origin_of(array).what;
    if (kind == Kind::product || kind == Kind::scatter)
      add_once(words, words_of(array));
    else if (is_named(what))
      add_once(words, what);
    else if (kind == Kind::map)
      add_once(words, words_of_map(array->body));
    if (kind != Kind::reduction) continue;
    Expr reduction = root_reduction(array);
    ++reductions;
    if (reduction) add_once(over, reduced_axes(reduction));
    if (reduction && !is_named(what)) add_once(words, std::string(record_of(reduction->reduction).name) + (reductions > 1 ? "s" : ""));
  }
  std::string label = first_words(words);
  if (over.size() == 1) label += " " + over[0];
  return label;
}

std::string source_of(ArrayRef array) {
  const Origin& origin = origin_of(array);
  std::string line = origin.line > 0 ? fmt::format("{}:{}", origin.file, origin.line) : origin.file;
  if (origin.path.empty()) return line;
  return line.empty() ? origin.path : fmt::format("{} ({})", origin.path, line);
}

std::string source_of(const Region& region) { return region.outputs.empty() ? "" : source_of(region.outputs[0]); }

}  // namespace heed
