// What arrays cost: arithmetic and bytes, from sizes alone.
#pragma once
#include "ir/graph.h"

namespace heed {

// Figures of a machine, in seconds' terms; without others those of a nominal one. Plans depend on them, so they are never measured on the
// spot: a target has one plan (tools/machines.h).
struct Machine {
  double bytes_per_second = 12e9;   // of memory, one core
  double map_per_second = 40e9;     // elementwise operations
  double flop_per_second = 150e9;   // of matrix products
  double half_products = 1;         // so many times faster are those of 16-bit factors
  double function_operations = 12;  // a function counts as so many
  double cache_bytes = 1 << 20;     // what a row may take to stay close
  double launch_seconds = 2e-7;     // of one kernel on one block
  // Rows of a block: enough for products to run well, and how many it has at most.
  std::int64_t enough_rows = 64, most_rows = 128;
  // Columns of a block where whole rows are too long to stay close; 0: columns are not cut.
  std::int64_t columns_of_passes = 512;
  // Sums of products that a thread can hold where values of rows and columns lie in registers (ir/register_program.h); 0: nowhere.
  std::int64_t sums_of_thread = 0, values_of_thread = 0;        // and besides them, where there are as many
  std::int64_t shared_bytes = 0, shared_of_multiprocessor = 0;  // memory that a block may have, and that blocks side by side share
  bool has_groups = false;                                      // of warps that multiply together
  double seconds_per_stored_byte = 0;                           // besides its traffic: dear where memory is short
};

// What plans depend on of a GPU; `chip` as in sm_80. Groups of four warps multiply together on sm_90a.
struct GpuFigures {
  int chip;
  std::int64_t shared_bytes, shared_of_multiprocessor;
  bool has_groups = false;
};
Machine gpu_machine(const GpuFigures& gpu);

// Of a matrix product with such factors.
double flop_per_second(ArrayRef product, const Machine& machine);
// Operations on floating values; an expression that depends on some axes only is computed once for them. A function counts once.
double flop_of(ArrayRef array);
// Operations in elementwise terms (a function counts as Machine::function_operations) for one element of the body, reductions not counted.
double operations_of(Expr body, const Machine& machine = {});
double bytes_of(ArrayRef array);

}  // namespace heed
