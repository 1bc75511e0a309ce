// Where the time of runs went: for people, and for Perfetto.
#pragma once
#include <chrono>
#include <string>
#include <vector>

#include "runtime/program.h"

namespace heed {

// Seconds by region of the program. Of steps inside regions in blocks those of all threads together.
struct Profile {
  // What one thread did of one launch of a region, from its first task to the end of its last.
  struct Span {
    std::int32_t region, thread;
    double begin, end;  // seconds since `start`
  };
  std::vector<double> seconds;
  std::int64_t runs = 0;
  std::size_t most_spans = 0;  // kept; 0: none
  std::vector<Span> spans;
  std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
};

constexpr std::size_t most_spans = 100000;  // of a trace file: some 25 MB

// Time of a run by region, each followed by its steps if it runs in blocks, by line of the model file and by layer, the longest first.
// Equal regions of repeated layers are one row (`h.*.attn`).
std::string profile_text(const Program& program, const Profile& profile);

// The spans in Chrome's trace format, which Perfetto (ui.perfetto.dev) opens: one track a thread.
std::string trace_json(const Program& program, const Profile& profile);

}  // namespace heed
