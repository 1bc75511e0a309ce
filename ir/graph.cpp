// Walks over expressions and arrays.
#include "ir/graph.h"

#include <algorithm>
#include <cstdint>
#include <unordered_set>
#include <utility>

namespace heed {

namespace {

// Which nodes a walk has met, by id: cheaper than a set, for walks are what passes do most.
class Met {
 public:
  Met() : round_(++rounds) {
    if (round_ == 0) {  // Started over: old marks must not look new.
      std::ranges::fill(marks, 0);
      round_ = ++rounds;
    }
  }
  bool insert(Expr node) {
    if (node->id >= marks.size()) marks.resize(2 * static_cast<std::size_t>(node->id) + 64);
    return std::exchange(marks[node->id], round_) != round_;
  }

 private:
  static thread_local std::vector<std::uint32_t> marks;
  static thread_local std::uint32_t rounds;
  std::uint32_t round_;
};
thread_local std::vector<std::uint32_t> Met::marks;
thread_local std::uint32_t Met::rounds = 0;

}  // namespace

std::vector<Expr> nodes_of(Expr expression) {
  std::vector<Expr> order;
  Met met;
  std::vector<std::pair<Expr, std::size_t>> path{{expression, 0}};  // each with the number of operands that are done
  met.insert(expression);
  while (!path.empty()) {
    auto& [node, done] = path.back();
    if (done == node->operands.size()) {
      order.push_back(node);
      path.pop_back();
    } else if (Expr operand = node->operands[done++]; met.insert(operand)) {
      path.emplace_back(operand, 0);
    }
  }
  return order;
}

std::vector<ArrayRef> reads_of(ArrayRef array) {
  if (array->kind == Array::Kind::definition) return array->reads;
  std::vector<ArrayRef> found;
  auto add = [&](ArrayRef read) {
    if (std::ranges::find(found, read) == found.end()) found.push_back(read);
  };
  if (array->gradient) {
    add(array->gradient->target);
    for (ArrayRef variable : array->gradient->wrt) add(variable);
  }
  if (const Scan* scan = array->scan) {
    for (ArrayRef element : scan->elements) add(element);
    for (ArrayRef start : scan->starts) add(start);
    std::vector<ArrayRef> inside = scan->yields;  // What the body reads from outside.
    inside.insert(inside.end(), scan->next.begin(), scan->next.end());
    std::unordered_set<ArrayRef> own(scan->element_inputs.begin(), scan->element_inputs.end());
    own.insert(scan->carried_inputs.begin(), scan->carried_inputs.end());
    // Arrays of the body depend on its stand-ins; all else comes from outside and is read whole.
    std::unordered_set<ArrayRef> depends;
    std::vector<ArrayRef> order = in_order(inside);
    for (ArrayRef part : order) {
      bool is_inside = own.contains(part);
      if (!is_inside)
        for (ArrayRef read : reads_of(part)) is_inside |= depends.contains(read);
      if (is_inside) depends.insert(part);
    }
    for (ArrayRef part : order) {
      if (!depends.contains(part)) continue;
      for (ArrayRef read : reads_of(part))
        if (!depends.contains(read)) add(read);
    }
    for (ArrayRef part : inside)
      if (!depends.contains(part)) add(part);
  }
  return found;
}

std::vector<ArrayRef> in_order(const std::vector<ArrayRef>& outputs) {
  std::vector<ArrayRef> order;
  std::unordered_set<ArrayRef> seen;
  std::vector<std::pair<ArrayRef, bool>> stack;
  for (auto output = outputs.rbegin(); output != outputs.rend(); ++output) stack.emplace_back(*output, false);
  while (!stack.empty()) {
    auto [array, reads_done] = stack.back();
    stack.pop_back();
    if (reads_done) {
      order.push_back(array);
      continue;
    }
    if (!seen.insert(array).second) continue;
    stack.emplace_back(array, true);
    std::vector<ArrayRef> reads = reads_of(array);
    for (auto read = reads.rbegin(); read != reads.rend(); ++read)
      if (!seen.contains(*read)) stack.emplace_back(*read, false);
  }
  return order;
}

std::vector<ArrayRef> in_order(const Graph& graph) {
  std::vector<ArrayRef> outputs;
  for (const GraphOutput& output : graph.outputs) outputs.push_back(output.array);
  return in_order(outputs);
}

std::int64_t element_count(ArrayRef array) {
  std::int64_t count = 1;
  for (std::int64_t size : array->shape) count *= size;
  return count;
}

std::int64_t byte_count(ArrayRef array) { return element_count(array) * byte_size(array->dtype); }

}  // namespace heed
