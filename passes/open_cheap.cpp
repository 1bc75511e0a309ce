// Opens elementwise values that cost less to make again than to store.
#include "passes/open_cheap.h"

#include <algorithm>

#include "ir/algebra.h"
#include "passes/kind.h"
#include "passes/opening.h"
#include "passes/work.h"

namespace heed {

namespace {

constexpr std::size_t largest_body = 48;  // nodes; what is opened into what is opened must not grow without end

struct Reading {
  ArrayRef reader;
  int reads;  // at different indices
};
using Readers = std::unordered_map<ArrayRef, std::vector<Reading>>;

Readers readers_of(const std::vector<ArrayRef>& arrays) {
  Readers readers;
  for (ArrayRef array : arrays) {
    if (array->kind != Array::Kind::definition) {
      for (ArrayRef read : reads_of(array)) readers[read].push_back({array, 1});
      continue;
    }
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::read) continue;
      auto& list = readers[node->array];
      if (list.empty() || list.back().reader != array) list.push_back({array, 0});
      ++list.back().reads;
    }
  }
  return readers;
}

bool is_elementwise(Expr body) {
  return !body->has_reduction && std::ranges::all_of(nodes_of(body), [](Expr node) {
    return node->op != Op::read || std::ranges::all_of(node->operands, is_affine);
  });
}

// Bytes of memory traffic, arithmetic as the traffic of the same time, of making the value wherever it is read instead of storing it.
double saved_by_opening(ArrayRef made, const std::vector<Reading>& readings, const Readers& readers,
                        const std::unordered_set<ArrayRef>& fixed, const std::unordered_map<ArrayRef, ArrayRef>& before) {
  const Machine machine;
  double arithmetic =
      static_cast<double>(element_count(made)) * operations_of(made->body, machine) / machine.map_per_second * machine.bytes_per_second;
  double open = 0, store = bytes_of(made);
  for (const Reading& reading : readings) store += reading.reads * bytes_of(made);
  for (ArrayRef source : reads_of(made)) {
    auto old = before.find(source);
    ArrayRef original = old == before.end() ? source : old->second;
    auto others = readers.find(original);
    bool stored_anyway =
        source->kind == Array::Kind::input || fixed.contains(original) || (others != readers.end() && others->second.size() > 1);
    if (!stored_anyway) open += bytes_of(source);
    for (const Reading& reading : readings) {
      bool reads_already = others != readers.end() &&
                           std::ranges::any_of(others->second, [&](const Reading& other) { return other.reader == reading.reader; });
      if (!reads_already) open += reading.reads * bytes_of(source);
    }
  }
  for (const Reading& reading : readings) open += reading.reads * arithmetic;
  return store - open;
}

}  // namespace

Graph open_cheap(const Graph& graph) {
  const std::vector<ArrayRef> arrays = all_arrays(outputs_of(graph));
  const std::unordered_set<ArrayRef> fixed = fixed_arrays(graph, arrays);
  const Readers readers = readers_of(arrays);
  std::unordered_map<ArrayRef, ArrayRef> before;  // what a new array was
  std::unordered_set<ArrayRef> open;              // new arrays
  return rewrite(graph, [&](ArrayRef definition, const ArrayTable& table) {
    ArrayRef made = with_open_reads(definition, table, open);
    before.emplace(made, definition);
    auto found = readers.find(definition);
    if (made->kind != Array::Kind::definition || fixed.contains(definition) || found == readers.end()) return made;
    if (element_count(made) == 1 || !is_elementwise(made->body) || nodes_of(made->body).size() > largest_body) return made;
    for (const Reading& reading : found->second) {
      Kind kind = kind_of(reading.reader);
      if (kind == Kind::product || kind == Kind::scatter) return made;
    }
    if (saved_by_opening(made, found->second, readers, fixed, before) > 0) open.insert(made);
    return made;
  });
}

}  // namespace heed
