// Makes a graph that fails a check smaller, as long as it still fails.
#include <algorithm>

#include "ir/algebra.h"
#include "passes/rewrite.h"
#include "tests/random/check.h"

namespace heed {
namespace {

void drop_unread_inputs(Graph& graph) {
  std::vector<ArrayRef> read = in_order(graph);
  std::erase_if(graph.inputs, [&](const GraphInput& input) { return std::ranges::find(read, input.array) == read.end(); });
}

Graph with_output(Graph graph, ArrayRef output) {
  graph.outputs = {{"y0", output}};
  drop_unread_inputs(graph);
  return graph;
}

// A floating value inside is given from outside.
Graph with_given(const Graph& graph, ArrayRef array) {
  ArrayRef given = input(*graph.arena, "given" + std::to_string(array->id), array->shape, array->dtype);
  Graph result = rewrite(graph, [](ArrayRef definition, const ArrayTable& table) { return redefine(definition, table); },
                         {.arrays = {{array, given}}});
  result.inputs.push_back({GraphInput::Role::data, given});
  drop_unread_inputs(result);
  return result;
}

bool is_output(const Graph& graph, ArrayRef array) {
  return std::ranges::find(graph.outputs, array, &GraphOutput::array) != graph.outputs.end();
}

bool smaller(Graph& graph, const GraphCheck& check, int& attempts) {
  auto accept = [&](Graph candidate) {
    if (--attempts < 0 || !check(candidate)) return false;
    graph = std::move(candidate);
    return true;
  };
  std::vector<ArrayRef> order = in_order(graph);
  for (ArrayRef array : order)
    if (array->kind != Array::Kind::input && !(graph.outputs.size() == 1 && is_output(graph, array)) && accept(with_output(graph, array)))
      return true;
  for (auto array = order.rbegin(); array != order.rend(); ++array)
    if ((*array)->kind != Array::Kind::input && is_floating((*array)->dtype) && !is_output(graph, *array) &&
        accept(with_given(graph, *array)))
      return true;
  return false;
}

}  // namespace

// Which fault it is: what is said of it without numbers and names.
std::string kind_of(const std::string& text) { return text.substr(0, std::min<std::size_t>(text.find_first_of("0123456789\n"), 40)); }

Graph shrunk(Graph graph, const GraphCheck& check) {
  const Finding first = check(graph);
  if (!first) return graph;  // It was found once, and is not found again.
  const std::string kind = kind_of(*first);
  int attempts = 300;
  GraphCheck same = [&](const Graph& candidate) {
    Finding found = check(candidate);
    return found && kind_of(*found) == kind ? found : std::nullopt;
  };
  while (attempts > 0 && smaller(graph, same, attempts)) {
  }
  return graph;
}

}  // namespace heed
