// The known name that a mistyped one was most likely meant to be. Both ir and runtime include it.
#pragma once
#include <algorithm>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace heed {

// Empty if none is near: by the fewest letters put in, left out or exchanged.
inline std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  auto distance_to = [&](std::string_view other) {
    std::vector<std::size_t> row(other.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i < name.size(); ++i) {
      std::size_t diagonal = row[0]++;
      for (std::size_t j = 0; j < other.size(); ++j) {
        const std::size_t exchanged = diagonal + (name[i] == other[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({exchanged, row[j] + 1, diagonal + 1});
      }
    }
    return row.back();
  };
  std::string best;
  std::size_t least = name.size() / 3 + 2;
  for (const std::string& candidate : known) {
    const std::size_t apart = distance_to(candidate);
    if (apart >= least || apart >= candidate.size() || apart >= name.size()) continue;
    least = apart;
    best = candidate;
  }
  return best;
}

// "; did you mean `x`?" or nothing.
inline std::string suggestion(std::string_view name, const std::vector<std::string>& known) {
  const std::string best = nearest_name(name, known);
  return best.empty() ? "" : "; did you mean `" + best + "`?";
}

}  // namespace heed
