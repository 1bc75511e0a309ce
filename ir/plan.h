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

  // Where a stored array lies. Inputs and results are the caller's buffers; the rest shares one arena by lifetime, 64-byte aligned.
  // - An input lies in its own buffer, also if it is an output at once.
  // - An output that is computed lies in the first output's buffer that it is, or, where `in_place` says so, in that input's buffer.
  // - If one array is several outputs, or an input is an output, the others are copies of it, made at the end.
  struct Place {
    enum class Kind : std::uint8_t { arena, input, output } kind;
    std::int64_t offset = 0;  // arena: bytes; input: index in graph.inputs; output: index in graph.outputs
  };
  std::unordered_map<ArrayRef, Place> places;
  std::int64_t arena_bytes = 0;
  // Outputs that are updates written over what they replace: output's index and input's, in order. The caller binds both to one buffer.
  std::vector<std::pair<int, int>> in_place;
};

// The body of a scan: a plan of its own whose inputs are the element slices, the carried values and whatever it reads from outside.
// Before the first step the starts are copied to where the carried values lie; after each step `next` is copied there; after the
// last one the carried values are copied to the results that stand for them.
struct PlannedScan {
  const Scan* scan;
  std::vector<ArrayRef> results;   // the scanned arrays that are used, each with its `result`
  std::vector<ArrayRef> captured;  // arrays of the outer plan that the body reads
  Plan body;                       // inputs: element_inputs, carried_inputs, captured; outputs: yields, next, as in `scan`
  // Bytes in the outer plan's arena, in use during the scan alone. Offsets of the body's places count from `arena_offset`.
  std::int64_t arena_offset = 0;
  std::vector<std::int64_t> carried_offsets;  // of each carried value
  std::vector<std::int64_t> next_offsets;     // of each output `next`
  std::vector<std::int64_t> yield_offsets;    // of each output of `yields` that is no result in use; -1 for those that are
};

}  // namespace heed
