// Arrays gathered into groups, each of which becomes one region.
#pragma once
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "passes/blocks.h"
#include "passes/kind.h"
#include "passes/work.h"

namespace heed {

// One thing to run: a definition, a scan with its results, or a region in blocks.
struct Unit {
  std::vector<ArrayRef> arrays;  // that it makes
  const Scan* scan = nullptr;
  const BlockRegion* blocks = nullptr;
  Kind kind = Kind::map;
  std::vector<int> reads;    // units
  std::vector<int> readers;  // units
  bool is_result = false;    // the caller reads it

  bool is_alone() const { return scan || blocks; }
  const std::vector<ArrayRef>& inside() const { return blocks ? blocks->arrays : arrays; }  // whose reads are its own
};

class Grouping {
 public:
  // `arrays` in order, without inputs; `results` are read by the caller; `blocks` are regions already, and must live as long as this.
  Grouping(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& results, const std::vector<BlockRegion>& blocks,
           const Machine& machine);

  // Gathers what is worth gathering.
  void run();

  const std::vector<Unit>& units() const { return units_; }
  // Units of each group, in order; groups in the order of their first units. A unit that is alone is a group of its own.
  std::vector<std::vector<int>> groups() const;
  // The unit's array is read outside of its group.
  bool is_stored(int unit) const;

 private:
  // If that saves more than `least_gain` bytes of traffic.
  bool try_merge(int unit, int other, double least_gain = 0);
  bool makes_cycle(int a, int b) const;
  bool reaches(int from, int to) const;
  bool fits_product(const std::vector<int>& members) const;
  double cost(const std::vector<int>& members) const;  // in bytes of memory traffic; infinite if they cannot be one region
  void follow_products();
  void join_along_reads();
  void join_readers_of_one_source();

  Machine machine_;
  std::vector<Unit> units_;
  std::unordered_map<ArrayRef, int> unit_of_;
  std::vector<int> group_of_;              // by unit
  std::vector<std::vector<int>> members_;  // by group, in order; empty if it was merged into another
  std::vector<double> costs_;              // by group
};

}  // namespace heed
