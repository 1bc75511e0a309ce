// The body of a scan as arrays: what belongs to it, and through what a gradient flows.
#pragma once
#include <unordered_set>
#include <vector>

#include "ir/graph.h"
#include "passes/pull_back.h"

namespace heed {

// Yields, then what follows each carried value.
std::vector<ArrayRef> roots_of(const Scan& scan);
std::vector<ArrayRef> stand_ins_of(const Scan& scan);

// Arrays that the roots need and that depend on a seed, the seeds that are needed among them; what is read comes first.
std::vector<ArrayRef> dependents(const std::vector<ArrayRef>& roots, const std::vector<ArrayRef>& seeds);

// Through which arrays of the body a gradient flows: a carried value is active if its start is, or what follows it.
class ScanActivity {
 public:
  ScanActivity(const Scan& scan, const IsActive& outside);
  bool is_local(ArrayRef array) const { return local_.contains(array); }
  bool is_active(ArrayRef array) const { return local_.contains(array) ? active_.contains(array) : outside_(array); }
  const std::unordered_set<ArrayRef>& local() const { return local_; }
  // Active arrays from outside that the body reads, in order.
  std::vector<ArrayRef> captured() const;

 private:
  void spread();
  const Scan& scan_;
  IsActive outside_;
  std::vector<ArrayRef> arrays_;
  std::unordered_set<ArrayRef> local_, active_;
};

}  // namespace heed
