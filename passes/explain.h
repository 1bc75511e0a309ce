// What became of a program: a row for each region, and what stayed apart and why.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ir/plan.h"

namespace heed {

struct RegionRow {
  int region = 0;             // its step in the plan
  std::string label, source;  // "softmax over the last axis", "h.3.attn (gpt.heed:14)"
  std::string axes;           // outer axes, then inner ones: "[B, 6, T] x [T]"
  int passes = 0;             // sweeps over the inner axes
  int products = 0;           // matrix products
  double flop = 0;
  std::int64_t bytes_read = 0, bytes_written = 0;  // of stored values, each once
  std::int64_t scratch_bytes = 0;                  // of a row that is kept between sweeps
  std::int64_t blocks = 0, blocks_skipped = 0;     // of regions that go block by block
  std::string kernel;                              // "product", "sweep", "map", "sum", "scatter", "scan"
};

struct Unfused {
  std::string source;  // of the value that is stored
  std::string why;     // in words: what it is, how large, and why its readers are other kernels
};

struct Explanation {
  std::vector<RegionRow> regions;
  std::int64_t stored_bytes = 0;    // of all values that are kept between regions
  std::int64_t largest_stored = 0;  // of them
  std::vector<Unfused> unfused;     // largest first
};

Explanation explain(const Plan& plan);

// For people: the table, the totals, and the largest of what stayed apart.
std::string text_of(const Explanation& explanation);

}  // namespace heed
