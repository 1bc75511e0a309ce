// The flat form: graphs as model files that can be checked, run, trained and printed again (docs/language.md, "The flat form").
#pragma once
#include <span>
#include <string>

#include "ir/graph.h"
#include "ir/plan.h"

namespace heed {

// One stored array a line, in an order in which what is read comes first; arrays keep their names where those are unlike, and numbers
// read back exactly. Ends with a line end.
std::string print(const Graph& graph);
// The same, with the arrays of each region in a block of their own.
std::string print(const Graph& graph, std::span<const Region> regions);
std::string print(const Plan& plan);

// One expression, for messages: its axes are named by what they are.
std::string print(Expr expression);

}  // namespace heed
