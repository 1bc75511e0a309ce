// The tables behind an arena: interning of nodes, axes and arrays. For the constructors in ir/ only.
#pragma once
#include <deque>
#include <map>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "ir/algebra.h"

namespace heed {

struct NodeHash {
  std::size_t operator()(const Node* node) const;
};
struct NodeEqual {
  bool operator()(const Node* a, const Node* b) const;
};

struct Arena::Tables {
  std::deque<Node> nodes;
  std::unordered_set<const Node*, NodeHash, NodeEqual> interned;
  std::deque<Axis> axes;
  // By kind and size, then key. Fresh ones are in no table: each is made once.
  std::map<std::pair<AxisKind, std::int64_t>, std::vector<AxisRef>> axis_of;
  std::int32_t next_fresh = 0;
  std::deque<Array> arrays;
  std::unordered_multimap<const Node*, ArrayRef> definitions;  // by body
  std::deque<Scan> scans;
  std::deque<Gradient> gradients;
  std::vector<Origin> origins{Origin{}};
  std::unordered_map<const Node*, Interval> bounds;
  std::unordered_map<const Node*, AxisSet> unsafe_axes;
  std::unordered_map<const Array*, bool> only_moves;
};

// The one node of this content; fills in what follows from the operands (id, origin, depth, free axes).
Expr intern(Arena& arena, Node node);

AxisSet united(const AxisSet& a, const AxisSet& b);
AxisSet without(const AxisSet& a, const std::vector<AxisRef>& b);
AxisSet as_set(std::vector<AxisRef> axes);
bool contains(const AxisSet& set, AxisRef axis);
bool overlap(const AxisSet& a, const AxisSet& b);
bool is_subset(const AxisSet& a, const AxisSet& b);

// Axes of the indices that are not seen to stay inside of their array, under the guards inside x.
const AxisSet& unsafe_axes(Expr x);
// Of the conditions those that keep the reads of x inside their arrays: just these where each is met by one, else all that share an axis
// with what may leave.
std::vector<Expr> protecting_conditions(Expr x, const std::vector<Expr>& conditions);
// x as weight * rest; weight 1 where it has none.
std::pair<double, Expr> scaled_form(Expr floating);
// x as factors; a sole factor of power 1 if it is no product.
std::vector<Factor> factors_of(Expr x);
// A selection of something or zero: a guard.
bool is_guarded(Expr x);

}  // namespace heed
