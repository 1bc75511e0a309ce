// Writes attention as text.
#include "tests/random/spell.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <random>

#include "ir/function.h"

namespace heed {

namespace {

using Mask = Mathematics::Mask;
using Bias = Mathematics::Bias;
using Normaliser = Mathematics::Normaliser;

struct Layout {
  std::string_view shape, pattern;  // in terms of L (T or K) and W (E or D); the last is the one that everything else assumes
  std::array<int, 4> order;         // where b, h, l and w are
};
constexpr std::array<Layout, 6> layouts = {{
    {"B, H, L, W", "", {0, 1, 2, 3}},
    {"B, L, H, W", "b l h w -> b h l w", {0, 2, 1, 3}},
    {"B, L, H * W", "b l (h w) -> b h l w", {0, 2, 1, 3}},
    {"B, H, W, L", "b h w l -> b h l w", {0, 1, 3, 2}},
    {"H, B, L, W", "h b l w -> b h l w", {1, 0, 2, 3}},
    {"L, B, W, H", "l b w h -> b h l w", {2, 0, 3, 1}},
}};

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}

class Writer {
 public:
  Writer(const Mathematics& what, const Spelling& how) : what_(what), how_(how) {}

  std::string write() {
    tensor("q", "T", "E", Spelling::q_layout);
    tensor("k", "K", "E", Spelling::k_layout);
    tensor("v", "K", "D", Spelling::v_layout);
    scores();
    weights();
    return fmt::format("fn f({}) -> f32[B, H, T, D] {{\n{}  return o\n}}\n", inputs_, body_);
  }

 private:
  int pick(Spelling::Way way, int of) const { return how_.choice[way] % of; }
  void line(const std::string& text) { body_ += "  " + text + "\n"; }
  void input(const std::string& text) { inputs_ += (inputs_.empty() ? "" : ", ") + text; }

  void tensor(const std::string& name, const std::string& length, const std::string& width, Spelling::Way way) {
    const Layout& layout = layouts[static_cast<std::size_t>(pick(way, layouts.size()))];
    input(fmt::format("{}: f32[{}]", name, replaced(replaced(std::string(layout.shape), "L", length), "W", width)));
    const bool is_merged = layout.pattern.find('(') != std::string_view::npos;
    if (is_merged && how_.choice[way] % 4 == 2)
      line(fmt::format("{0}h = rearrange(reshape({0}, [B, {1}, H, {2}]), \"b l h w -> b h l w\")", name, length, width));
    else if (layout.pattern.empty())
      line(fmt::format("{0}h = {0}", name));
    else
      line(fmt::format("{0}h = rearrange({0}, \"{1}\"{2})", name, layout.pattern, is_merged ? ", h = H" : ""));
  }

  // The product of queries and keys, with the scale where it is wanted; later by `late_scale_`.
  void scores() {
    const std::string c = fmt::format("{}", what_.scale), root = fmt::format("sqrt({})", c);
    std::string q = "qh", k = "kh", after;
    const bool may_be_late = what_.bias == Bias::none && !what_.capped && is_softmax();
    switch (pick(Spelling::scale, may_be_late ? 8 : 7)) {
      case 0:
        after = fmt::format("s = s * {}", c);
        break;
      case 1:
        line(fmt::format("qs = qh * {}", c));
        q = "qs";
        break;
      case 2:
        line(fmt::format("ks = {} * kh", c));
        k = "ks";
        break;
      case 3:
        line(fmt::format("qs = qh * {}", root));
        line(fmt::format("ks = kh * {}", root));
        q = "qs", k = "ks";
        break;
      case 4:
        after = fmt::format("s = s / (1.0 / {})", c);
        break;
      case 5:
        line(fmt::format("qs = qh / (1.0 / {})", c));
        q = "qs";
        break;
      case 6:
        after = fmt::format("s = {} * f32(s)", c);
        break;
      default:
        late_scale_ = true;
        break;
    }
    switch (pick(Spelling::scores, 6)) {
      case 0:
        line(fmt::format("s = {} @ transpose({})", q, k));
        break;
      case 1:
        line(fmt::format("s = einsum(\"b h i e, b h j e -> b h i j\", {}, {})", q, k));
        break;
      case 2:
        line(fmt::format("s = einsum(\"n m c d, n m a d -> n m a c\", {}, {})", k, q));
        break;
      case 3:
        line(fmt::format("s = sum({}[:, :, :, None, :] * {}[:, :, None, :, :], axis = -1)", q, k));
        break;
      case 4:
        line(fmt::format("s = transpose({} @ transpose({}))", k, q));
        break;
      default:
        line(fmt::format("s = sum(rearrange({}[:, :, None, :, :], \"b h x i e -> b h i x e\") * {}[:, :, None, :, :], axis = 4)", q, k));
        break;
    }
    if (!after.empty()) line(after);
    if (what_.capped) line("s = 3.0 * tanh(s / 3.0)");
    bias();
    line("u = s");
    if (what_.mask != Mask::none) mask();
    if (late_scale_) line(fmt::format("s = s * {0}\n  u = u * {0}", c));
  }

  void bias() {
    const bool first = pick(Spelling::bias, 2) == 1;
    std::string term;
    switch (what_.bias) {
      case Bias::none:
        return;
      case Bias::slope:
        input("slope: f32[H]");
        switch (pick(Spelling::bias, 4) / 2) {
          case 0:
            term = "slope[:, None, None] * f32(iota(K)[None, :] - iota(T)[:, None])";
            break;
          default:
            term = "f32(iota(K)[None, None, :] - iota(T)[None, :, None]) * slope[:, None, None]";
            break;
        }
        break;
      case Bias::pairs:
        input("pairs: f32[H, T, K]");
        term = pick(Spelling::bias, 4) / 2 == 0 ? "pairs" : "pairs[None, :, :, :]";
        break;
    }
    line(first ? fmt::format("s = {} + s", term) : fmt::format("s = s + {}", term));
  }

  void mask() {
    const std::string i = "iota(T)[:, None]", j = "iota(K)[None, :]";
    std::string is_kept;
    switch (what_.mask) {
      case Mask::none:
        return;
      case Mask::causal:
        is_kept = std::array<std::string, 4>{i + " >= " + j, j + " <= " + i, fmt::format("not ({} > {})", j, i),
                                             fmt::format("{} - {} >= 0", i, j)}[static_cast<std::size_t>(pick(Spelling::condition, 4))];
        break;
      case Mask::window:
        is_kept = std::array<std::string, 3>{
            fmt::format("{1} <= {0} and {0} - {1} < 3", i, j), fmt::format("({0} - {1} < 3) and ({0} - {1} >= 0)", i, j),
            fmt::format("not ({1} > {0} or {1} <= {0} - 3)", i, j)}[static_cast<std::size_t>(pick(Spelling::condition, 3))];
        break;
      case Mask::given:
        input("allowed: bool[T, K]");
        line(fmt::format("a = allowed or {} == 0", j));
        is_kept = pick(Spelling::condition, 2) ? "not (not a)" : "a";
        break;
      case Mask::padding:
        input("length: i32[B]");
        is_kept = pick(Spelling::condition, 2) ? "iota(K)[None, None, None, :] < maximum(length, 1)[:, None, None, None]"
                                               : "maximum(length, 1)[:, None, None, None] > iota(K)[None, None, None, :]";
        break;
    }
    line("keep = " + is_kept);
    if (!is_softmax()) {  // Weights are masked.
      return;
    }
    // A finite number keeps the mean of a row that is masked completely: where data masks, no column may be left out then.
    switch (pick(Spelling::mask, is_found_at_run_time() ? 5 : 6)) {
      case 0:
        return line("s = where(keep, s, -inf)");
      case 1:
        return line("s = where(not keep, -inf, s)");
      case 2:
        return line("s = s + where(keep, 0.0, -inf)");
      case 3:
        return line("s = where(not keep, -inf, 0.0) + s");
      case 4:
        line("m0 = where(keep, 0.0, -inf)");
        return line("s = m0 + s");
      default:
        return line("s = where(keep, s, -1e30)");
    }
  }

  bool is_found_at_run_time() const { return what_.mask == Mask::given || what_.mask == Mask::padding; }
  bool is_softmax() const { return what_.normaliser != Normaliser::sigmoid && what_.normaliser != Normaliser::by_sum; }

  std::string product(const std::string& p, const std::string& v) const {
    switch (pick(Spelling::values, 5)) {
      case 0:
        return fmt::format("({} @ {})", p, v);
      case 1:
        return fmt::format("einsum(\"b h i j, b h j d -> b h i d\", {}, {})", p, v);
      case 2:
        return fmt::format("einsum(\"x y j d, x y i j -> x y i d\", {}, {})", v, p);
      case 3:
        return fmt::format("sum({}[:, :, :, :, None] * {}[:, :, None, :, :], axis = 3)", p, v);
      default:
        return fmt::format("transpose(transpose({}) @ transpose({}))", v, p);
    }
  }
  std::string weighted(const std::string& p) {
    if (!what_.weighted) return p;
    if (inputs_.find("share") == std::string::npos) input("share: f32[B, H, T, K]");
    return pick(Spelling::values, 2) ? fmt::format("(share * {})", p) : fmt::format("({} * share)", p);
  }

  void weights() {
    switch (what_.normaliser) {
      case Normaliser::sigmoid:
        line(pick(Spelling::shift, 2) ? "p = sigmoid(s)" : "p = 1.0 / (1.0 + exp(minimum(-s, 80.0)))");
        break;
      case Normaliser::by_sum:
        line("w = maximum(s, 0.0) + 0.125");
        if (what_.mask != Mask::none) line(masked_weights("w"));
        return divided("w", "-1");
      case Normaliser::sink:
        input("logit: f32[H]");
        return sink();
      case Normaliser::over_keys:
        return softmax("-1");
      case Normaliser::over_queries:
        return softmax("-2");
      case Normaliser::over_both:
        return softmax("[-2, -1]");
    }
    if (what_.mask != Mask::none) line(masked_weights("p"));
    line(fmt::format("o = {}", product(weighted("p"), "vh")));
  }

  std::string masked_weights(const std::string& w) const {
    switch (pick(Spelling::mask, 3)) {
      case 0:
        return fmt::format("{0} = where(keep, {0}, 0.0)", w);
      case 1:
        return fmt::format("{0} = {0} * f32(keep)", w);
      default:
        return fmt::format("{0} = where(not keep, 0.0, {0})", w);
    }
  }

  void softmax(const std::string& axis) {
    const bool one_axis = !axis.starts_with("[");
    if (!what_.shifted) {
      line("e = exp(s)");
      return divided("e", axis);
    }
    switch (pick(Spelling::shift, one_axis ? 7 : is_found_at_run_time() ? 3 : 4)) {
      case 0:
        line(fmt::format("e = exp(s - max(s, axis = {}, keep = true))", axis));
        break;
      case 1:
        line(fmt::format("e = exp(s - stop_gradient(max(s, axis = {}, keep = true)))", axis));
        break;
      case 2:
        line(fmt::format("z = s - max(s, axis = {0}, keep = true)\n  e = exp(z - max(z, axis = {0}, keep = true))", axis));
        break;
      case 3:  // Columns that data masks are not left out: the maximum wants them all.
        line(fmt::format("e = exp(s - max({}, axis = {}, keep = true))", is_found_at_run_time() ? "s" : "u", axis));
        break;
      case 4:
        line(fmt::format("p = exp(s - logsumexp(s, axis = {}, keep = true))", axis));
        return line(fmt::format("o = {}", product(weighted("p"), "vh")));
      case 5:
        line(fmt::format("p = exp(log_softmax(s, axis = {}))", axis));
        return line(fmt::format("o = {}", product(weighted("p"), "vh")));
      default:
        line(fmt::format("p = softmax(s, axis = {})", axis));
        return line(fmt::format("o = {}", product(weighted("p"), "vh")));
    }
    divided("e", axis);
  }

  // The weights divided by their sum, somewhere.
  void divided(const std::string& e, const std::string& axis) {
    line(fmt::format("l = sum({}, axis = {}, keep = true)", e, axis));
    const bool by_key = axis == "-2";
    switch (by_key ? pick(Spelling::division, 2) : pick(Spelling::division, 5)) {
      case 0:
        return line(fmt::format("o = {}", product(weighted(fmt::format("({} / l)", e)), "vh")));
      case 1:
        return line(fmt::format("o = {}", product(weighted(fmt::format("((1.0 / l) * {})", e)), "vh")));
      case 2:
        return line(fmt::format("o = {} / l", product(weighted(e), "vh")));
      case 3:
        return line(fmt::format("o = (1.0 / l) * {}", product(weighted(e), "vh")));
      default:
        line(fmt::format("p = {} / l", e));
        return line(fmt::format("o = {}", product(weighted("p"), "vh")));
    }
  }

  void sink() {
    const std::string logit = "logit[:, None, None]";
    switch (what_.shifted ? 1 + pick(Spelling::shift, 2) : 0) {
      case 0:
        line("e = exp(s)");
        line(fmt::format("l = sum(e, axis = -1, keep = true) + exp({})", logit));
        break;
      case 1:
        line(fmt::format("m = maximum(max(s, axis = -1, keep = true), {})", logit));
        line("e = exp(s - m)");
        line(fmt::format("l = exp({} - m) + sum(e, axis = -1, keep = true)", logit));
        break;
      default:
        line("m = max(s, axis = -1, keep = true)");
        line("e = exp(s - m)");
        line(fmt::format("l = sum(e, axis = -1, keep = true) + exp({} - m)", logit));
        break;
    }
    if (pick(Spelling::division, 2))
      line(fmt::format("o = {} / l", product(weighted("e"), "vh")));
    else
      line(fmt::format("o = {}", product(weighted("(e / l)"), "vh")));
  }

  const Mathematics& what_;
  const Spelling& how_;
  std::string inputs_, body_;
  bool late_scale_ = false;
};

}  // namespace

Mathematics random_mathematics(std::uint64_t seed) {
  std::mt19937_64 random(seed * 2 + 1);
  auto below = [&](std::uint64_t n) { return random() % n; };
  constexpr std::array normalisers = {Normaliser::over_keys, Normaliser::over_keys,    Normaliser::over_keys,
                                      Normaliser::over_keys, Normaliser::over_queries, Normaliser::over_both,
                                      Normaliser::sigmoid,   Normaliser::by_sum,       Normaliser::sink};
  Mathematics what{};
  what.mask = static_cast<Mask>(below(5));
  what.bias = static_cast<Bias>(below(2) ? 0 : below(3));
  what.normaliser = normalisers[below(normalisers.size())];
  what.capped = below(5) == 0;
  what.weighted = below(6) == 0;
  what.shifted = below(4) != 0;
  what.scale = std::array{0.125, 0.25, 0.5}[below(3)];
  // A column that is masked completely is another matter: not all spellings say the same of it.
  if (what.normaliser == Normaliser::over_queries && what.mask != Mask::none) what.mask = Mask::causal;
  return what;
}

Spelling random_spelling(std::uint64_t seed) {
  std::mt19937_64 random(seed * 2 + 1);
  Spelling how;
  for (int& choice : how.choice) choice = static_cast<int>(random() % 840);
  return how;
}

std::string written(const Mathematics& what, const Spelling& how) { return Writer(what, how).write(); }

std::map<std::string, Tensor> values_of(const Graph& graph, const Spelling& how) {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::int64_t> sizes(graph.sizes.begin(), graph.sizes.end());
  for (const GraphInput& input : graph.inputs) {
    const std::string& name = input.array->name;
    Tensor tensor(input.array->dtype, input.array->shape);
    std::int64_t key = 0;
    for (char c : name) key = key * 131 + c;
    // Where an element lies in the usual layout.
    std::array<int, 4> order = {0, 1, 2, 3};
    std::array<std::int64_t, 4> shape{};
    const bool is_laid_out = name == "q" || name == "k" || name == "v";
    if (is_laid_out) {
      const Spelling::Way way = name == "q" ? Spelling::q_layout : name == "k" ? Spelling::k_layout : Spelling::v_layout;
      order = layouts[static_cast<std::size_t>(how.choice[way]) % layouts.size()].order;
      shape = {sizes.at("B"), sizes.at("H"), sizes.at(name == "q" ? "T" : "K"), sizes.at(name == "v" ? "D" : "E")};
    }
    for (std::int64_t k = 0; k < tensor.count(); ++k) {
      std::int64_t place = k;
      if (is_laid_out) {
        std::array<std::int64_t, 4> at{};
        for (std::size_t d = 4, rest = static_cast<std::size_t>(k); d-- > 0;) {
          const auto axis = static_cast<std::size_t>(order[d]);
          at[axis] = static_cast<std::int64_t>(rest) % shape[axis];
          rest /= static_cast<std::size_t>(shape[axis]);
        }
        place = ((at[0] * shape[1] + at[1]) * shape[2] + at[2]) * shape[3] + at[3];
      }
      double share = random_word(key, place) * 0x1p-32;
      if (is_floating(tensor.dtype))
        tensor.set(k, 2 * share - 1);
      else
        tensor.set(k, static_cast<std::int64_t>(tensor.dtype == DType::boolean ? share < 0.5 : share * 6));
    }
    tensors.emplace(name, std::move(tensor));
  }
  return tensors;
}

}  // namespace heed
