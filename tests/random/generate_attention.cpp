// Random model files with attention in them: one or more products as scores, chains of maps, masks, biases, captured tensors, a normaliser
// or none, odd layouts, second uses; also what is nearly attention.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <random>
#include <vector>

#include "tests/random/generate.h"

namespace heed {
namespace {

class Writer {
 public:
  explicit Writer(std::uint64_t seed) : random_(seed * 2 + 1) {
    constexpr std::array<std::int64_t, 12> usual = {1, 2, 5, 9, 12, 16, 17, 19, 24, 27, 29, 33};
    batch_ = 1 + static_cast<std::int64_t>(below(2)), heads_ = 1 + static_cast<std::int64_t>(below(3));
    width_ = 1 + static_cast<std::int64_t>(below(one_of(4) ? 8 : 4)), depth_ = 1 + static_cast<std::int64_t>(below(one_of(4) ? 8 : 4));
    queries_ = usual[below(usual.size())];
    keys_ = one_of(3) ? usual[below(usual.size())] : queries_;
    if (one_of(40)) (one_of(2) ? keys_ : queries_) = 0;
  }

  std::string write() {
    std::string q = operand("q", queries_, width_), k = operand("k", keys_, width_), v = operand("v", keys_, depth_);
    scores(q, k);
    for (std::uint64_t n = below(3); n > 0; --n) change_scores();
    for (std::uint64_t n = one_of(3) ? below(3) : one_of(2); n > 0; --n) mask();
    normalise();
    for (std::uint64_t n = one_of(3) ? 1 : 0; n > 0; --n) change_weights();
    line(one_of(2) ? fmt::format("o = p @ {}", v) : fmt::format("o = einsum(\"b h i j, b h j d -> b h i d\", p, {})", v));
    if (!after_.empty()) line(after_);
    if (one_of(5)) second_attention(v);
    return finished();
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_of(std::uint64_t n) { return below(n) == 0; }
  void line(const std::string& text) { body_ += "  " + text + "\n"; }
  std::string input(const std::string& name, const std::string& type) {
    std::string own = fmt::format("{}{}", name, inputs_.size());
    inputs_.push_back(fmt::format("{}: {}", own, type));
    return own;
  }

  // [b, h, length, width] made of some stored value.
  std::string operand(const std::string& name, std::int64_t length, std::int64_t width) {
    switch (below(7)) {
      case 0:
        return fmt::format("rearrange({}, \"b l (h w) -> b h l w\", h = {})",
                           input(name, fmt::format("f32[{}, {}, {}]", batch_, length, heads_ * width)), heads_);
      case 1:
        return fmt::format("rearrange({}, \"b h w l -> b h l w\")",
                           input(name, fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, width, length)));
      case 2: {  // projected
        std::int64_t inner = 1 + static_cast<std::int64_t>(below(6));
        return let(fmt::format("einsum(\"b l c, c h w -> b h l w\", {}, {})",
                               input("x", fmt::format("f32[{}, {}, {}]", batch_, length, inner)),
                               input("w", fmt::format("f32[{}, {}, {}]", inner, heads_, width))));
      }
      case 3:
        return let(fmt::format("tanh({})", input(name, fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, length, width))));
      case 4:  // a slice of something larger
        return fmt::format("{}[:, :, 1:, :]", input(name, fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, length + 1, width)));
      default:
        return input(name, fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, length, width));
    }
  }
  std::string let(const std::string& text) {
    std::string name = fmt::format("y{}", lets_++);
    line(fmt::format("{} = {}", name, text));
    return name;
  }

  void scores(const std::string& q, const std::string& k) {
    switch (below(8)) {
      case 0:  // no product
        line(fmt::format("s = sum({}[:, None, None, :] * tanh({}[:, :, :, None, :] + {}[:, :, None, :, :]), axis = -1)",
                         input("w", fmt::format("f32[{}, {}]", heads_, width_)), q, k));
        break;
      case 1:
        line(fmt::format("s = -0.5 * sum(({}[:, :, :, None, :] - {}[:, :, None, :, :]) ** 2, axis = -1)", q, k));
        break;
      case 2: {  // two products
        std::string other = operand("k", keys_, width_);
        line(fmt::format("s = ({0} @ transpose({1}) + {0} @ transpose({2})) / {3}", q, k, other, number(width_)));
        break;
      }
      case 3: {  // by distance
        std::string r = input("r", fmt::format("f32[{}, {}, {}]", heads_, keys_, width_));
        line(fmt::format("s = ({0} @ transpose({1}) + einsum(\"b h i e, h j e -> b h i j\", {0}, {2})) * 0.5", q, k, r));
        break;
      }
      default:
        line(fmt::format("s = {} @ transpose({}) / sqrt({})", q, k, number(width_)));
        break;
    }
  }
  static std::string number(std::int64_t n) { return fmt::format("{}.0", n); }

  std::string position(bool of_query) const {
    return of_query ? fmt::format("iota({})[:, None]", queries_) : fmt::format("iota({})[None, :]", keys_);
  }

  void change_scores() {
    switch (below(11)) {
      case 0:
        return line("s = 3.0 * tanh(s / 3.0)");
      case 1:
        return line(fmt::format("s = s + {}[:, None, None] * f32({} - {})", input("slope", fmt::format("f32[{}]", heads_)), position(false),
                                position(true)));
      case 2:
        return line(fmt::format("s = {} + s", input("pairs", fmt::format("f32[{}, {}, {}]", heads_, queries_, keys_))));
      case 3:
        return line("s = s + 0.1 * s * s");
      case 4:
        return line(fmt::format("s = s + {}[:, :, :, None]", input("row", fmt::format("f32[{}, {}, {}]", batch_, heads_, queries_))));
      case 5:
        return line(fmt::format("s = s + {}[:, :, None, :]", input("column", fmt::format("f32[{}, {}, {}]", batch_, heads_, keys_))));
      case 6:
        return line(fmt::format("s = einsum(\"b h i j, h g -> b g i j\", s, {})", input("mix", fmt::format("f32[{0}, {0}]", heads_))));
      case 7:
        return line(fmt::format("s = {}[:, None, None] * s", input("scale", fmt::format("f32[{}]", heads_))));
      case 8:
        return line("s = s - 0.5 * mean(s, axis = -1, keep = true)");
      case 9:
        return line("s = maximum(s, 0.2 * s)");
      default:
        return line("s = f32(s) * 0.7");
    }
  }

  std::string condition() {
    std::string i = position(true), j = position(false);
    switch (below(7)) {
      case 0:
        return fmt::format("{} >= {}", i, j);
      case 1:
        return fmt::format("{1} <= {0} and {0} - {1} < 3", i, j);
      case 2:
        return fmt::format("{} > {}", j, i);  // leaves rows with no key
      case 3:
        return input("allowed", fmt::format("bool[{}, {}]", queries_, keys_));
      case 4:
        return fmt::format("{} < {}[:, None, None, None]", fmt::format("iota({})[None, None, None, :]", keys_),
                           input("length", fmt::format("i32[{}]", batch_)));
      case 5: {
        std::string q = input("document", fmt::format("i32[{}, {}]", batch_, queries_)),
                    k = keys_ == queries_ ? q : input("document", fmt::format("i32[{}, {}]", batch_, keys_));
        return fmt::format("{}[:, None, :, None] == {}[:, None, None, :]", q, k);
      }
      default:
        return fmt::format("({} + {}) % 3 != 1", i, j);
    }
  }

  void mask() {
    std::string kept = condition();
    switch (below(4)) {
      case 0:
        return line(fmt::format("s = where({}, s, -1e9)", kept));
      case 1:
        return line(fmt::format("s = where({}, 0.0, -inf) + s", kept));
      default:
        return line(fmt::format("s = where({}, s, -inf)", kept));
    }
  }

  // Sets p, and after_: what is left to be done to the output.
  void normalise() {
    // By hand a row that is masked completely is not a number, as it is written: there something small is added.
    const std::string axis = one_of(5) ? "-2" : one_of(6) ? "[-2, -1]" : "-1";
    auto by = [&](const std::string& e) {
      line("e = " + e);
      line(fmt::format("l = sum(e, axis = {}, keep = true) + 1e-6", axis));
      if (axis == "-1" && one_of(2)) {
        line("p = e");
        after_ = "o = o / l";
        return;
      }
      line("p = e / l");
    };
    const std::string top = fmt::format("maximum(max(s, axis = {}, keep = true), -1e9)", axis);
    switch (below(16)) {
      case 0:
        return line("p = 0.1 * maximum(s, -1.0)");  // none
      case 1:
        return line("p = sigmoid(s)");
      case 2:
        return by("exp(minimum(s, 20.0))");
      case 3:
        return by(fmt::format("exp(s - {})", top));
      case 4:
        return by(fmt::format("exp(s - stop_gradient({}))", top));
      case 5:
        return by("maximum(s, 0.0)");
      case 6:
        line(fmt::format("e = exp(s - {})", top));
        return line(fmt::format("p = e / (1.0 + sum(e, axis = {}, keep = true))", axis));
      case 7:
        return by(fmt::format("exp(0.5 * s - 0.5 * {})", top));
      case 8:
        return by(fmt::format("exp(s - mean(abs(maximum(s, -9.0)), axis = {}, keep = true))", axis));
      case 9:
        return by(fmt::format("where(s > {} - 1.0, exp(s - {}), 0.0)", top, top));  // a mask made of the largest
      case 10:
        line(fmt::format("p = softmax(s, axis = {})", axis));
        return line("p = p / (sum(p, axis = -1, keep = true) + 0.01)");
      case 11:
        return by("exp(s - maximum(max(s), -1e9))");
      case 12:
        line(fmt::format("m = maximum({}, {}[:, None, None])", top, input("sink", fmt::format("f32[{}]", heads_))));
        return line(fmt::format("p = exp(s - m) / (sum(exp(s - m), axis = {}, keep = true) + exp({}[:, None, None] - m))", axis,
                                inputs_.back().substr(0, inputs_.back().find(':'))));
      default:
        return line(fmt::format("p = softmax(s, axis = {})", axis));
    }
  }

  void change_weights() {
    switch (below(4)) {
      case 0:
        return line(fmt::format("p = p * {}", input("share", fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, queries_, keys_))));
      case 1:
        return line(fmt::format("p = einsum(\"b h i j, h g -> b g i j\", p, {})", input("mix", fmt::format("f32[{0}, {0}]", heads_))));
      case 2:
        return line(fmt::format("p = where({}, p, 0.0)", condition()));
      default:
        return line(fmt::format("p = p - {}[:, None, None] * softmax(0.5 * s)", input("part", fmt::format("f32[{}]", heads_))));
    }
  }

  // What was found asks, or is asked.
  void second_attention(const std::string& v) {
    if (one_of(2))
      line(fmt::format("o = softmax(o @ transpose({0}) / 2.0) @ {0}", v));
    else
      line("o = softmax(o @ transpose(o) / 2.0) @ o");
  }

  std::string finished() {
    std::string shape = fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, queries_, depth_);
    std::vector<std::string> results{"o"}, types{"y: " + shape};
    auto more = [&](const std::string& value, const std::string& type) {
      types.push_back(fmt::format("z{}: {}", results.size(), type));
      results.push_back(value);
    };
    switch (below(8)) {  // a second use
      case 0:
        more("p", fmt::format("f32[{}, {}, {}, {}]", batch_, heads_, queries_, keys_));
        break;
      case 1:
        more("sum(p * p, axis = -1)", fmt::format("f32[{}, {}, {}]", batch_, heads_, queries_));
        break;
      case 2:
        more("sum(p, axis = -2)", fmt::format("f32[{}, {}, {}]", batch_, heads_, keys_));
        break;
      case 3:
        more("max(maximum(s, -5.0), axis = -1)", fmt::format("f32[{}, {}, {}]", batch_, heads_, queries_));
        break;
      default:
        break;
    }
    return fmt::format("fn f({}) -> ({}) {{\n{}  return {}\n}}\n", fmt::join(inputs_, ", "), fmt::join(types, ", "), body_,
                       fmt::join(results, ", "));
  }

  std::mt19937_64 random_;
  std::int64_t batch_, heads_, queries_, keys_, width_, depth_;
  std::vector<std::string> inputs_;
  int lets_ = 0;
  std::string body_, after_;
};

}  // namespace

std::string random_attention(std::uint64_t seed) { return Writer(seed).write(); }

}  // namespace heed
