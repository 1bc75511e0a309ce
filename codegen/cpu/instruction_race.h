// Times instructions that multiply against each other.
#pragma once

namespace heed {

constexpr double must_gain = 1.25;  // for which others are taken: products do more than multiply

// Of a loop in assembly, the least of some rounds: whatever else runs makes it longer.
double seconds_of_trip(void (*loop)(long trips));

#if defined(__x86_64__)
// A trip is twelve multiply-adds of 16 factors in f32, whose sums do not depend on each other.
void multiply_factors(long trips);
#endif

}  // namespace heed
