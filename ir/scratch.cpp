// Takes the latest of everything out of an arena's tables, the newest first.
#include "ir/scratch.h"

#include "ir/arena.h"

namespace heed {

Scratch::Scratch(Arena& arena)
    : arena_(arena),
      nodes_(arena.tables().nodes.size()),
      axes_(arena.tables().axes.size()),
      arrays_(arena.tables().arrays.size()),
      scans_(arena.tables().scans.size()),
      gradients_(arena.tables().gradients.size()),
      next_fresh_(arena.tables().next_fresh) {}

// Finding a node looks at what it reads, so arrays go after nodes.
Scratch::~Scratch() {
  Arena::Tables& tables = arena_.tables();
  for (; tables.nodes.size() > nodes_; tables.nodes.pop_back()) {
    const Node* node = &tables.nodes.back();
    tables.bounds.erase(node);
    tables.unsafe_axes.erase(node);
    tables.interned.erase(node);
  }
  for (; tables.arrays.size() > arrays_; tables.arrays.pop_back()) {
    const Array& array = tables.arrays.back();
    tables.only_moves.erase(&array);
    auto [known, end] = tables.definitions.equal_range(array.body);
    while (known != end) known = known->second == &array ? tables.definitions.erase(known) : std::next(known);
  }
  while (tables.scans.size() > scans_) tables.scans.pop_back();
  while (tables.gradients.size() > gradients_) tables.gradients.pop_back();
  for (; tables.axes.size() > axes_; tables.axes.pop_back()) {
    const Axis& axis = tables.axes.back();
    if (axis.kind != AxisKind::fresh) tables.axis_of[{axis.kind, axis.size}][static_cast<std::size_t>(axis.key)] = nullptr;
  }
  tables.next_fresh = next_fresh_;
}

}  // namespace heed
