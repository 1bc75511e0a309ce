// Random model files: what people write, in terms of the library.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <random>
#include <vector>

#include "tests/random/generate.h"

namespace heed {
namespace {

struct Named {
  std::string name;
  std::vector<std::int64_t> shape;
};

class Writer {
 public:
  explicit Writer(std::uint64_t seed) : random_(seed * 2 + 1) {}

  std::string write() {
    constexpr std::array<std::int64_t, 8> usual = {1, 2, 3, 4, 5, 6, 8, 9};
    std::int64_t batch = usual[below(4)], time = usual[below(8)], width = 2 * usual[below(4)];
    std::string inputs = fmt::format("x: f32[{}, {}, {}], w: f32[{}, {}]", batch, time, width, width, width);
    values_ = {{"x", {batch, time, width}}};
    for (std::uint64_t k = 2 + below(5); k > 0; --k) statement(width);
    return fmt::format("fn f({}) -> f32[{}] {{\n{}  return {}\n}}\n", inputs, fmt::join(values_.back().shape, ", "), body_,
                       values_.back().name);
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  void line(std::string text, std::vector<std::int64_t> shape) {
    std::string name = fmt::format("y{}", values_.size());
    body_ += fmt::format("  {} = {}\n", name, text);
    values_.push_back({name, std::move(shape)});
  }

  // Every value is [batch, time, width].
  void statement(std::int64_t width) {
    Named x = values_.back(), other = values_[below(values_.size())];
    switch (below(14)) {
      case 0:
        return line(fmt::format("gelu({})", x.name), x.shape);
      case 1:
        return line(fmt::format("softmax({}, axis = {})", x.name, static_cast<int>(below(3)) - 2), x.shape);
      case 2:
        return line(fmt::format("{0} @ w / sqrt({1}.0)", x.name, width), x.shape);
      case 3:
        return line(fmt::format("{} + 0.5 * {}", x.name, other.name), x.shape);
      case 4:
        return line(fmt::format("softmax({0} @ transpose({1}) / 4.0) @ {0}", x.name, other.name), x.shape);
      case 5: {
        std::string name = fmt::format("s{}", values_.size());
        body_ += fmt::format("  {0} = where(iota({2})[:, None] >= iota({2})[None, :], {1} @ transpose({3}), -inf)\n", name, x.name,
                             x.shape[1], other.name);
        return line(fmt::format("softmax({}) @ {}", name, other.name), x.shape);
      }
      case 6:
        return line(fmt::format("{0} - mean({0}, axis = -1, keep = true)", x.name), x.shape);
      case 7:
        return line(fmt::format("einsum(\"b t c, c d -> b t d\", silu({}), w)", x.name), x.shape);
      case 8:
        return line(fmt::format("concat([{0}[:, :, {2}:], {1}[:, :, :{2}]], axis = -1)", x.name, other.name, width / 2), x.shape);
      case 9:
        return line(fmt::format("rearrange(tanh(rearrange({}, \"b t (h e) -> b h t e\", h = 2)), \"b h t e -> b t (h e)\")", x.name),
                    x.shape);
      case 10:
        return line(fmt::format("{0} * rsqrt(mean({0} * {0}, axis = -1, keep = true) + 0.01)", x.name), x.shape);
      case 11:
        return line(fmt::format("relu({}) + abs({})", x.name, other.name), x.shape);
      case 12:
        return line(fmt::format("{0} * sigmoid(max({1}, axis = 1, keep = true))", x.name, other.name), x.shape);
      default:
        return line(fmt::format("where({0} > {1}, {0}, tanh({1}))", x.name, other.name), x.shape);
    }
  }

  std::mt19937_64 random_;
  std::vector<Named> values_;
  std::string body_;
};

}  // namespace

std::string random_model(std::uint64_t seed) { return Writer(seed).write(); }

}  // namespace heed
