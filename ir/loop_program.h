// The evaluator's form of one array's body: loops over axes and short lists of instructions on rows of values. Each value stands in the
// outermost loop that has all its axes; the innermost loops run on up to `lanes` indices at a time.
#pragma once
#include <functional>
#include <map>
#include <unordered_map>
#include <vector>

#include "ir/function.h"
#include "ir/graph.h"

namespace heed::loops {

union Slot {
  double real;
  std::int64_t integer;  // also booleans, 0 or 1
};

inline constexpr int lanes = 128;

enum class Code : std::uint8_t {
  constant,
  linear_real,
  linear_integer,
  product_real,
  product_integer,
  call,
  cast,
  quotient,
  remainder,
  at_least_zero,
  is_zero,
  at_least,
  greater,
  equal_real,
  equal_integer,
  both,
  negation,
  only_not,  // only_not: operands[0] and not operands[1]
  select,
  check,
  read,
  reduce,
  accumulate,
  run,
  store,
};

struct Instruction {
  Code code;
  int result = -1;
  std::vector<int> operands;  // values
  int mask = -1;              // a boolean value: where it is false nothing is read or checked and the result does not count
  int loop = -1;              // run, reduce: the loop inside
  int dimension = 0;          // check
  int array = -1;             // read: index into Program::arrays
  std::int64_t integer = 0;   // constant; of a linear combination and of an address; divisor; limit of a check
  std::int64_t step = 0;      // read: added to the address for each index of its loop
  double real = 0;
  bool from_real = false;  // cast, reductions: operands are floating
  std::vector<double> weights;
  std::vector<std::int64_t> integers;
  Expr node = nullptr;
};

struct Value {
  int loop;
  int offset = -1;  // of its first lane; values of innermost loops have `lanes`, others one
  int step = 0;     // from lane to lane
};

struct Loop {
  std::int64_t size;
  int parent, depth;
  int index = -1;  // the value that holds the index; -1 if nothing reads it
  bool innermost = true;
  std::vector<Instruction> code;
};

struct Program {
  std::vector<Loop> loops;  // 0 runs once
  std::vector<Value> values;
  std::vector<ArrayRef> arrays;  // that it reads
  int slots = 0;
};

Program compile(ArrayRef definition);
// Writes every element of the definition, in row-major order. `rounding`: casts round to their floating types.
void run(const Program& program, const std::vector<const Slot*>& arrays, bool rounding, Slot* out);

}  // namespace heed::loops
