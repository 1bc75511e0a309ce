// What a mask says of a query's and a key's index.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "ir/algebra.h"
#include "ir/function.h"
#include "passes/describe_blocks.h"

namespace heed {

namespace {

constexpr std::int64_t unlimited = std::numeric_limits<std::int64_t>::max();

bool has(Expr x, AxisRef axis) { return std::ranges::find(x->free, axis) != x->free.end(); }

std::string name_of_array(ArrayRef array) { return array->name.empty() ? "a table" : array->name; }

// The array that is read in a term, through casts.
ArrayRef read_in(Expr x) {
  while (x->op == Op::cast) x = x->operands[0];
  return x->op == Op::read ? x->array : nullptr;
}

class MaskReader {
 public:
  MaskReader(AxisRef query, AxisRef key) : query_(query), key_(key) {}

  void add(Expr condition) {
    for (Expr part : conjuncts(condition))
      if (has(part, query_) || has(part, key_)) add_part(part);
  }

  std::vector<std::string> words() {
    std::vector<std::string> all;
    if (ahead_ != unlimited) all.push_back(ahead_words());
    if (back_ != unlimited) all.push_back(back_words());
    all.insert(all.end(), others_.begin(), others_.end());
    return all;
  }

 private:
  std::string ahead_words() const {
    if (ahead_ == 0) return "causal";
    if (ahead_ == -1) return "strictly causal";
    if (ahead_ == key_->size - query_->size) return "causal from the end";
    return ahead_ > 0 ? fmt::format("at most {} ahead", ahead_) : fmt::format("at least {} back", -ahead_);
  }

  std::string back_words() const {
    if (ahead_ == 0 && back_ >= 0) return fmt::format("window of {}", back_ + 1);
    return back_ >= 0 ? fmt::format("at most {} back", back_) : fmt::format("at least {} ahead", -back_);
  }

  void say(std::string word) {
    if (std::ranges::find(others_, word) == others_.end()) others_.push_back(std::move(word));
  }

  void add_part(Expr part) {
    if (part->op == Op::at_least_zero) return add_order(linear_form(part->operands[0]));
    if (part->op == Op::is_zero) return add_equal(linear_form(part->operands[0]));
    if (part->op == Op::negation) return add_negation(part->operands[0]);
    if (part->op == Op::read) return say("where " + name_of_array(part->array));
    if (std::ranges::any_of(nodes_of(part),
                            [](Expr node) { return node->op == Op::function && node->function == &functions::random_uniform; }))
      say("dropout");
    // Any other comparison of floating values is a part of a function.
  }

  // 0 <= weight of the query's index * query + …
  void add_order(const LinearForm& form) {
    std::int64_t query = 0, key = 0;
    std::vector<ArrayRef> reads;
    bool is_plain = true;
    for (const IntegerTerm& term : form.terms) {
      if (term.x == value(query_))
        query = term.weight;
      else if (term.x == value(key_))
        key = term.weight;
      else if (ArrayRef array = read_in(term.x))
        reads.push_back(array);
      else
        is_plain = false;
    }
    if (is_plain && reads.empty() && query == 1 && key == -1) {
      ahead_ = std::min(ahead_, form.constant);
    } else if (is_plain && reads.empty() && query == -1 && key == 1) {
      back_ = std::min(back_, form.constant);
    } else if (is_plain && reads.size() == 1 && (key == -1) != (query == -1) && (key == 0 || query == 0)) {
      say(fmt::format("{} up to {}", key == -1 ? "keys" : "queries", name_of_array(reads[0])));
    } else if (is_plain && reads.empty() && (key == 0 || query == 0)) {
      bool of_keys = query == 0;
      std::int64_t weight = of_keys ? key : query;
      const char* what = of_keys ? "keys" : "queries";
      if (weight == -1) say(fmt::format("the first {} {}", form.constant + 1, what));
      if (weight == 1) say(fmt::format("{} from {}", what, -form.constant));
    } else {
      say(reads.empty() ? "masked by place" : "mask by " + name_of_array(reads[0]));
    }
  }

  void add_equal(const LinearForm& form) {
    std::vector<ArrayRef> reads;
    for (const IntegerTerm& term : form.terms)
      if (ArrayRef array = read_in(term.x)) reads.push_back(array);
    if (reads.size() == 2 && reads[0] == reads[1] && form.terms.size() == 2) return say("the same " + name_of_array(reads[0]));
    if (!reads.empty()) return say("mask by " + name_of_array(reads[0]));
    if (form.terms.size() == 2 && std::ranges::all_of(form.terms, [](const IntegerTerm& term) { return term.x->op == Op::axis; }))
      return say(form.constant == 0 ? "only the query itself" : fmt::format("only the key {} from the query", std::abs(form.constant)));
    for (const IntegerTerm& term : form.terms) {
      if (term.x->op == Op::quotient) return say(fmt::format("within chunks of {}", term.x->integer));
      if (term.x->op == Op::remainder) return say(fmt::format("every {}th", term.x->integer));
    }
    say("masked by place");
  }

  // Not both: this, or that.
  void add_negation(Expr inside) {
    if (inside->op != Op::both) {
      MaskReader other(query_, key_);
      other.add(inside);
      std::vector<std::string> words = other.words();
      if (!words.empty()) say(fmt::format("not {}", fmt::join(words, ", ")));
      return;
    }
    std::vector<std::vector<std::string>> ways;
    for (Expr part : conjuncts(inside)) {
      MaskReader other(query_, key_);
      other.add(negate(part));
      if (std::vector<std::string> words = other.words(); !words.empty()) ways.push_back(std::move(words));
    }
    if (ways.size() == 1) {
      for (std::string& word : ways[0]) say(std::move(word));
      return;
    }
    std::vector<std::string> either;
    for (const std::vector<std::string>& way : ways) either.push_back(fmt::format("{}", fmt::join(way, " and ")));
    std::ranges::sort(either);
    say(fmt::format("{}", fmt::join(either, " or ")));
  }

  AxisRef query_, key_;
  std::int64_t ahead_ = unlimited, back_ = unlimited;  // key <= query + ahead, key >= query - back
  std::vector<std::string> others_;
};

}  // namespace

std::vector<std::string> mask_words(Expr keep, AxisRef query, AxisRef key) {
  MaskReader reader(query, key);
  reader.add(keep);
  return reader.words();
}

}  // namespace heed
