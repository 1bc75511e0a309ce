// Counts and names what bodies do.
#include "codegen/region_info.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {
namespace {

// What an array's body computes that may be infinite or NaN of finite arguments.
void note_not_always_finite(ArrayRef array, std::vector<std::string>& noted) {
  auto note = [&](std::string_view what) {
    if (std::ranges::find(noted, what) == noted.end()) noted.emplace_back(what);
  };
  auto is_always_finite = [](const ScalarFunction& function) {
    if (!function.evaluate || function.arity != 1) return true;
    return std::ranges::all_of(std::array{-1e4, -2.0, 0.0, 1e4}, [&](double x) { return std::isfinite(function.evaluate(std::array{x})); });
  };
  if (!array->body) return;
  for (Expr node : nodes_of(array->body)) {
    if (node->op == Op::function && is_floating(node->dtype) && !is_always_finite(*node->function)) note(node->function->name);
    if (node->op != Op::product) continue;
    for (double power : node->weights) {
      if (power != std::floor(power)) note("a root");
      if (power < 0) note("a quotient");
    }
  }
}

// Operations of a body, each counted where its axes are.
double flop_of(ArrayRef array) {
  double total = 0;
  for (Expr x : nodes_of(array->body)) {
    double count = 1;
    for (AxisRef axis : x->op == Op::reduction ? x->operands[0]->free : x->free) count *= static_cast<double>(axis->size);
    if (x->op == Op::linear || x->op == Op::product)
      total += count * static_cast<double>(std::max<std::size_t>(1, x->operands.size() - 1));
    else if (x->op == Op::function || x->op == Op::reduction)
      total += count;
  }
  return total;
}

}  // namespace

RegionInfo region_info(const Region& region) {
  RegionInfo info;
  info.label = region.label;
  std::set<ArrayRef> read;
  for (ArrayRef array : region.outputs) {
    const Origin& origin = array->arena->origin(array->origin);
    if (info.source.empty() && origin.line > 0) {
      const std::string& named = origin.path.empty() ? array->name : origin.path;
      const std::string place = fmt::format("{}:{}", origin.file, origin.line);
      info.source = named.empty() ? place : fmt::format("{} ({})", named, place);
      info.layer = origin.path, info.line = place;
    }
    info.bytes += static_cast<double>(byte_count(array));
  }
  for (const auto* list : {&region.outputs, &region.locals})
    for (ArrayRef array : *list)
      for (ArrayRef source : reads_of(array))
        if (std::ranges::find(region.outputs, source) == region.outputs.end() &&
            std::ranges::find(region.locals, source) == region.locals.end() && read.insert(source).second)
          info.bytes += static_cast<double>(byte_count(source));
  for (const auto* list : {&region.outputs, &region.locals})
    for (ArrayRef array : *list) info.flop += flop_of(array);
  for (const auto* list : {&region.outputs, &region.locals})
    for (ArrayRef array : *list) note_not_always_finite(array, info.not_always_finite);
  return info;
}

}  // namespace heed
