// Pictures of programs as Graphviz text.
#pragma once
#include <string>

#include "ir/plan.h"

namespace heed {

struct DrawOptions {
  bool fold = true;  // equal layers once, with their number
};

// A cluster for each layer instance, a box for each call; shapes on the links, sizes named by their symbols.
std::string draw(const Graph& graph, const DrawOptions& options = {});
// A box for each region with what is in it: → is stored, · is not.
std::string draw(const Plan& plan, const DrawOptions& options = {});

}  // namespace heed
