// Checks of graphs.
#include "ir/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_set>

#include "ir/algebra.h"
#include "ir/function.h"
#include "ir/print.h"

namespace heed {
namespace {

class Verifier {
 public:
  explicit Verifier(std::string_view pass) : pass_(pass) {}

  void graph(const Graph& graph) {
    std::set<std::string> names;
    std::vector<ArrayRef> ends;
    for (const GraphInput& input : graph.inputs) {
      if (!input.array || input.array->kind != Array::Kind::input) fail("an input is no array of kind input");
      if (!names.insert(input.array->name).second) fail(fmt::format("two inputs are called {}", input.array->name));
      known_.insert(input.array);
      if (!input.initial) continue;
      same_type(input.array, input.initial, "its initial value");
      ends.push_back(input.initial);
    }
    for (const GraphOutput& output : graph.outputs) {
      if (!output.array) fail(fmt::format("output {} has no array", output.name));
      if (output.updates) {
        bool is_input = std::ranges::any_of(graph.inputs, [&](const GraphInput& input) {
          return input.array == output.updates && (input.role == GraphInput::Role::parameter || input.role == GraphInput::Role::state);
        });
        if (!is_input) fail(fmt::format("output {} updates what is no parameter or state", output.name));
        same_type(output.updates, output.array, "its update");
      }
      ends.push_back(output.array);
    }
    arrays(ends);
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw std::logic_error(fmt::format("after {}: {}", pass_, what)); }
  [[noreturn]] void fail(ArrayRef array, const std::string& what) const {
    fail(fmt::format("array {} {}: {}", array->id, array->name.empty() ? "(unnamed)" : array->name, what));
  }
  [[noreturn]] void fail(ArrayRef array, Expr node, const std::string& what) const {
    fail(array, fmt::format("{}: {}", what, print(node)));
  }

  void same_type(ArrayRef a, ArrayRef b, std::string_view what) const {
    if (a->dtype != b->dtype || a->shape != b->shape) fail(a, fmt::format("{} is of another type", what));
  }

  void arrays(const std::vector<ArrayRef>& ends) {
    for (ArrayRef array : in_order(ends)) {
      if (!checked_.insert(array).second) continue;
      for (std::int64_t size : array->shape)
        if (size < 0) fail(array, fmt::format("size {}", size));
      for (ArrayRef read : reads_of(array))
        if (read->id >= array->id) fail(array, fmt::format("reads array {} that comes later", read->id));
      switch (array->kind) {
        case Array::Kind::input:
          if (!known_.contains(array)) fail(array, "is read but given by nothing");
          break;
        case Array::Kind::definition:
          definition(array);
          break;
        case Array::Kind::gradient:
          gradient(array);
          break;
        case Array::Kind::scanned:
          scan(array);
          break;
      }
    }
  }

  void gradient(ArrayRef array) {
    if (!array->gradient || !array->gradient->target->shape.empty()) fail(array, "is no gradient of a scalar");
    same_type(array, array->gradient->wrt.at(static_cast<std::size_t>(array->result)), "what it is the gradient by");
  }

  void scan(ArrayRef array) {
    if (!array->scan) fail(array, "has no scan");
    const Scan& scan = *array->scan;
    if (scan.elements.size() != scan.element_inputs.size() || scan.starts.size() != scan.carried_inputs.size() ||
        scan.starts.size() != scan.next.size())
      fail(array, "the scan's lists do not fit each other");
    for (std::size_t k = 0; k < scan.elements.size(); ++k) {
      std::vector<std::int64_t> shape = scan.element_inputs[k]->shape;
      shape.insert(shape.begin(), scan.length);
      if (scan.elements[k]->shape != shape || scan.elements[k]->dtype != scan.element_inputs[k]->dtype)
        fail(array, "a scan's element is no slice of what it runs over");
      known_.insert(scan.element_inputs[k]);
    }
    for (std::size_t k = 0; k < scan.starts.size(); ++k) {
      same_type(scan.carried_inputs[k], scan.starts[k], "its start");
      same_type(scan.carried_inputs[k], scan.next[k], "its next value");
      known_.insert(scan.carried_inputs[k]);
    }
    std::vector<ArrayRef> inside = scan.yields;
    inside.insert(inside.end(), scan.next.begin(), scan.next.end());
    arrays(inside);
  }

  void definition(ArrayRef array) {
    if (!array->body) fail(array, "has no body");
    if (array->body->dtype != compute_type(array->dtype))
      fail(array, fmt::format("is {}, but its body is {}", name_of(array->dtype), name_of(array->body->dtype)));
    std::vector<AxisRef> own = positions(array);
    for (AxisRef axis : array->body->free)
      if (std::ranges::find(own, axis) == own.end()) fail(array, array->body, "the body has an axis that is no position of the array");
    for (Expr node : nodes_of(array->body)) {
      if (!sound_.insert(node).second) continue;
      for (Expr operand : node->operands)
        if (operand->id >= node->id) fail(array, node, "an operand comes after its node");
      if (std::string wrong = mistyped(node); !wrong.empty()) fail(array, node, wrong);
      if (node->op != Op::read && rebuild(node, node->operands) != node)
        fail(array, node, "is no fixed point of its constructor: it becomes " + print(rebuild(node, node->operands)));
    }
    unguarded(array, array->body);
  }

  // What is wrong with the types of a node; empty if nothing is.
  static std::string mistyped(Expr x) {
    auto all = [&](auto&& has) { return std::ranges::all_of(x->operands, has); };
    auto of = [&](DType dtype) { return all([&](Expr operand) { return operand->dtype == dtype; }); };
    bool alike = x->operands.empty() || of(x->operands[0]->dtype);
    switch (x->op) {
      case Op::linear:
        return of(x->dtype) && x->operands.size() == (is_floating(x->dtype) ? x->weights.size() : x->integers.size())
                   ? ""
                   : "a linear combination of unlike types";
      case Op::product:
        return of(x->dtype) && x->operands.size() == x->weights.size() ? "" : "a product of unlike types";
      case Op::function:
        if (static_cast<int>(x->operands.size()) != x->function->arity) return "a function of a wrong number of arguments";
        if (!alike) return "a function of arguments of unlike types";
        return x->dtype == result_type(*x->function, x->operands[0]->dtype) ? "" : "a function's result is of a wrong type";
      case Op::cast:
        return x->dtype == compute_type(x->to) ? "" : "a cast is of a wrong type";
      case Op::quotient:
      case Op::remainder:
        return of(DType::i64) && x->integer > 1 ? "" : "a quotient of a wrong type";
      case Op::at_least_zero:
      case Op::is_zero:
        return of(DType::i64) ? "" : "an integer condition of a wrong type";
      case Op::at_least:
      case Op::greater:
      case Op::equal:
        return alike && x->operands.size() == 2 ? "" : "a comparison of unlike types";
      case Op::both:
      case Op::negation:
        return of(DType::boolean) ? "" : "a condition of what is no condition";
      case Op::select:
        return x->operands[0]->dtype == DType::boolean && x->operands[1]->dtype == x->dtype && x->operands[2]->dtype == x->dtype
                   ? ""
                   : "a selection of unlike types";
      case Op::reduction:
        return reduction_mistyped(x);
      case Op::read:
        if (!x->array || x->operands.size() != x->array->shape.size()) return "a read needs one index a dimension";
        return of(DType::i64) && x->dtype == compute_type(x->array->dtype) ? "" : "a read of a wrong type";
      default:
        return "";
    }
  }

  static std::string reduction_mistyped(Expr x) {
    if (x->axes.empty()) return "a reduction over nothing";
    for (AxisRef axis : x->axes)
      if (axis->kind != AxisKind::bound || axis->size < 2) return "a reduction over an axis that is not bound";
    DType body = x->operands[0]->dtype;
    if (x->reduction == Reduction::argmax)
      return x->axes.size() == 1 && x->dtype == DType::i64 ? "" : "an index of a maximum over several axes or of a wrong type";
    if (x->reduction == Reduction::any) return body == DType::boolean && x->dtype == body ? "" : "`any` of what is no condition";
    return x->dtype == body ? "" : "a reduction of a wrong type";
  }

  // Reads that leave their array at some position and stand under no selection. Intervals of combinations of axes are exact.
  void unguarded(ArrayRef array, Expr body) {
    std::unordered_set<Expr> seen;
    std::vector<Expr> stack{body};
    bool is_empty = std::ranges::find(array->shape, 0) != array->shape.end();
    while (!stack.empty() && !is_empty) {
      Expr x = stack.back();
      stack.pop_back();
      if (!seen.insert(x).second) continue;
      if (x->op == Op::read)
        for (std::size_t k = 0; k < x->operands.size(); ++k) {
          LinearForm form = linear_form(x->operands[k]);
          if (!std::ranges::all_of(form.terms, [](const IntegerTerm& term) { return term.x->op == Op::axis; })) continue;
          Interval range = bounds(x->operands[k]);
          if (range.low < 0 || range.high >= x->array->shape[k])
            fail(array, x,
                 fmt::format("index {} reaches {}, outside of size {}, with no guard", k, range.low < 0 ? range.low : range.high,
                             x->array->shape[k]));
        }
      if (x->op == Op::select)
        stack.push_back(x->operands[0]);
      else
        stack.insert(stack.end(), x->operands.begin(), x->operands.end());
    }
  }

  std::string_view pass_;
  std::unordered_set<ArrayRef> known_, checked_;
  std::unordered_set<Expr> sound_;
};

}  // namespace

void verify(const Graph& graph, std::string_view pass) { Verifier(pass).graph(graph); }

}  // namespace heed
