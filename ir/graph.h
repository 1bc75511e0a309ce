// A program in index notation: interned scalar expressions over named axes, and arrays as closed functions of their positions.
// Equal expressions are one node, modulo the names of bound axes. Nodes are made by the constructors of algebra.h, which
// return canonical form. Index expressions and guards are ordinary integer and boolean nodes.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ir/dtype.h"

namespace heed {

class Arena;
struct Array;
struct ScalarFunction;  // function.h
struct Node;
using Expr = const Node*;
using ArrayRef = const Array*;

enum class AxisKind : std::uint8_t {
  position,  // key-th position of the array that an expression defines
  bound,     // bound by a reduction; key is the depth of nesting, so that equal expressions are one node whatever they were called
  fresh,     // while an expression is under construction; never in a finished array
};

struct Axis {
  AxisKind kind;
  std::int32_t key;
  std::int64_t size;
  std::uint32_t id;
  Arena* arena;
};
using AxisRef = const Axis*;
using AxisSet = std::vector<AxisRef>;  // sorted by id, each once

enum class Op : std::uint8_t {
  constant,       // real, integer (booleans are 0 or 1)
  axis,           // axes[0] as a number (i64)
  linear,         // sum of weights[k] * operands[k], plus real; of integers: integers[k] * operands[k], plus integer
  product,        // product of operands[k] ** weights[k]; of integers with positive whole powers
  function,       // function(operands…), a record of function.h
  cast,           // operands[0] rounded or wrapped to `to`; the node's type is compute_type(to)
  quotient,       // operands[0] // integer, floored; integer > 1
  remainder,      // operands[0] % integer, in 0 … integer - 1
  at_least_zero,  // integer operands[0] >= 0
  is_zero,        // integer operands[0] == 0
  at_least,       // floating operands[0] >= operands[1]
  greater,        // floating operands[0] > operands[1]
  equal,          // floating operands[0] == operands[1]
  both,           // all operands (boolean)
  negation,       // not operands[0]
  select,         // operands[0] ? operands[1] : operands[2]; lazy: the branch not taken may read outside its array
  reduction,      // reduction over axes of operands[0]
  read,           // array at operands
};

enum class Reduction : std::uint8_t {
  sum,
  product,
  maximum,  // NaN wins; of an empty axis the lowest value of the type
  argmax,   // first index of the largest value (i64); exactly one axis
  any,
};

struct Node {
  Op op;
  DType dtype;  // f64, f32, i64 or boolean
  Reduction reduction{};
  DType to{};
  std::uint32_t id = 0;      // in order of creation: operands come first
  std::uint32_t origin = 0;  // of Arena::origin
  std::int32_t depth = 0;    // largest key of a bound axis in it, 0 if there is none
  bool has_reduction = false;
  Arena* arena = nullptr;
  std::vector<Expr> operands;
  std::vector<double> weights;
  std::vector<std::int64_t> integers;
  double real = 0;
  std::int64_t integer = 0;
  const ScalarFunction* function = nullptr;
  ArrayRef array = nullptr;
  std::vector<AxisRef> axes;  // axis, reduction: in order
  AxisSet free;
};

struct Interval {
  std::int64_t low, high;  // inclusive; the extremes of the type stand for infinity
};

struct Scan;
struct Gradient;

// A value at every position of a box. A definition's body reads positions(array) and nothing else free.
struct Array {
  enum class Kind : std::uint8_t {
    input,       // given from outside: data, parameters, state; in a scan's body: an element, a carried value
    definition,  // body
    scanned,     // result `result` of `scan`
    gradient,    // result `result` of `gradient`
  };
  Kind kind;
  DType dtype;
  std::uint32_t id = 0;  // in order of creation: what it reads comes first
  std::uint32_t origin = 0;
  Arena* arena = nullptr;
  std::string name;  // of an input unique in its graph; of others a hint for printing
  std::vector<std::int64_t> shape;
  Expr body = nullptr;
  std::vector<ArrayRef> reads;    // what the body reads, each once, in the order of nodes_of
  std::optional<Interval> range;  // of an integer input: values outside are an error of the input's
  const Scan* scan = nullptr;
  const Gradient* gradient = nullptr;
  int result = 0;
};

// Runs its body once for each index of the leading axis of the elements, in order (or from the end). Results: what is yielded,
// stacked along a new leading axis at the index of its step, then each carried value after the last step.
struct Scan {
  std::int64_t length;
  bool reverse = false;
  std::vector<ArrayRef> elements, element_inputs;  // [length, …] and its slice in the body (kind input)
  std::vector<ArrayRef> starts, carried_inputs;    // value before the first step, and its stand-in in the body
  std::vector<ArrayRef> yields, next;              // in terms of the stand-ins and of any array outside
};

// d target / d wrt[k], target a scalar. `differentiate` replaces it.
struct Gradient {
  ArrayRef target;
  std::vector<ArrayRef> wrt;
};

// Where a node came from: the line of the model file and the path of the layer instance ("h.3.attn"), and what was called ("softmax").
struct Origin {
  std::string file, path, what;
  int line = 0;
  bool operator==(const Origin&) const = default;
};

struct GraphInput {
  enum class Role : std::uint8_t { data, parameter, state, seed, step };
  Role role;
  ArrayRef array;
  ArrayRef initial = nullptr;  // parameters and states: value before the first step; may read the seed
  // What the model calls the array's axes: "B", "2*width"; "" of a number. May be empty. For people alone.
  std::vector<std::string> axes = {};
};

struct GraphOutput {
  std::string name;
  ArrayRef array;
  ArrayRef updates = nullptr;  // the parameter or state that takes this value for the next step; else a result
};

// A program at the sizes of a run. Passes take a graph and return another in the same arena.
struct Graph {
  std::shared_ptr<Arena> arena;
  std::string name;
  bool is_function = false;  // printed as `fn`, not `model`
  std::vector<GraphInput> inputs;
  std::vector<GraphOutput> outputs;
  std::vector<std::pair<std::string, std::int64_t>> sizes;  // what each symbol was bound to
};

// What the arrays read, directly.
std::vector<ArrayRef> reads_of(ArrayRef array);
// Every array that the given ones depend on and they themselves; what is read comes first. Does not enter bodies of scans.
std::vector<ArrayRef> in_order(const std::vector<ArrayRef>& outputs);
std::vector<ArrayRef> in_order(const Graph& graph);
// Nodes of an expression, operands first, each once; does not follow reads into arrays.
std::vector<Expr> nodes_of(Expr expression);
std::int64_t element_count(ArrayRef array);
std::int64_t byte_count(ArrayRef array);  // of all elements

}  // namespace heed
