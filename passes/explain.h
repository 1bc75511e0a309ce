// What became of a program: a row for each region, and what stayed apart and why.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ir/plan.h"

namespace heed {

struct RegionRow {
  int region = 0;             // its step in the plan
  std::string label, source;  // "softmax over the last axis", "h.3.attn (gpt.heed:14)"
  std::string axes;           // outer axes, then inner ones: "[B, 6, T] x [T]"
  int passes = 0;             // sweeps over the inner axes
  int products = 0;           // matrix products; in each block of a region that runs block by block
  double flop = 0;
  std::int64_t bytes_read = 0, bytes_written = 0;  // of stored values, each once
  std::int64_t scratch_bytes = 0;                  // of a row that is kept between sweeps; what a thread's block takes
  std::int64_t blocks = 0, blocks_skipped = 0;     // of a region that runs block by block: made, and left out as fully masked
  std::int64_t block_rows = 0, block_columns = 0;  // size of what is counted there; 0 columns: all
  std::string kernel;                              // "blocks", "product", "sweep", "map", "sum", "scatter", "scan"
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

std::string amount(double value, std::string_view unit);  // "25.2 MB"

// For people, in lines of at most 120 columns: the table, equal rows of repeated layers as one; the totals; the largest of what stayed
// apart (explain_text.cpp).
std::string text_of(const Explanation& explanation);

}  // namespace heed
