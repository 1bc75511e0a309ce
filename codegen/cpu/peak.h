// What the machine can do at most, measured: the yardstick of `heed bench` and `heed devices`.
#pragma once
#include "codegen/cpu/target.h"

namespace heed {

struct MachinePeaks {
  double flop_per_second = 0;   // f32 multiply-adds (two each) in registers, all threads
  double bytes_per_second = 0;  // read and written by a copy far larger than the caches, all threads
};

// Takes about a tenth of a second.
MachinePeaks measure_peaks(const Target& target, int threads);

}  // namespace heed
