// Joins the axes of a region's arrays.
#include "ir/region_frame.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "ir/algebra.h"

namespace heed {

namespace {

// Sets that only grow together.
class Unions {
 public:
  int add() {
    parent_.push_back(static_cast<int>(parent_.size()));
    return parent_.back();
  }
  int find(int x) {
    while (parent_[x] != x) x = parent_[x] = parent_[parent_[x]];
    return x;
  }
  void unite(int a, int b) {
    a = find(a), b = find(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<int> parent_;
};

class Joiner {
 public:
  Joiner(std::span<const ArrayRef> arrays, bool any_index) : arrays_(arrays.begin(), arrays.end()), any_index_(any_index) {}

  std::optional<RegionFrame> run() {
    for (int k = 0; k < count(); ++k) {
      index_[arrays_[k]] = k;
      components_.add();
      add_axes(k);
    }
    for (int k = 0; k < count(); ++k)
      for (Expr node : nodes_of(arrays_[k]->body))
        if (node->op == Op::read && index_.contains(node->array) && !join(k, node)) return {};
    if (!consistent()) return {};
    std::vector<int> everyone(arrays_.size());
    std::iota(everyone.begin(), everyone.end(), 0);
    const Unions unions = unions_;
    join_components(everyone);
    const bool is_plain = consistent();
    std::vector<int> outer = is_plain ? outer_of(everyone) : std::vector<int>{};
    if (!any_index_ && outer.empty()) {
      const Unions joined = std::exchange(unions_, unions);
      outer = rows_below_sums();
      if (!outer.empty()) return frame(outer);
      unions_ = joined;
    }
    if (!is_plain) return {};
    return frame(outer);
  }

 private:
  int count() const { return static_cast<int>(arrays_.size()); }

  void add_axes(int k) {
    axes_.emplace_back();
    auto add = [&](AxisRef axis) {
      if (axis->size == 1 || axes_[k].contains(axis)) return;
      axes_[k][axis] = unions_.add();
      sizes_.push_back(axis->size);
      order_.emplace_back(k, axis);
    };
    for (AxisRef axis : positions(arrays_[k])) add(axis);
    for (Expr node : nodes_of(arrays_[k]->body))
      if (node->op == Op::reduction)
        for (AxisRef axis : node->axes) add(axis);
  }

  // Array k reads another of the region.
  bool join(int k, Expr read) {
    int other = index_.at(read->array);
    std::vector<AxisRef> places = positions(read->array);
    for (std::size_t p = 0; p < places.size(); ++p) {
      if (places[p]->size == 1) continue;
      Expr index = read->operands[p];
      if (index->op != Op::axis || index->axes[0]->size != places[p]->size) {
        if (!any_index_) return false;
        whole_.push_back(axes_[other].at(places[p]));
        continue;
      }
      auto mine = axes_[k].find(index->axes[0]);
      if (mine == axes_[k].end()) return false;
      unions_.unite(mine->second, axes_[other].at(places[p]));
    }
    components_.unite(k, other);
    return true;
  }

  // No array has two axes in one place.
  bool consistent() {
    for (const auto& axes : axes_) {
      std::vector<int> roots;
      for (const auto& [axis, id] : axes) roots.push_back(unions_.find(id));
      std::ranges::sort(roots);
      if (std::ranges::adjacent_find(roots) != roots.end()) return false;
    }
    return true;
  }

  bool has_position(int k, int root) {
    return std::ranges::any_of(
        axes_[k], [&](const auto& entry) { return entry.first->kind == AxisKind::position && unions_.find(entry.second) == root; });
  }

  bool has_axis(int k, int root) {
    return std::ranges::any_of(axes_[k], [&](const auto& entry) { return unions_.find(entry.second) == root; });
  }

  // What every array among those has a position on, in the order of the largest one's.
  std::vector<int> outer_of(const std::vector<int>& members) {
    int largest = *std::ranges::max_element(members, {}, [&](int k) { return std::pair(element_count(arrays_[k]), -k); });
    std::vector<int> outer;
    for (AxisRef axis : positions(arrays_[largest])) {
      if (axis->size == 1) continue;
      int root = unions_.find(axes_[largest].at(axis));
      if (std::ranges::all_of(members, [&](int k) { return has_position(k, root); })) outer.push_back(root);
    }
    return outer;
  }

  void join_components(const std::vector<int>& members) {
    std::vector<std::vector<int>> components;
    std::vector<int> of(arrays_.size(), -1);
    for (int k : members) {
      int root = components_.find(k);
      if (of[root] < 0) of[root] = static_cast<int>(components.size()), components.emplace_back();
      components[of[root]].push_back(k);
    }
    std::vector<int> first = outer_of(components[0]);
    for (std::size_t c = 1; c < components.size(); ++c) {
      std::vector<int> next = outer_of(components[c]);
      for (std::size_t k = 0; k < std::min(first.size(), next.size()) && sizes_[first[k]] == sizes_[next[k]]; ++k)
        unions_.unite(first[k], next[k]);
    }
  }

  // The axes that all arrays share but for sums over them, which are noted; nothing if there are none such.
  std::vector<int> rows_below_sums() {
    std::vector<int> sums, others;
    for (int k = 0; k < count(); ++k) (is_last_sum(k) ? sums : others).push_back(k);
    if (sums.empty() || others.empty()) return {};
    for (int sum : sums)
      if (std::ranges::none_of(others, [&](int k) { return components_.find(k) == components_.find(sum); })) join_by_source(sum, others);
    if (!consistent()) return {};
    join_components(others);
    if (!consistent()) return {};
    std::vector<int> rows = outer_of(others);
    std::erase_if(rows,
                  [&](int root) { return !std::ranges::all_of(sums, [&](int k) { return has_axis(k, root) && !has_position(k, root); }); });
    if (!rows.empty())
      for (int k : sums) over_rows_.push_back(k);
    return rows;
  }

  // A sum, a factor aside, that no other array reads.
  bool is_last_sum(int k) const {
    Expr body = arrays_[k]->body;
    if (body->op == Op::linear && body->operands.size() == 1 && body->real == 0) body = body->operands[0];
    if (body->op != Op::reduction || body->reduction != Reduction::sum) return false;
    return std::ranges::none_of(arrays_, [&](ArrayRef other) {
      std::vector<ArrayRef> reads = reads_of(other);
      return std::ranges::find(reads, arrays_[k]) != reads.end();
    });
  }

  // Array k reads nothing of the others, but the same from outside at plain axes.
  void join_by_source(int k, const std::vector<int>& others) {
    for (Expr read : nodes_of(arrays_[k]->body)) {
      if (read->op != Op::read || !is_plain(read, k)) continue;
      for (int other : others)
        for (Expr same : nodes_of(arrays_[other]->body)) {
          if (same->op != Op::read || same->array != read->array || !is_plain(same, other)) continue;
          for (std::size_t p = 0; p < read->operands.size(); ++p)
            if (read->array->shape[p] != 1) unions_.unite(axis_at(read, p, k), axis_at(same, p, other));
          return;
        }
    }
  }
  bool is_plain(Expr read, int k) const {
    for (std::size_t p = 0; p < read->operands.size(); ++p)
      if (read->array->shape[p] != 1 && (read->operands[p]->op != Op::axis || !axes_[k].contains(read->operands[p]->axes[0]))) return false;
    return true;
  }
  int axis_at(Expr read, std::size_t p, int k) const { return axes_[k].at(read->operands[p]->axes[0]); }

  RegionFrame frame(const std::vector<int>& outer) {
    RegionFrame result;
    result.arrays = arrays_;
    result.over_rows.resize(arrays_.size());
    for (int k : over_rows_) result.over_rows[static_cast<std::size_t>(k)] = true;
    std::vector<int> number(sizes_.size(), -1);
    auto give = [&](int root) {
      if (number[root] >= 0) return;
      number[root] = static_cast<int>(result.sizes.size());
      result.sizes.push_back(sizes_[root]);
    };
    for (int root : outer) give(root);
    result.outer = static_cast<int>(result.sizes.size());
    for (const auto& [k, axis] : order_) give(unions_.find(axes_[k].at(axis)));
    result.whole.resize(result.sizes.size());
    for (int id : whole_) result.whole[static_cast<std::size_t>(number[unions_.find(id)])] = true;
    for (int k = 0; k < count(); ++k) {
      auto& axes = result.axis_of.emplace_back();
      for (const auto& [axis, id] : axes_[k]) axes[axis] = number[unions_.find(id)];
      int level = 0;
      for (ArrayRef read : reads_of(arrays_[k]))
        if (auto found = index_.find(read); found != index_.end())
          level = std::max(level, result.level[found->second] + read->body->has_reduction);
      result.level.push_back(level);
    }
    return result;
  }

  std::vector<ArrayRef> arrays_;
  bool any_index_;
  std::vector<int> over_rows_;
  std::vector<int> whole_;  // ids in unions_
  std::unordered_map<ArrayRef, int> index_;
  std::vector<std::unordered_map<AxisRef, int>> axes_;  // ids in unions_
  std::vector<std::pair<int, AxisRef>> order_;          // the same, in order
  std::vector<std::int64_t> sizes_;
  Unions unions_, components_;
};

}  // namespace

int RegionFrame::passes() const {
  int highest = 0;
  for (std::size_t k = 0; k < arrays.size(); ++k)
    if (std::ranges::any_of(axis_of[k], [&](const auto& entry) { return !is_outer(entry.second); })) highest = std::max(highest, level[k]);
  return highest + 1;
}

std::optional<RegionFrame> region_frame(std::span<const ArrayRef> arrays) { return Joiner(arrays, false).run(); }

std::optional<RegionFrame> region_frame_of_any(std::span<const ArrayRef> arrays) { return Joiner(arrays, true).run(); }

std::optional<RegionFrame> region_frame(const Region& region) { return region_frame(arrays_of(region)); }

std::vector<ArrayRef> arrays_of(const Region& region) {
  std::vector<ArrayRef> arrays = region.locals;
  arrays.insert(arrays.end(), region.outputs.begin(), region.outputs.end());
  std::ranges::sort(arrays, {}, &Array::id);
  return arrays;
}

}  // namespace heed
