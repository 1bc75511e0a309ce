// What fusion decides and code generation needs, as plain data: which arrays are stored, which kernel computes them, where they lie.
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "ir/graph.h"

namespace heed {

// One kernel. It means exactly what its arrays' bodies mean; locals are never stored and may be remade in several regions.
// Outputs are in an order in which each reads only what comes before it, or comes from outside.
struct Region {
  std::vector<ArrayRef> locals;   // in order
  std::vector<ArrayRef> outputs;  // in order
  std::string label;              // in words: "softmax over keys", "product 2048x1536x384, gelu"
};

struct PlannedScan;

struct Plan {
  Graph graph;
  using Step = std::variant<Region, std::shared_ptr<PlannedScan>>;
  std::vector<Step> steps;

  // Where a stored array lies. Inputs and results are the caller's buffers; the rest shares one arena by lifetime.
  struct Place {
    enum class Kind : std::uint8_t { arena, input, output } kind;
    std::int64_t offset = 0;  // arena: bytes; input: index in graph.inputs; output: index in graph.outputs
  };
  std::unordered_map<ArrayRef, Place> places;
  std::int64_t arena_bytes = 0;
};

// The body of a scan: a plan of its own whose inputs are the element slices, the carried values and whatever it reads from outside.
struct PlannedScan {
  const Scan* scan;
  std::vector<ArrayRef> results;   // the scanned arrays that are used, each with its `result`
  std::vector<ArrayRef> captured;  // arrays of the outer plan that the body reads
  Plan body;                       // inputs: element_inputs, carried_inputs, captured; outputs: yields, next
};

}  // namespace heed
