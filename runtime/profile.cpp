// Profiles as lines of text.
#include "runtime/profile.h"

#include <fmt/format.h>

#include <algorithm>

namespace heed {

std::vector<std::string> profile_lines(const Program& program, const Profile& profile, std::int64_t runs) {
  std::vector<std::vector<std::size_t>> parts(program.regions.size());
  std::vector<std::size_t> order;
  double total = 1e-9;
  for (std::size_t k = 0; k < profile.seconds.size(); ++k) {
    const std::int32_t whole = program.regions[k].whole;
    if (whole >= 0) {
      parts[static_cast<std::size_t>(whole)].push_back(k);
      continue;
    }
    order.push_back(k);
    total += profile.seconds[k];
  }
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return profile.seconds[a] > profile.seconds[b]; });

  std::vector<std::string> lines;
  const auto add = [&](std::size_t k, double all, const char* indent) {
    const RegionInfo& region = program.regions[k];
    const double seconds = std::max(profile.seconds[k], 1e-9), each = static_cast<double>(runs) / seconds / 1e9;
    lines.push_back(fmt::format("{}{:5.1f} %  {:9.3f} ms  {:7.1f} GFLOP/s  {:6.1f} GB/s  {}  {}", indent, 100 * seconds / all,
                                1e3 * seconds / static_cast<double>(runs), region.flop * each, region.bytes * each, region.label,
                                region.source));
  };
  for (const std::size_t k : order) {
    add(k, total, "");
    double inside = 1e-9;
    for (const std::size_t part : parts[k]) inside += profile.seconds[part];
    for (const std::size_t part : parts[k]) add(part, inside, "         ");
  }
  return lines;
}

}  // namespace heed
