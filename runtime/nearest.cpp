// The known name that a mistyped one was most likely meant to be.
#include "runtime/nearest.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace heed {
namespace {

// Fewest letters put in, left out or exchanged.
std::size_t distance(std::string_view from, std::string_view to) {
  std::vector<std::size_t> row(to.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < from.size(); ++i) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < to.size(); ++j) {
      const std::size_t exchanged = diagonal + (from[i] == to[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({exchanged, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string nearest(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  std::size_t least = name.size() / 3 + 2;
  for (const auto& candidate : known) {
    const std::size_t apart = distance(name, candidate);
    if (apart >= least || apart >= candidate.size()) continue;
    least = apart;
    best = candidate;
  }
  return best;
}

std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string best = nearest(name, known);
  return best.empty() ? "" : fmt::format("; did you mean {}?", best);
}

}  // namespace heed
