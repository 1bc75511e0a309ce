// Product regions compiled for one processor and run with guard pages around every buffer, against the reference evaluator; and the
// makings of such regions.
#pragma once
#include <initializer_list>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "codegen/cpu/target.h"
#include "ir/algebra.h"
#include "ir/plan.h"
#include "ir/product_form.h"

namespace heed {

// What is wrong with the region's outputs on the target, with 1, 2, 3 and 7 threads; empty: nothing. `schedule`: how it was computed.
std::string product_fault(const Region& region, const Target& target, std::string* schedule = nullptr);

// On all of these that this machine runs (tests/processor.h).
void check_product(const Region& region, const std::vector<std::string_view>& targets = {"host", "avx2", "plain"});

// What becomes of a product of two stored arrays, 40 x `depth` and `depth` x 50.
std::string product_assembly(DType left, DType right, std::int64_t depth, std::string_view target);

struct Maker {
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  std::map<std::string, ArrayRef> inputs;
  DType usual = DType::f32;
  ArrayRef in(const std::string& name, std::vector<std::int64_t> shape) { return in(name, std::move(shape), usual); }
  ArrayRef in(const std::string& name, std::vector<std::int64_t> shape, DType dtype, std::optional<Interval> range = {}) {
    return inputs[name] = input(*arena, name, std::move(shape), dtype, range);
  }
  AxisRef axis(std::int64_t size) { return fresh_axis(*arena, size); }
};
struct Index {
  Index(Expr x) : x(x) {}
  Index(AxisRef axis) : x(value(axis)) {}
  Expr x;
};
inline Expr at(ArrayRef array, std::initializer_list<Index> places) {
  std::vector<Expr> indices;
  for (const Index& place : places) indices.push_back(place.x);
  return read(array, indices);
}
inline ArrayRef defined(std::vector<AxisRef> axes, Expr body, DType dtype = DType::f32) { return define(axes, body, dtype); }
inline Expr summed(std::vector<AxisRef> axes, Expr body) { return sum(axes, body); }

// A product of up to two axes for each role, each of at most `most` elements (the depth now and then of more), in a random order in
// operands and result, with steps, offsets and reversed axes.
Region random_product(Maker& make, std::mt19937& random, int most);

}  // namespace heed
