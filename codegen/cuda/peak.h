// What a GPU does at most, by its clock and the figures that NVIDIA gives for its chip.
#pragma once
#include "codegen/cuda/product_schedule.h"

namespace heed {

// `chip`: 10 * major + minor of its compute capability. Multiply-adds are two operations. Products of f32 by the arithmetic units, others
// by tensor cores with sums in f32, as on professional boards: those for games with sm_86, sm_89 and sm_120 have half of it.
double peak_flop_per_second(int chip, int multiprocessors, double clock_hz, Precision precision);
// Of memory that sends on both edges of its clock.
double peak_bytes_per_second(double clock_hz, int bits);

}  // namespace heed
