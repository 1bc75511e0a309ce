// Recurrences: a scan's body is run once, on stand-ins for the elements and the carried values. Regions of the flat form.
#include <fmt/format.h>

#include <algorithm>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

std::vector<std::int64_t> values_of(const std::vector<Dimension>& shape) {
  std::vector<std::int64_t> result;
  for (const Dimension& dimension : shape) result.push_back(dimension.value);
  return result;
}

// A region's label is the comment behind its opening brace.
std::string comment_on(const syntax::File& file, Span line) {
  if (line.file != file.source) return "";
  for (const syntax::Token& token : file.tokens)
    if (token.kind == syntax::Token::Kind::comment && token.span.line == line.line)
      return std::string(token.text.substr(std::min(token.text.find_first_not_of("# "), token.text.size())));
  return "";
}

}  // namespace

Value Elaborator::scan(const syntax::Scan& scan, Span span, Scope& scope) {
  std::string name = std::exchange(builder.name_hint, {});
  Scan made{0, scan.reverse, {}, {}, {}, {}, {}, {}};
  Scope inner{scope.module, &scope};
  inner.in_scan = true;
  std::optional<Dimension> length;
  for (const syntax::Binding& element : scan.elements) {
    ShapedArray array;
    if (const auto* range = std::get_if<syntax::Range>(&element.value->node)) {
      Dimension first = dimension_of(*range->first, scope), end = dimension_of(*range->end, scope);
      array = builder.define({end - first}, DType::i32, [&](std::span<const Expr> positions) { return shift(positions[0], first.value); });
    } else {
      Value value = evaluate(*element.value, scope);
      if (is<Unknown>(value)) throw Unreported{};
      array = array_of(builder, value, element.value->span);
    }
    if (array.shape.empty()) throw Mistake{element.value->span, "a scan runs over the leading axis of an array, but this is a scalar"};
    if (length && !(*length == array.shape[0]))
      throw Mistake{element.value->span, fmt::format("the elements of a scan have one length, but {} and {} differ", length->size.text(),
                                                     array.shape[0].size.text())};
    length = array.shape[0];
    std::vector<Dimension> rest(array.shape.begin() + 1, array.shape.end());
    ShapedArray stand_in{input(builder.arena(), element.name.text, values_of(rest), array.dtype()), rest};
    made.elements.push_back(array.array);
    made.element_inputs.push_back(stand_in.array);
    inner.names[element.name.text] = stand_in;
  }
  if (!length) throw Mistake{span, "a scan needs elements to run over", "`scan(x in xs, …)` or `scan(i in 0..n, …)`"};
  made.length = length->value;
  std::vector<ShapedArray> carried;
  for (const syntax::Binding& value : scan.carried) {
    Value start = evaluate(*value.value, scope);
    if (is<Unknown>(start)) throw Unreported{};
    if (is<Scalar>(start)) start = settle(start, value.value->span);
    ShapedArray array =
        is<Dimension>(start) ? builder.constant(Real{number_of(start), ""}, DType::f32) : array_of(builder, start, value.value->span);
    ShapedArray stand_in{input(builder.arena(), value.name.text, values_of(array.shape), array.dtype()), array.shape};
    made.starts.push_back(array.array);
    made.carried_inputs.push_back(stand_in.array);
    carried.push_back(array);
    inner.names[value.name.text] = stand_in;
  }
  ArrayRef index = input(builder.arena(), "index", {}, DType::i32, Interval{0, std::max<std::int64_t>(made.length - 1, 0)});
  std::vector<Builder::Turn> turns = builder.turns;
  turns.push_back({index, made.length});
  Flow flow;
  {
    Temporarily outside(index_depth_, 0);
    Temporarily inside(scan_depth_, scan_depth_ + 1);
    Temporarily around(builder.turns, std::move(turns));
    run(scan.body, inner, flow);
  }
  if (builder.drawn_at.contains(index)) {
    made.elements.push_back(builder.define({*length}, DType::i32, [](std::span<const Expr> positions) { return positions[0]; }).array);
    made.element_inputs.push_back(index);
  }
  if (flow.returned) throw Mistake{span, "a scan's body yields; it does not return", "write `yield …`"};
  std::vector<std::vector<Dimension>> shapes;
  for (const Evaluated& yielded : flow.yielded) {
    if (has_unknown(yielded.value)) throw Unreported{};
    ShapedArray array = array_of(builder, yielded.value, yielded.span);
    made.yields.push_back(array.array);
    shapes.push_back(array.shape);
    shapes.back().insert(shapes.back().begin(), *length);
  }
  for (std::size_t k = 0; k < carried.size(); ++k) {
    const Value& value = inner.names[scan.carried[k].name.text];
    if (has_unknown(value)) throw Unreported{};
    ShapedArray next = array_of(builder, value, span, carried[k].dtype());
    if (next.dtype() != carried[k].dtype() || !(next.shape == carried[k].shape))
      throw Mistake{scan.carried[k].name.span, fmt::format("the carried value `{}` begins as {} and becomes {}", scan.carried[k].name.text,
                                                           describe(carried[k]), describe(next))};
    made.next.push_back(next.array);
    shapes.push_back(carried[k].shape);
  }
  mark_origin(span, "scan");
  std::vector<ArrayRef> arrays = heed::scan(builder.arena(), std::move(made));
  std::vector<Value> results;
  for (std::size_t k = 0; k < arrays.size(); ++k) results.push_back(ShapedArray{arrays[k], shapes[k]});
  return results.size() == 1 ? results[0] : Value(list_of(std::move(results)));
}

Value Elaborator::region(const syntax::Region& region, Span span, Scope& scope) {
  for (const auto& input : region.inputs) evaluate(*input, scope);  // for mistakes: names that are not there
  Scope inner{scope.module, &scope};
  Flow flow;
  run(region.body, inner, flow);
  if (!flow.returned) throw Mistake{span, "a region returns what it stores", "end it with `return …`"};
  Region made;
  made.label = comment_on(module.file, span);
  std::vector<Value> results;
  for (const Evaluated& value : *flow.returned) {
    if (has_unknown(value.value)) throw Unreported{};
    ShapedArray array = array_of(builder, value.value, value.span);
    made.outputs.push_back(array.array);
    results.push_back(array);
  }
  for (const auto& [name, value] : inner.names) {
    const auto* array = get_if<ShapedArray>(value);
    if (array && std::find(made.outputs.begin(), made.outputs.end(), array->array) == made.outputs.end())
      made.locals.push_back(array->array);
  }
  auto by_id = [](ArrayRef a, ArrayRef b) { return a->id < b->id; };
  std::sort(made.locals.begin(), made.locals.end(), by_id);
  std::sort(made.outputs.begin(), made.outputs.end(), by_id);
  regions.push_back(std::move(made));
  return results.size() == 1 ? results[0] : Value(list_of(std::move(results)));
}

}  // namespace heed
