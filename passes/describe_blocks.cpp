// Finds what a region in blocks is about: the values with queries and keys, what normalises them, what masks them.
#include "passes/describe_blocks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <stdexcept>

#include "ir/algebra.h"
#include "ir/function.h"
#include "ir/region_frame.h"
#include "passes/describe.h"
#include "passes/kind.h"

namespace heed {

namespace {

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

void add_once(std::vector<std::string>& words, const std::string& word) {
  if (!has(words, word)) words.push_back(word);
}

const std::string& what_of(ArrayRef array) { return array->arena->origin(array->origin).what; }
bool is_gradient(ArrayRef array) { return what_of(array).starts_with("gradient"); }

// A maximum, or what is made of one elementwise: what is subtracted inside of a softmax.
bool comes_from_maximum(ArrayRef array) {
  if (!array->body) return false;
  if (std::ranges::any_of(nodes_of(array->body),
                          [](Expr node) { return node->op == Op::reduction && node->reduction == Reduction::maximum; }))
    return true;
  return kind_of(array) == Kind::map && std::ranges::any_of(reads_of(array), comes_from_maximum);
}

// No score survives it.
bool is_masked(Expr branch) {
  constexpr double low = -1e4;
  return is_constant(branch) && is_floating(branch->dtype) && (branch->real == 0 || branch->real <= low);
}

class Teller {
 public:
  Teller(const Region& region, RegionFrame frame) : blocks_(*region.blocks), outputs_(region.outputs), frame_(std::move(frame)) {
    find_crossing();
    find_roles();
  }

  std::string tell() {
    bool any_gradient = std::ranges::any_of(outputs_, is_gradient), all = std::ranges::all_of(outputs_, is_gradient);
    std::string core = core_words();
    std::vector<std::string> words{all ? "gradient of " + core : any_gradient ? core + " and its gradient" : core};
    for (const std::string& word : masks()) add_once(words, word);
    for (const std::string& word : additions()) add_once(words, word);
    words.push_back(blocks_.passes == 1 ? "one pass" : fmt::format("{} passes", blocks_.passes));
    return fmt::format("{}", fmt::join(words, ", "));
  }

 private:
  int joined(std::size_t k, AxisRef axis) const {
    auto found = frame_.axis_of[k].find(axis);
    return found == frame_.axis_of[k].end() ? -1 : found->second;
  }
  bool is_crossing(int axis) const { return has(crossing_, axis); }
  // Axes of an expression of array k among the crossing ones.
  std::vector<int> crossing_of(std::size_t k, const AxisSet& axes) const {
    std::vector<int> found;
    for (AxisRef axis : axes)
      if (int at = joined(k, axis); is_crossing(at)) found.push_back(at);
    return found;
  }
  bool is_large(std::size_t k) const { return crossing_of(k, positions(frame_.arrays[k])).size() == crossing_.size(); }

  // Of the largest product that is never stored, the axes that one operand alone has. If there is none, the axes of the largest value but
  // those of which a block has one position.
  void find_crossing() {
    std::size_t largest = frame_.arrays.size();
    bool is_product = false;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k) {
      if (has(outputs_, frame_.arrays[k])) continue;
      bool product = kind_of(frame_.arrays[k]) == Kind::product;
      if (largest == frame_.arrays.size() || product > is_product ||
          (product == is_product && element_count(frame_.arrays[k]) > element_count(frame_.arrays[largest])))
        largest = k, is_product = product;
    }
    if (largest == frame_.arrays.size()) return;
    std::vector<AxisRef> batch;
    if (is_product) batch = product_form_of(frame_.arrays[largest])->batch;
    for (AxisRef axis : positions(frame_.arrays[largest])) {
      int at = joined(largest, axis);
      if (at >= 0 && (is_product ? !has(batch, axis) : !has(blocks_.axes.units, at))) crossing_.push_back(at);
    }
  }

  // Keys are what the first product of the scores sums over. A product of a gradient that takes the weights sums over the queries.
  void find_roles() {
    for (std::size_t k = 0; k < frame_.arrays.size() && key_ < 0; ++k) {
      ArrayRef array = frame_.arrays[k];
      Expr sum = root_reduction(array);
      if (is_large(k) || crossing_.size() < 2 || !sum || kind_of(array) != Kind::product) continue;
      for (Expr node : nodes_of(sum)) {
        if (node->op != Op::read || !has(frame_.arrays, node->array) || is_gradient(node->array)) continue;
        if (crossing_of(k, node->free).size() != crossing_.size()) continue;
        for (AxisRef axis : sum->axes) {
          int summed = joined(k, axis);
          if (!is_crossing(summed)) continue;
          int other = *std::ranges::find_if(crossing_, [&](int each) { return each != summed; });
          key_ = is_gradient(array) ? other : summed;
          query_ = is_gradient(array) ? summed : other;
        }
      }
    }
  }

  std::string name_of(int axis) const {
    if (axis == key_) return "keys";
    if (axis == query_) return "queries";
    return axis == crossing_.back() ? "the last axis" : fmt::format("an axis of {}", frame_.sizes[static_cast<std::size_t>(axis)]);
  }

  // Axes along which exponentials share what is subtracted in them, or of which the sum is taken.
  std::vector<int> normalised_axes() const {
    std::vector<int> found;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k) {
      for (Expr node : nodes_of(frame_.arrays[k]->body)) {
        if (node->op != Op::function || node->function != &functions::exp) continue;
        std::vector<int> own = crossing_of(k, node->free);
        for (Expr inside : nodes_of(node)) {
          if (inside->op != Op::read || !comes_from_maximum(inside->array)) continue;
          std::vector<int> shared = crossing_of(k, inside->free);
          for (int axis : own)
            if (!has(shared, axis) && !has(found, axis)) found.push_back(axis);
        }
      }
      if (!found.empty()) return found;
    }
    return summed_axes([](ArrayRef array) {
      Expr body = array->body->op == Op::select ? array->body->operands[1] : array->body;
      return body->op == Op::function && body->function == &functions::exp;
    });
  }

  // Crossing axes of which the place of the largest value is taken.
  std::vector<int> argmax_axes() const {
    std::vector<int> found;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k)
      for (Expr node : nodes_of(frame_.arrays[k]->body))
        if (node->op == Op::reduction && node->reduction == Reduction::argmax)
          for (AxisRef axis : node->axes)
            if (int at = joined(k, axis); is_crossing(at) && !has(found, at)) found.push_back(at);
    return found;
  }

  // Crossing axes that a sum of such an array alone is taken over.
  std::vector<int> summed_axes(const std::function<bool(ArrayRef)>& of) const {
    std::vector<int> found;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k) {
      Expr sum = root_reduction(frame_.arrays[k]);
      if (!sum || sum->reduction != Reduction::sum || is_gradient(frame_.arrays[k])) continue;
      Expr summand = sum->operands[0];
      if (summand->op == Op::select && is_constant(summand->operands[2], 0)) summand = summand->operands[1];
      if (summand->op != Op::read || !has(frame_.arrays, summand->array) || is_gradient(summand->array) || !of(summand->array)) continue;
      for (AxisRef axis : sum->axes)
        if (int at = joined(k, axis); is_crossing(at) && !has(found, at)) found.push_back(at);
    }
    return found;
  }

  std::string over(const std::vector<int>& axes) const {
    std::vector<std::string> names;
    for (int axis : axes) names.push_back(name_of(axis));
    return fmt::format("over {}", fmt::join(names, " and "));
  }

  std::string core_words() const {
    if (std::vector<int> axes = normalised_axes(); !axes.empty()) return "softmax " + over(axes);
    if (std::vector<int> axes = argmax_axes(); !axes.empty()) return "the largest " + over(axes);
    if (std::vector<int> axes = summed_axes([](ArrayRef) { return true; }); !axes.empty()) return "normalised by the sum " + over(axes);
    std::vector<std::string> calls;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k)
      if (is_large(k) && is_named(what_of(frame_.arrays[k])) && !is_gradient(frame_.arrays[k])) add_once(calls, what_of(frame_.arrays[k]));
    for (const std::string& name : functions_of_scores()) add_once(calls, name);
    std::string words = calls.empty() ? "scores" : fmt::format("{}", fmt::join(calls, ", "));
    return key_ >= 0 ? words + " summed over keys" : words;
  }

  // Functions of values with queries and keys.
  std::vector<std::string> functions_of_scores() const {
    std::vector<std::string> names;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k) {
      if (!is_large(k)) continue;
      for (Expr node : nodes_of(frame_.arrays[k]->body)) {
        if (node->op != Op::function || node->function->domain != ScalarFunction::Domain::floating) continue;
        if (crossing_of(k, node->free).size() < crossing_.size()) continue;
        static const std::vector<const ScalarFunction*> silent{&functions::exp, &functions::reciprocal_or_zero, &functions::stop_gradient,
                                                               &functions::straight_through};
        if (!has(silent, node->function)) add_once(names, std::string(node->function->name));
      }
    }
    return names;
  }

  std::vector<std::string> masks() const {
    std::vector<std::string> found;
    int query = query_, key = key_;
    if (key < 0 && crossing_.size() == 2) query = crossing_[0], key = crossing_[1];
    if (key < 0) return found;
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k) {
      AxisRef rows = nullptr, columns = nullptr;
      for (const auto& [axis, at] : frame_.axis_of[k]) {
        if (at == query) rows = axis;
        if (at == key) columns = axis;
      }
      if (!rows || !columns) continue;
      for (Expr node : nodes_of(frame_.arrays[k]->body)) {
        if (node->op != Op::select) continue;
        bool yes = is_masked(node->operands[2]), no = is_masked(node->operands[1]);
        if (yes && no) (node->operands[1]->real < node->operands[2]->real ? yes : no) = false;
        if (yes == no) continue;
        Expr keep = yes ? node->operands[0] : negate(node->operands[0]);
        for (const std::string& word : mask_words(keep, rows, columns)) add_once(found, word);
      }
    }
    return found;
  }

  // What else goes into the scores: tables with a value for each pair, distances, functions.
  std::vector<std::string> additions() const {
    std::vector<std::string> found;
    bool is_normalised = !normalised_axes().empty() || !summed_axes([](ArrayRef) { return true; }).empty();
    if (is_normalised)
      for (const std::string& name : functions_of_scores()) add_once(found, name);
    for (std::size_t k = 0; k < frame_.arrays.size(); ++k) {
      if (!is_large(k)) continue;
      for (Expr node : nodes_of(frame_.arrays[k]->body)) {
        if (crossing_of(k, node->free).size() < crossing_.size()) continue;
        if (node->op == Op::read && is_floating(node->dtype) && !has(frame_.arrays, node->array))
          add_once(found, "plus " + (node->array->name.empty() ? std::string("a stored bias") : node->array->name));
        if (node->op == Op::cast && !is_floating(node->operands[0]->dtype) && is_floating(node->dtype) &&
            node->operands[0]->op == Op::linear)
          add_once(found, "plus distances");
      }
    }
    return found;
  }

  const Blocks& blocks_;
  const std::vector<ArrayRef>& outputs_;
  RegionFrame frame_;
  std::vector<int> crossing_;
  int query_ = -1, key_ = -1;
};

}  // namespace

std::string label_of_blocks(const Region& region) {
  std::optional<RegionFrame> frame = region_frame_of_any(arrays_of(region));
  if (!frame) throw std::logic_error("describe: a region in blocks whose axes do not join");
  return Teller(region, std::move(*frame)).tell();
}

BlockCount count_blocks(const Blocks& blocks) {
  double units = 1, made = 0;
  for (std::int64_t unit : blocks.units) units *= static_cast<double>(unit);
  BlockCount count{.rows = blocks.rows};
  // Blocks of the narrowest size; a wider one is several. In passes each is met in every pass, and between them are some of no columns.
  for (const Blocks::Size& size : blocks.sizes)
    if (size.columns > 0 && (count.columns == 0 || size.columns < count.columns)) count.columns = size.columns;
  if (!blocks.kept.empty()) count.columns = blocks.columns;
  for (const Blocks::Block& block : blocks.blocks) {
    std::int64_t columns = blocks.sizes[static_cast<std::size_t>(block.body)].columns;
    if (columns == 0 && count.columns > 0) continue;
    made += count.columns > 0 ? static_cast<double>(columns) / static_cast<double>(count.columns) : 1;
  }
  made /= blocks.passes;
  count.made = std::llround(made * units);
  if (blocks.visited > 0) count.skipped = std::llround(made * units * (1 / blocks.visited - 1));
  return count;
}

std::string words_of(const BlockCount& count) {
  std::string size = count.columns > 0 ? fmt::format("{} x {}", count.rows, count.columns) : fmt::format("{} rows", count.rows);
  std::string text = fmt::format("{} block{} of {}", count.made, count.made == 1 ? "" : "s", size);
  if (count.skipped == 0) return text;
  double share = static_cast<double>(count.skipped) / static_cast<double>(count.made + count.skipped);
  return text + fmt::format(", {} skipped ({:.0f} %)", count.skipped, 100 * share);
}

}  // namespace heed
