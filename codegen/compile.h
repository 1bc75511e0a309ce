// From a plan to a program that the runtime can run: each region becomes kernels, equal kernels are one.
#pragma once
#include "codegen/cpu/jit.h"
#include "ir/plan.h"
#include "runtime/program.h"

namespace heed {

struct CompileOptions {
  Target target = host_target();
  CompileSettings settings;
};

struct Compilation {
  Program program;
  int compiled = 0, from_cache = 0;  // distinct kernels
  double lower_seconds = 0, compile_seconds = 0;
};

Compilation compile(const Plan& plan, const CompileOptions& options = {});

// The same without machine code: for figures.
Program program_without_code(const Plan& plan, const Target& target);

// The distinct kernels of a plan, in the order of their first use: for listings.
std::vector<KernelSource> kernel_sources(const Plan& plan, const Target& target);

}  // namespace heed
