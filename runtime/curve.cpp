// The learning curve as a picture.
#include "runtime/curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace heed {
namespace {

constexpr double width = 720, height = 420, left = 64, right = 20, top = 40, bottom = 48;
constexpr std::size_t most_points = 400;
constexpr std::array colours = {"#1f6fb4", "#d1495b", "#3a8f5c", "#8a5fb0", "#c98a1b"};

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '<') {
      result += "&lt;";
    } else if (c == '&') {
      result += "&amp;";
    } else {
      result += c;
    }
  }
  return result;
}

std::vector<CurvePoint> thinned(const std::vector<CurvePoint>& points) {
  if (points.size() <= most_points) return points;
  std::vector<CurvePoint> result;
  for (std::size_t k = 0; k < most_points; ++k) {
    const std::size_t begin = k * points.size() / most_points, end = (k + 1) * points.size() / most_points;
    CurvePoint mean{0, 0};
    for (std::size_t at = begin; at < end; ++at) {
      mean.step += points[at].step;
      mean.value += points[at].value;
    }
    const auto count = static_cast<double>(end - begin);
    result.push_back({mean.step / count, mean.value / count});
  }
  return result;
}

// 1, 2 or 5 times a power of ten, about `count` of them in `span`.
double tick_step(double span, int count) {
  const double raw = span / count, power = std::pow(10, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (raw <= factor * power) return factor * power;
  }
  return 10 * power;
}

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void include(double value) {
    if (!std::isfinite(value)) return;
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void settle() {
    if (low > high) low = 0, high = 1;
    if (low == high) high = low + (low == 0 ? 1 : std::abs(low) * 0.1);
  }
  double part(double value) const { return (value - low) / (high - low); }
};

}  // namespace

std::string draw_curves(const std::string& title, const std::vector<Curve>& curves) {
  Range steps, values;
  std::vector<std::vector<CurvePoint>> lines;
  for (const Curve& curve : curves) {
    lines.push_back(thinned(curve.points));
    for (const auto& point : lines.back()) {
      steps.include(point.step);
      values.include(point.value);
    }
  }
  steps.settle();
  values.settle();
  const auto x = [&](double step) { return left + steps.part(step) * (width - left - right); };
  const auto y = [&](double value) { return height - bottom - values.part(value) * (height - top - bottom); };
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\" font-family=\"sans-serif\" "
      "font-size=\"12\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n<text x=\"{2}\" y=\"24\" font-size=\"15\">{3}</text>\n",
      width, height, left, escaped(title));
  const double step_of_values = tick_step(values.high - values.low, 6), step_of_steps = tick_step(steps.high - steps.low, 7);
  for (double tick = std::ceil(values.low / step_of_values) * step_of_values; tick <= values.high; tick += step_of_values) {
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#ddd\"/><text x=\"{3}\" y=\"{4:.1f}\" "
        "text-anchor=\"end\">{5:.4g}</text>\n",
        left, width - right, y(tick), left - 8, y(tick) + 4, std::abs(tick) < step_of_values / 2 ? 0 : tick);
  }
  for (double tick = std::ceil(steps.low / step_of_steps) * step_of_steps; tick <= steps.high; tick += step_of_steps) {
    svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{:.6g}</text>\n", x(tick), height - bottom + 18, tick);
  }
  svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">step</text>\n", (left + width - right) / 2, height - 10);
  for (std::size_t k = 0; k < curves.size(); ++k) {
    const char* colour = colours[k % colours.size()];
    std::string path;
    for (const auto& point : lines[k]) {
      if (!std::isfinite(point.value)) continue;
      path += fmt::format("{}{:.1f},{:.1f}", path.empty() ? "" : " ", x(point.step), y(point.value));
      if (curves[k].dots)
        svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" fill=\"{}\"/>\n", x(point.step), y(point.value), colour);
    }
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", path, colour);
    const double at = width - right - 150, line = top + 4 + 18 * static_cast<double>(k);
    svg += fmt::format(
        "<line x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\" stroke=\"{3}\" stroke-width=\"3\"/><text x=\"{4}\" y=\"{5}\">{6}</text>\n", at,
        at + 20, line, colour, at + 28, line + 4, escaped(curves[k].name));
  }
  return svg + "</svg>\n";
}

}  // namespace heed
