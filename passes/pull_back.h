// Reverse mode over arrays: from the derivatives by some arrays to the derivatives by what they were made from.
#pragma once
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "passes/rewrite.h"

namespace heed {

struct Cotangent {
  ArrayRef output;
  ArrayRef derivative;  // of the shape of output
};

struct PullBack {
  // For each of wrt the terms, at its positions, whose sum is the derivative by it; none where it has no influence.
  std::vector<std::vector<Expr>> terms;
  // Scans on the way yield more than before, for their gradients: what to use in place of each old result.
  ScanTable replaced;
};

// Only what is in `inside` is differentiated, all else is given from outside; without it everything is.
PullBack pull_back(const std::vector<Cotangent>& outputs, const std::vector<ArrayRef>& wrt,
                   const std::optional<std::unordered_set<ArrayRef>>& inside = {});

// The sum of terms as an array like `like`, zeros if there are none.
ArrayRef derivative_array(const std::vector<Expr>& terms, ArrayRef like);

using IsActive = std::function<bool(ArrayRef)>;

// The read array[indices] in a body, and the derivative by it at the axes `axes`.
struct ReadAdjoint {
  Expr read;
  Expr adjoint;
  AxisSet axes;
};
// Derivatives by each read of an active array in a definition's body, from the derivative by the body at positions(array).
std::vector<ReadAdjoint> adjoints_of_reads(ArrayRef definition, Expr adjoint, const IsActive& is_active);
// Whether a body reads an active array in a way through which a gradient flows.
bool has_active_read(Expr body, const IsActive& is_active);

// Derivatives by what a scan reads, from those by its results (null where there is none).
struct ScanAdjoint {
  std::vector<std::pair<ArrayRef, Expr>> terms;  // an array outside of the body and what is added to its derivative
  std::vector<ArrayRef> replacement;             // for each result of the scan
};
ScanAdjoint adjoint_of_scan(ArrayRef any_result, const std::vector<ArrayRef>& derivatives, const IsActive& is_active);
// Whether a gradient flows from an active array to each of the scan's results.
std::vector<bool> active_results(const Scan& scan, const IsActive& is_active);

}  // namespace heed
