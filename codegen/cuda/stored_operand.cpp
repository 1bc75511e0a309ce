// Slices and chunks are put into the address by the algebra; what comes out must fall apart into a part for each.
#include "codegen/cuda/stored_operand.h"

#include <algorithm>

#include "codegen/tile/interval.h"
#include "ir/integer.h"

namespace heed {
namespace {

constexpr std::int64_t in_chunk = 8;  // elements

bool has(Expr x, AxisRef axis) { return std::ranges::find(x->free, axis) != x->free.end(); }

bool has_memory(Expr index) {
  return std::ranges::any_of(nodes_of(index), [](Expr x) { return x->op == Op::read; });
}

// `chunked`: the axis of 0 … 7 in a chunk; its elements must lie side by side.
std::optional<StoredOperand> taken_apart(StoredOperand out, const LinearForm& address, AxisRef chunked, AxisRef inside) {
  bool has_chunks = false;
  out.lines.constant = address.constant;
  for (const IntegerTerm& term : address.terms) {
    if (term.weight == 1 && term.x == value(chunked)) {
      has_chunks = true;
      continue;
    }
    if (has(term.x, chunked) || term.weight % in_chunk != 0) return {};
    if (term.x == value(inside)) {
      out.pitch = term.weight;
    } else if (has(term.x, inside)) {
      return {};
    } else if (has(term.x, out.slice)) {
      if (term.x->free.size() > 1) return {};
      out.slices.terms.push_back(term);
    } else {
      out.lines.terms.push_back(term);
    }
  }
  if (!has_chunks || out.pitch == 0 || address.constant % in_chunk != 0) return {};
  return out;
}

}  // namespace

std::optional<std::int64_t> StoredOperand::slice_step() const {
  if (slices.terms.empty()) return 0;
  if (slices.terms.size() == 1 && slices.terms[0].x == value(slice)) return slices.terms[0].weight;
  return {};
}

std::optional<StoredOperand> stored_operand(Expr operand, AxisRef line, AxisRef depth, std::int64_t slice_depth) {
  if (operand->op != Op::read || (operand->array->dtype != DType::bf16 && operand->array->dtype != DType::f16)) return {};
  for (Expr index : operand->operands)
    if (!is_affine(index) || has_memory(index)) return {};
  Arena& arena = *operand->arena;
  const LinearForm address = affine_address(operand);
  const Expr whole = linear(address.terms, address.constant, arena);
  const Interval range = Intervals().of(whole);
  if (range.low < 0 || range.high >= element_count(operand->array)) return {};
  StoredOperand out{.read = operand, .slices = {{}, 0}, .pitch = 0};
  out.slice = fresh_axis(arena, ceil_divide(depth->size, slice_depth));
  AxisRef inside = fresh_axis(arena, slice_depth);
  const IntegerTerm place[] = {{slice_depth, value(out.slice)}, {1, value(inside)}};
  const Expr sliced = substitute(whole, {{depth, linear(place, 0, arena)}});
  out.along = Along::depth, out.line = line, out.pitch = 1;
  if (auto found = taken_apart(out, linear_form(sliced), inside, inside)) return found;
  AxisRef chunk = fresh_axis(arena, ceil_divide(line->size, in_chunk)), in = fresh_axis(arena, in_chunk);
  const IntegerTerm of_line[] = {{in_chunk, value(chunk)}, {1, value(in)}};
  out.along = Along::line, out.line = chunk, out.pitch = 0;
  return taken_apart(out, linear_form(substitute(sliced, {{line, linear(of_line, 0, arena)}})), in, inside);
}

std::optional<StoredGrid> grid_of(const StoredOperand& operand, AxisRef batch, std::int64_t slice_depth) {
  if (operand.slice_step().value_or(0) != slice_depth * operand.pitch && !operand.slices.terms.empty()) return {};
  StoredGrid out{operand.lines.constant, operand.along == Along::line ? 1 : 0, operand.pitch, 0};
  for (const IntegerTerm& term : operand.lines.terms) {
    if (term.weight <= 0) return {};
    if (term.x == value(batch)) {
      out.batch = term.weight;
    } else if (term.x == value(operand.line) && (operand.along == Along::depth || term.weight == in_chunk)) {
      out.line = operand.along == Along::depth ? term.weight : 1;
    } else {
      return {};
    }
  }
  if (out.line == 0 || out.depth <= 0) return {};
  return out;
}

}  // namespace heed
