// Remaking expressions and graphs.
#include "passes/rewrite.h"

#include <algorithm>
#include <unordered_set>

#include "ir/algebra.h"

namespace heed {
namespace {

class Remaker {
 public:
  Remaker(const RewriteDefinition& definition, const Redirect& redirect) : definition_(definition), redirect_(redirect) {}

  ArrayRef operator()(ArrayRef array) {
    take(array);
    return table_.at(array);
  }
  std::vector<ArrayRef> operator()(const std::vector<ArrayRef>& arrays) {
    std::vector<ArrayRef> made;
    for (ArrayRef each : arrays) made.push_back((*this)(each));
    return made;
  }

 private:
  // What it reads first; nothing below what is made already is looked at again.
  void take(ArrayRef root) {
    std::vector<std::pair<ArrayRef, bool>> stack{{root, false}};
    while (!stack.empty()) {
      auto [array, reads_done] = stack.back();
      stack.pop_back();
      if (table_.contains(array)) continue;
      if (reads_done) {
        remake(array);
        continue;
      }
      stack.emplace_back(array, true);
      if (ArrayRef other = redirected(array)) {
        stack.emplace_back(other, false);
      } else {
        const std::vector<ArrayRef> reads = reads_of(array);
        for (auto read = reads.rbegin(); read != reads.rend(); ++read) stack.emplace_back(*read, false);
      }
    }
  }

  // What is made in its place; null for the array itself.
  ArrayRef redirected(ArrayRef array) const {
    if (auto found = redirect_.arrays.find(array); found != redirect_.arrays.end()) return found->second;
    if (!array->scan) return nullptr;
    auto found = redirect_.scans.find(array->scan);
    return found == redirect_.scans.end() ? nullptr : found->second.at(static_cast<std::size_t>(array->result));
  }

  void remake(ArrayRef array) {
    if (ArrayRef other = redirected(array)) {
      table_[array] = table_.at(other);
      return;
    }
    array->arena->set_origin_index(array->origin);
    switch (array->kind) {
      case Array::Kind::input:
        table_[array] = array;
        return;
      case Array::Kind::definition:
        table_[array] = definition_(array, table_);
        return;
      case Array::Kind::scanned:
        table_[array] = remake_scan(array);
        return;
      case Array::Kind::gradient:
        table_[array] = remake_gradient(array);
        return;
    }
  }

  ArrayRef remake_scan(ArrayRef array) {
    const auto result = static_cast<std::size_t>(array->result);
    if (auto known = scans_.find(array->scan); known != scans_.end()) return known->second.empty() ? array : known->second[result];
    const Scan& old = *array->scan;
    Scan made = old;
    made.elements = (*this)(old.elements);
    made.starts = (*this)(old.starts);
    made.yields = (*this)(old.yields);
    made.next = (*this)(old.next);
    const bool same = made.elements == old.elements && made.starts == old.starts && made.yields == old.yields && made.next == old.next;
    const std::vector<ArrayRef>& results = scans_[&old] = same ? std::vector<ArrayRef>{} : scan(*array->arena, std::move(made));
    return same ? array : results[result];
  }

  ArrayRef remake_gradient(ArrayRef array) {
    auto known = gradients_.find(array->gradient);
    if (known == gradients_.end()) {
      std::vector<ArrayRef> results = gradient((*this)(array->gradient->target), (*this)(array->gradient->wrt));
      known = gradients_.emplace(array->gradient, std::move(results)).first;
    }
    return known->second.at(static_cast<std::size_t>(array->result));
  }

  const RewriteDefinition& definition_;
  const Redirect& redirect_;
  ArrayTable table_;
  ScanTable scans_;  // none where nothing changed
  std::unordered_map<const Gradient*, std::vector<ArrayRef>> gradients_;
};

}  // namespace

ArrayRef redefine(ArrayRef definition, const ArrayTable& table) {
  Expr body = replace_arrays(definition->body, table);
  if (body == definition->body) return definition;
  return define(positions(definition), body, definition->dtype, definition->name);
}

std::vector<ArrayRef> rewrite(const std::vector<ArrayRef>& arrays, const RewriteDefinition& definition, const Redirect& redirect) {
  return Remaker(definition, redirect)(arrays);
}

Graph rewrite(const Graph& graph, const RewriteDefinition& definition, const Redirect& redirect) {
  const std::uint32_t origin = graph.arena->origin_index();
  std::vector<ArrayRef> made = rewrite(outputs_of(graph), definition, redirect);
  graph.arena->set_origin_index(origin);
  Graph result = graph;
  for (std::size_t k = 0; k < made.size(); ++k) result.outputs[k].array = made[k];
  return result;
}

std::vector<ArrayRef> outputs_of(const Graph& graph) {
  std::vector<ArrayRef> arrays;
  for (const GraphOutput& output : graph.outputs) arrays.push_back(output.array);
  return arrays;
}

std::vector<ArrayRef> all_arrays(const std::vector<ArrayRef>& outputs) {
  std::vector<ArrayRef> all;
  std::unordered_set<ArrayRef> met;
  std::unordered_set<const Scan*> entered;
  auto take = [&](auto& self, const std::vector<ArrayRef>& roots) -> void {
    for (ArrayRef array : in_order(roots)) {
      if (met.contains(array)) continue;
      if (array->kind == Array::Kind::scanned && entered.insert(array->scan).second) {
        self(self, array->scan->yields);
        self(self, array->scan->next);
      }
      if (met.insert(array).second) all.push_back(array);
    }
  };
  take(take, outputs);
  return all;
}

}  // namespace heed
