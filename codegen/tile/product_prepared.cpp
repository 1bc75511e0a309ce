// Chooses how a product is computed: which operand's axes are the columns, what multiplies, and what its launches read.
#include "codegen/tile/product_prepared.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "codegen/tile/expression_text.h"
#include "codegen/tile/product_pairs.h"

namespace heed {

std::vector<ArrayRef> right_reads(const FlatProduct& product) {
  std::vector<ArrayRef> found;
  for (Expr half : {product.b, product.b_odd})
    for (Expr node : half ? nodes_of(half) : std::vector<Expr>()) {
      if (node->op != Op::read) continue;
      auto words = std::ranges::find(product.words, node->array, &FlatProduct::Words::words);
      found.push_back(words == product.words.end() ? node->array : words->array);
    }
  return found;
}

namespace {

// Over pairs of the depth where the processor multiplies them and the factors allow it.
std::optional<FlatProduct> flat_product_for(const Target& target, const Region& region, bool swapped, const Slices& slices) {
  std::optional<FlatProduct> flat = flat_product(region, swapped, slices, Numbers::all);
  const bool wants_pairs = target.multiplies_pairs || target.multiplies_matrices;
  std::optional<FlatProduct> paired = flat && wants_pairs ? over_pairs(*flat) : std::nullopt;
  return paired ? paired : flat;
}

bool right_stays(const FlatProduct& product, const ProductOptions& options) {
  return std::ranges::all_of(right_reads(product), [&](ArrayRef array) { return options.stays.contains(array); });
}

struct ScheduledProduct {
  FlatProduct product;
  ProductSchedule schedule;
};

// Which operand's axes are the columns: the other way round is tried where columns would fill few vectors.
std::optional<ScheduledProduct> choose_sides(const Region& region, const Target& target, const ProductOptions& options) {
  std::optional<FlatProduct> flat = flat_product_for(target, region, false, options.slices);
  if (!flat) return {};
  ScheduledProduct plain{*flat, schedule_product(*flat, target, {options.is_shared, right_stays(*flat, options)})};
  const int lanes = plain.schedule.tile.lanes;
  if (plain.product.column->size >= 2 * lanes && stores_contiguously(plain.product, lanes)) return plain;
  flat = flat_product_for(target, region, true, options.slices);
  ScheduledProduct swapped{*flat, schedule_product(*flat, target, {options.is_shared, right_stays(*flat, options)})};
  return swapped.schedule.cost < plain.schedule.cost ? swapped : plain;
}

// Matrices are filled up in rows and depth, and their operands packed: small products may do without.
std::optional<ScheduledProduct> choose_multiplier(const Region& region, const Target& target, const ProductOptions& options) {
  std::optional<ScheduledProduct> best = choose_sides(region, target, options);
  if (!best || best->schedule.multiplier != Multiplier::matrices) return best;
  Target vectors = target;
  vectors.multiplies_matrices = false;
  std::optional<ScheduledProduct> other = choose_sides(region, vectors, options);
  return other->schedule.cost < best->schedule.cost ? other : best;
}

void prepare(PreparedProduct& p) {
  const FlatProduct& product = p.product;
  const ProductSchedule& s = p.schedule;
  Arena& arena = *product.a->arena;
  p.block = fresh_axis(arena, s.depth_blocks);
  p.inside = fresh_axis(arena, s.depth_block);
  p.plain_a = plain_operand(product.a, product.dtype, product.row, product.depth, p.block, p.inside);
  p.plain_b = plain_operand(product.b, product.dtype, product.column, product.depth, p.block, p.inside);
  p.columns = cut_into_vectors(product.column, s.tile.lanes);
  p.a = packed_operand(product.a, product.a_odd, s.a_packing, product.row, product.depth, s.tile.lanes, s.a_run);
  // The last panel is packed even where the others are read in place.
  p.b = packed_operand(product.b, product.b_odd, s.b_packing == Packing::in_place ? Packing::across_depth : s.b_packing, product.column,
                       product.depth, s.tile.lanes, s.b_run);
  p.accesses.add_local(product.sum);
  auto prepare_address = [&](const LinearForm& address) {
    for (const IntegerTerm& term : address.terms) p.accesses.prepare(term.x);
  };
  for (const auto& plain : {p.plain_a, p.plain_b})
    if (plain) prepare_address(plain->origin);
  if (s.a_packing == Packing::in_place)
    p.accesses.add_buffer(p.plain_a->array);
  else
    for (Expr x : p.a.all()) p.accesses.prepare(x);
  if (s.b_packing == Packing::in_place) p.accesses.add_buffer(p.plain_b->array);
  for (Expr x : p.b.all()) p.accesses.prepare(x);
  for (const auto& output : product.outputs) {
    ProductOutput out{output.array, in_whole_vector(p.columns, output.value), in_last_vector(p.columns, output.value), {}, {}};
    out.whole_address = linear_form(in_whole_vector(p.columns, output.address));
    out.last_address = linear_form(in_last_vector(p.columns, output.address));
    p.accesses.prepare(out.whole);
    p.accesses.prepare(out.last);
    prepare_address(out.whole_address);
    prepare_address(out.last_address);
    p.accesses.add_buffer(output.array);
    p.outputs.push_back(std::move(out));
  }
  p.maps_in_registers = can_map_in_registers(p);
  if (s.parts > 1) {
    p.workspace = input(arena, "workspace", {s.parts, s.batches, s.m, s.panels * s.tile.columns()}, product.dtype);
    p.accesses.add_buffer(p.workspace);
  }
  if (s.keeps_b) {
    p.kept_b = input(arena, "packed", {s.batches, s.depth_blocks, s.panels, s.kept_panel()}, product.dtype);
    p.accesses.add_buffer(p.kept_b);
  }
}

std::string key_of(const PreparedProduct& p) {
  ExpressionText text;
  text.add(p.schedule.text());
  for (ArrayRef array : p.accesses.buffers()) text.add(array);
  for (AxisRef axis : {p.product.batch, p.product.row, p.product.column, p.product.depth}) text.add(axis);
  for (Expr x : {p.product.a, p.product.b, p.product.a_odd, p.product.b_odd})
    if (x) text.add(x);
  for (const auto& output : p.product.outputs) {
    text.add(output.array);
    text.add(output.value);
    text.add(output.address);
  }
  for (const PackedOperand& operand : {p.a, p.b})
    for (Expr x : operand.all())
      for (const Check& check : p.accesses.checks(x)) text.add(fmt::format("check {} {}", check.place, check.limit));
  return text.text();
}

}  // namespace

std::shared_ptr<const PreparedProduct> prepare_product(const Region& region, const Target& target, const ProductOptions& options,
                                                       FaultPlaces& places) {
  std::optional<ScheduledProduct> chosen = choose_multiplier(region, target, options);
  if (!chosen) return {};
  auto prepared = std::make_shared<PreparedProduct>(places);
  prepared->product = std::move(chosen->product);
  prepared->schedule = chosen->schedule;
  prepared->shape = {.lanes = prepared->schedule.tile.lanes, .has_fma = target.has_fma, .has_bf16 = target.has_bf16};
  prepare(*prepared);
  prepared->key = key_of(*prepared);
  return prepared;
}

}  // namespace heed
