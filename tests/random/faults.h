// Faults as a pass or a kernel could make them, planted into graphs: what the checks must see.
#pragma once
#include <optional>
#include <random>
#include <span>
#include <string_view>

#include "ir/graph.h"
#include "ir/plan.h"

namespace heed {

// What a node becomes by a fault; null where the fault has no place.
struct NodeFault {
  std::string_view name;
  Expr (*plant)(Expr node);
};
std::span<const NodeFault> node_faults();
// The graph with the fault at one place, chosen at random; nothing if it has none.
std::optional<Graph> planted(const Graph& graph, const NodeFault& fault, std::mt19937_64& random);

struct PlanFault {
  std::string_view name;
  bool (*plant)(Plan& plan, std::mt19937_64& random);  // whether there was a place
};
std::span<const PlanFault> plan_faults();

}  // namespace heed
