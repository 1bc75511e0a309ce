// Interning: equal nodes are one node, so that equality is identity.
#include "ir/arena.h"

#include <algorithm>
#include <bit>

namespace heed {

namespace {

std::size_t mixed(std::size_t seed, std::uint64_t value) {
  seed ^= value + 0x9e3779b97f4a7c15ULL + (seed << 12) + (seed >> 4);
  return seed * 0xff51afd7ed558ccdULL;
}

// Distinguishes 0.0 from -0.0 and joins equal NaNs.
std::uint64_t bits(double value) { return std::bit_cast<std::uint64_t>(value); }

bool equal_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return std::ranges::equal(a, b, [](double x, double y) { return bits(x) == bits(y); });
}

}  // namespace

std::size_t NodeHash::operator()(const Node* node) const {
  std::size_t seed = static_cast<std::size_t>(node->op) * 131 + static_cast<std::size_t>(node->dtype);
  for (Expr operand : node->operands) seed = mixed(seed, operand->id);
  for (double weight : node->weights) seed = mixed(seed, bits(weight));
  for (std::int64_t weight : node->integers) seed = mixed(seed, static_cast<std::uint64_t>(weight));
  for (AxisRef axis : node->axes) seed = mixed(seed, axis->id);
  seed = mixed(seed, bits(node->real));
  seed = mixed(seed, static_cast<std::uint64_t>(node->integer));
  seed = mixed(seed, node->array ? node->array->id + 1 : 0);
  seed = mixed(seed, std::hash<const void*>{}(node->function));
  return mixed(seed, static_cast<std::uint64_t>(node->reduction) * 16 + static_cast<std::uint64_t>(node->to));
}

bool NodeEqual::operator()(const Node* a, const Node* b) const {
  return a->op == b->op && a->dtype == b->dtype && a->reduction == b->reduction && a->to == b->to && a->operands == b->operands &&
         equal_bits(a->weights, b->weights) && a->integers == b->integers && bits(a->real) == bits(b->real) && a->integer == b->integer &&
         a->function == b->function && a->array == b->array && a->axes == b->axes;
}

Arena::Arena() : tables_(std::make_unique<Tables>()) {}
Arena::~Arena() = default;

void Arena::set_origin(Origin origin) {
  if (tables_->origins[current_origin_] == origin) return;
  if (tables_->origins.back() != origin) tables_->origins.push_back(std::move(origin));
  current_origin_ = static_cast<std::uint32_t>(tables_->origins.size() - 1);
}

const Origin& Arena::origin(std::uint32_t index) const { return tables_->origins[index]; }
std::size_t Arena::node_count() const { return tables_->nodes.size(); }

Expr intern(Arena& arena, Node node) {
  auto& tables = arena.tables();
  if (auto found = tables.interned.find(&node); found != tables.interned.end()) return *found;
  node.arena = &arena;
  node.id = static_cast<std::uint32_t>(tables.nodes.size());
  node.origin = arena.origin_index();
  for (Expr operand : node.operands) {
    node.free = united(node.free, operand->free);
    node.depth = std::max(node.depth, operand->depth);
    node.has_reduction |= operand->has_reduction;
  }
  if (node.op == Op::axis) node.free = {node.axes[0]};
  if (node.op == Op::reduction) {
    node.free = without(node.free, node.axes);
    node.has_reduction = true;
    for (AxisRef axis : node.axes) node.depth = std::max(node.depth, axis->key);
  }
  tables.nodes.push_back(std::move(node));
  Expr result = &tables.nodes.back();
  tables.interned.insert(result);
  return result;
}

namespace {

AxisRef add_axis(Arena& arena, AxisKind kind, std::int32_t key, std::int64_t size) {
  auto& axes = arena.tables().axes;
  axes.push_back({kind, key, size, static_cast<std::uint32_t>(axes.size()), &arena});
  return &axes.back();
}

}  // namespace

AxisRef axis_of(Arena& arena, AxisKind kind, std::int32_t key, std::int64_t size) {
  std::vector<AxisRef>& of_size = arena.tables().axis_of[{kind, size}];
  if (of_size.size() <= static_cast<std::size_t>(key)) of_size.resize(static_cast<std::size_t>(key) + 1);
  AxisRef& entry = of_size[static_cast<std::size_t>(key)];
  if (!entry) entry = add_axis(arena, kind, key, size);
  return entry;
}

// Nobody asks for one by its key, so the table stays small.
AxisRef fresh_axis(Arena& arena, std::int64_t size) { return add_axis(arena, AxisKind::fresh, arena.tables().next_fresh++, size); }

AxisSet united(const AxisSet& a, const AxisSet& b) {
  if (a.empty() || a == b) return b;
  if (b.empty()) return a;
  AxisSet result;
  std::ranges::set_union(a, b, std::back_inserter(result), {}, &Axis::id, &Axis::id);
  return result;
}

AxisSet without(const AxisSet& a, const std::vector<AxisRef>& b) {
  AxisSet result;
  for (AxisRef axis : a)
    if (std::ranges::find(b, axis) == b.end()) result.push_back(axis);
  return result;
}

AxisSet as_set(std::vector<AxisRef> axes) {
  std::ranges::sort(axes, {}, &Axis::id);
  axes.erase(std::ranges::unique(axes).begin(), axes.end());
  return axes;
}

bool contains(const AxisSet& set, AxisRef axis) { return std::ranges::binary_search(set, axis->id, {}, &Axis::id); }

bool overlap(const AxisSet& a, const AxisSet& b) {
  return std::ranges::any_of(a, [&](AxisRef axis) { return contains(b, axis); });
}

bool is_subset(const AxisSet& a, const AxisSet& b) {
  return std::ranges::all_of(a, [&](AxisRef axis) { return contains(b, axis); });
}

}  // namespace heed
