// Gives every stored value a place.
#include "passes/plan_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <unordered_set>

#include "ir/algebra.h"
#include "ir/integer.h"
#include "ir/region_frame.h"
#include "passes/kind.h"
#include "passes/lifetimes.h"

namespace heed {

namespace {

constexpr std::int64_t alignment = 64;

std::int64_t aligned(std::int64_t bytes) { return round_up(bytes, alignment); }

// Memory that one value after another uses.
struct Block {
  std::int64_t bytes = 0;
  int from = 0, to = 0;  // steps, inclusive
  std::int64_t offset = 0;
};

bool meet(const Block& a, const Block& b) { return a.from <= b.to && b.from <= a.to; }

// Each block in turn into the smallest gap that holds it among the blocks it meets in time. Returns the end of the arena.
std::int64_t place_in_order(std::vector<Block>& blocks, const std::vector<std::size_t>& order) {
  std::vector<std::size_t> placed;  // by offset
  std::int64_t end = 0;
  for (std::size_t k : order) {
    Block& block = blocks[k];
    if (block.bytes == 0) continue;
    std::int64_t gap_start = 0, best = -1, best_size = 0;
    for (std::size_t other : placed) {
      if (!meet(block, blocks[other])) continue;
      std::int64_t gap = blocks[other].offset - gap_start;
      if (gap >= block.bytes && (best < 0 || gap < best_size)) best = gap_start, best_size = gap;
      gap_start = std::max(gap_start, blocks[other].offset + blocks[other].bytes);
    }
    block.offset = best < 0 ? gap_start : best;
    end = std::max(end, block.offset + block.bytes);
    placed.insert(std::ranges::upper_bound(placed, block.offset, {}, [&](std::size_t other) { return blocks[other].offset; }), k);
  }
  return end;
}

// Largest first, longest-lived first, or in the order of time: what ends lowest.
std::int64_t place(std::vector<Block>& blocks) {
  auto ordered = [&](auto key) {
    std::vector<std::size_t> order(blocks.size());
    for (std::size_t k = 0; k < order.size(); ++k) order[k] = k;
    std::ranges::sort(order, {}, [&](std::size_t k) { return std::tuple(key(blocks[k]), blocks[k].from, k); });
    return order;
  };
  std::vector<std::vector<std::size_t>> orders{ordered([](const Block& block) { return -block.bytes; }),
                                               ordered([](const Block& block) { return std::int64_t{block.from - block.to}; }),
                                               ordered([](const Block& block) { return std::int64_t{block.from}; })};
  std::vector<Block> best;
  std::int64_t lowest = 0;
  for (const auto& order : orders) {
    std::vector<Block> tried = blocks;
    std::int64_t end = place_in_order(tried, order);
    if (best.empty() || end < lowest) lowest = end, best = std::move(tried);
  }
  blocks = std::move(best);
  return lowest;
}

class Planner {
 public:
  explicit Planner(Plan& plan) : plan_(plan) {}

  void run() {
    plan_.places.clear();
    plan_.in_place.clear();
    for (const Lifetime& life : lifetimes(plan_)) life_[life.array] = life;
    for (int step = 0; step < static_cast<int>(plan_.steps.size()); ++step)
      for (ArrayRef array : read_by(plan_.steps[step])) last_read_[array] = step;
    for (std::size_t k = 0; k < plan_.graph.inputs.size(); ++k)
      plan_.places.try_emplace(plan_.graph.inputs[k].array, Plan::Place{Plan::Place::Kind::input, static_cast<std::int64_t>(k)});
    place_outputs();
    for (int step = 0; step < static_cast<int>(plan_.steps.size()); ++step) {
      if (const Region* region = std::get_if<Region>(&plan_.steps[step]))
        give_blocks(*region);
      else
        give_blocks(*std::get<std::shared_ptr<PlannedScan>>(plan_.steps[step]), step);
    }
    plan_.arena_bytes = place(blocks_);
    for (const auto& [array, block] : block_of_) plan_.places[array] = {Plan::Place::Kind::arena, blocks_[block].offset};
    for (const auto& [offset, block] : offsets_) *offset = blocks_[block].offset;
  }

 private:
  void place_outputs() {
    std::unordered_set<ArrayRef> replaced, results;
    for (const GraphOutput& output : plan_.graph.outputs) results.insert(plan_.stored_for(output.array));
    for (std::size_t k = 0; k < plan_.graph.outputs.size(); ++k) {
      const GraphOutput& output = plan_.graph.outputs[k];
      if (plan_.places.contains(output.array)) continue;
      ArrayRef stored = plan_.stored_for(output.array);
      const Region* region = region_of(stored);
      auto old = output.updates ? plan_.places.find(output.updates) : plan_.places.end();
      // An old value that is a result itself, or is read after the update is made, keeps its buffer.
      bool over_old = region && old != plan_.places.end() && !results.contains(output.updates) &&
                      last_read(output.updates) <= life_.at(stored).made && may_overwrite(*region, stored, output.updates) &&
                      replaced.insert(output.updates).second;
      if (over_old) plan_.in_place.emplace_back(static_cast<int>(k), static_cast<int>(old->second.offset));
      Plan::Place place = over_old ? old->second : Plan::Place{Plan::Place::Kind::output, static_cast<std::int64_t>(k)};
      plan_.places[output.array] = plan_.places[stored] = place;
    }
  }

  const Region* region_of(ArrayRef array) const {
    auto found = life_.find(array);
    return found == life_.end() ? nullptr : std::get_if<Region>(&plan_.steps[found->second.made]);
  }

  // The last step that reads an array from outside.
  int last_read(ArrayRef array) const {
    auto found = last_read_.find(array);
    return found == last_read_.end() ? -1 : found->second;
  }

  void give_block(ArrayRef array, const Region* region) {
    if (plan_.places.contains(array)) return;
    const Lifetime& life = life_.at(array);
    if (region)
      for (ArrayRef operand : read_by(plan_.steps[life.made])) {
        auto found = block_of_.find(operand);
        if (found == block_of_.end() || blocks_[found->second].to != life.made || !may_overwrite(*region, array, operand)) continue;
        block_of_[array] = found->second;
        blocks_[found->second].to = life.last_read;
        return;
      }
    block_of_[array] = add_block(byte_count(array), life.made, life.last_read);
  }

  void give_blocks(const Region& region) {
    for (ArrayRef output : region.outputs) give_block(output, &region);
    if (region.blocks)
      for (Plan& body : region.blocks->bodies) plan_memory(body);
  }

  void give_blocks(PlannedScan& scan, int step) {
    for (ArrayRef result : scan.results) give_block(result, nullptr);
    plan_memory(scan.body);
    auto work = [&](std::int64_t bytes, std::int64_t* offset) { offsets_.emplace_back(offset, add_block(bytes, step, step)); };
    work(scan.body.arena_bytes, &scan.arena_offset);
    std::size_t yields = scan.scan->yields.size(), carried = scan.scan->next.size();
    scan.carried_offsets.assign(carried, 0);
    scan.next_offsets.assign(carried, 0);
    scan.yield_offsets.assign(yields, -1);
    for (std::size_t k = 0; k < carried; ++k) {
      work(byte_count(scan.scan->next[k]), &scan.carried_offsets[k]);
      work(byte_count(scan.scan->next[k]), &scan.next_offsets[k]);
    }
    for (std::size_t k = 0; k < yields; ++k)
      if (std::ranges::none_of(scan.results, [&](ArrayRef result) { return result->result == static_cast<int>(k); }))
        work(byte_count(scan.scan->yields[k]), &scan.yield_offsets[k]);
  }

  std::size_t add_block(std::int64_t bytes, int from, int to) {
    blocks_.push_back({aligned(bytes), from, to});
    return blocks_.size() - 1;
  }

  Plan& plan_;
  std::unordered_map<ArrayRef, Lifetime> life_;
  std::unordered_map<ArrayRef, int> last_read_;
  std::vector<Block> blocks_;
  std::unordered_map<ArrayRef, std::size_t> block_of_;
  std::vector<std::pair<std::int64_t*, std::size_t>> offsets_;
};

std::int64_t work_bytes(const PlannedScan& scan) {
  std::int64_t total = aligned(scan.body.arena_bytes);
  for (ArrayRef next : scan.scan->next) total += 2 * aligned(byte_count(next));
  for (std::size_t k = 0; k < scan.yield_offsets.size(); ++k)
    if (scan.yield_offsets[k] >= 0) total += aligned(byte_count(scan.scan->yields[k]));
  return total;
}

bool in_arena(const Plan& plan, ArrayRef array) {
  auto found = plan.places.find(array);
  return found != plan.places.end() && found->second.kind == Plan::Place::Kind::arena;
}

// Array k of the frame reads the operand: at its own element, which is the output's.
bool reads_element_of(const RegionFrame& frame, std::size_t k, std::size_t output, Expr read) {
  std::vector<AxisRef> own = positions(frame.arrays[k]), of_output = positions(frame.arrays[output]);
  if (frame.arrays[k]->shape != frame.arrays[output]->shape) return false;
  for (std::size_t p = 0; p < own.size(); ++p) {
    if (read->operands[p] != value(own[p])) return false;
    if (own[p]->size > 1 && frame.axis_of[k].at(own[p]) != frame.axis_of[output].at(of_output[p])) return false;
  }
  return true;
}

}  // namespace

void plan_memory(Plan& plan) { Planner(plan).run(); }

bool may_overwrite(const Region& region, ArrayRef output, ArrayRef operand) {
  if (region.blocks || output->dtype != operand->dtype || output->shape != operand->shape) return false;
  std::optional<RegionFrame> frame = region_frame(region);
  if (!frame) return false;
  std::size_t at = std::ranges::find(frame->arrays, output) - frame->arrays.begin();
  auto is_elementwise = [&](std::size_t k) {
    int own_axes = 0;
    for (AxisRef axis : positions(frame->arrays[k])) own_axes += axis->size > 1;
    return own_axes == frame->outer && kind_of(frame->arrays[k]) == Kind::map;
  };
  if (!is_elementwise(at)) return false;
  // A kernel opens the locals that it reads; an output of the region it opens or reads back.
  std::unordered_set<ArrayRef> opened{operand}, opened_or_stored;
  for (std::size_t k = 0; k < frame->arrays.size(); ++k) {
    ArrayRef array = frame->arrays[k];
    bool opens = false, reads = false;
    for (Expr node : nodes_of(array->body)) {
      if (node->op != Op::read) continue;
      opens |= opened.contains(node->array);
      reads |= opened_or_stored.contains(node->array);
      if (node->array == operand && !reads_element_of(*frame, k, at, node)) return false;
    }
    if (!opens && !reads) continue;
    if (!is_elementwise(k)) return false;
    const bool is_output = std::ranges::find(region.outputs, array) != region.outputs.end();
    // What is stored in the same sweep was computed from the same values.
    const bool is_in_same_sweep = frame->level[k] == frame->level[at],
               is_later = is_in_same_sweep ? k > at : frame->level[k] > frame->level[at];
    if (is_output && is_later && (opens || !is_in_same_sweep)) return false;
    (opens && !is_output ? opened : opened_or_stored).insert(array);
  }
  return true;
}

namespace {

// Written over an operand that is read for the last time in the same step.
bool is_over_operand(const Plan& plan, const Lifetime& life) {
  const Region* region = std::get_if<Region>(&plan.steps[life.made]);
  if (!region) return false;
  return std::ranges::any_of(read_by(plan.steps[life.made]), [&](ArrayRef operand) {
    return in_arena(plan, operand) && plan.places.at(operand).offset == plan.places.at(life.array).offset &&
           may_overwrite(*region, life.array, operand);
  });
}

}  // namespace

std::vector<std::int64_t> live_bytes(const Plan& plan) {
  std::vector<std::int64_t> live(plan.steps.size() + 1);
  for (const Lifetime& life : lifetimes(plan)) {
    if (!in_arena(plan, life.array)) continue;
    for (int step = life.made + is_over_operand(plan, life); step <= life.last_read; ++step) live[step] += aligned(byte_count(life.array));
  }
  for (std::size_t step = 0; step < plan.steps.size(); ++step)
    if (const auto* scan = std::get_if<std::shared_ptr<PlannedScan>>(&plan.steps[step])) live[step] += work_bytes(**scan);
  return live;
}

std::vector<Holder> holders(const Plan& plan, int step) {
  std::vector<Holder> found;
  for (const Lifetime& life : lifetimes(plan))
    if (in_arena(plan, life.array) && life.made + is_over_operand(plan, life) <= step && step <= life.last_read)
      found.push_back({life, aligned(byte_count(life.array))});
  if (step < static_cast<int>(plan.steps.size()))
    if (const auto* scan = std::get_if<std::shared_ptr<PlannedScan>>(&plan.steps[step]))
      found.push_back({{nullptr, step, step}, work_bytes(**scan)});
  std::ranges::sort(found, {}, [](const Holder& holder) { return std::tuple(-holder.bytes, holder.life.made, holder.life.last_read); });
  return found;
}

MemoryFigures memory_figures(const Plan& plan) {
  MemoryFigures figures{.arena_bytes = plan.arena_bytes};
  for (const Lifetime& life : lifetimes(plan)) {
    if (!in_arena(plan, life.array)) continue;
    figures.stored_bytes += byte_count(life.array);
    figures.largest = std::max(figures.largest, byte_count(life.array));
  }
  figures.lower_bound = std::ranges::max(live_bytes(plan));
  return figures;
}

void check_memory(const Plan& plan) {
  struct Piece {
    Lifetime life;
    std::int64_t begin, end;
  };
  std::vector<Piece> pieces;
  for (const Lifetime& life : lifetimes(plan)) {
    auto found = plan.places.find(life.array);
    if (found == plan.places.end()) throw std::logic_error(fmt::format("plan_memory: array {} has no place", life.array->id));
    if (found->second.kind == Plan::Place::Kind::arena)
      pieces.push_back({life, found->second.offset, found->second.offset + byte_count(life.array)});
  }
  for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
    const auto* planned = std::get_if<std::shared_ptr<PlannedScan>>(&plan.steps[step]);
    if (!planned) continue;
    const PlannedScan& scan = **planned;
    check_memory(scan.body);
    auto work = [&](std::int64_t offset, std::int64_t bytes) { pieces.push_back({{nullptr, step, step}, offset, offset + bytes}); };
    work(scan.arena_offset, scan.body.arena_bytes);
    for (std::size_t k = 0; k < scan.scan->next.size(); ++k) {
      work(scan.carried_offsets[k], byte_count(scan.scan->next[k]));
      work(scan.next_offsets[k], byte_count(scan.scan->next[k]));
    }
    for (std::size_t k = 0; k < scan.yield_offsets.size(); ++k)
      if (scan.yield_offsets[k] >= 0) work(scan.yield_offsets[k], byte_count(scan.scan->yields[k]));
  }
  std::ranges::sort(pieces, {}, &Piece::begin);
  for (std::size_t a = 0; a < pieces.size(); ++a) {
    if (pieces[a].begin % alignment != 0 || pieces[a].end > plan.arena_bytes)
      throw std::logic_error("plan_memory: a value lies askew or outside of the arena");
    for (std::size_t b = a + 1; b < pieces.size() && pieces[b].begin < pieces[a].end; ++b) {
      const Piece& first = pieces[a].life.made <= pieces[b].life.made ? pieces[a] : pieces[b];
      const Piece& second = &first == &pieces[a] ? pieces[b] : pieces[a];
      if (first.life.last_read < second.life.made || first.begin == first.end || second.begin == second.end) continue;
      const Region* region = std::get_if<Region>(&plan.steps[second.life.made]);
      bool over_operand = first.life.made < second.life.made && first.life.last_read == second.life.made && first.begin == second.begin &&
                          region && first.life.array && second.life.array && may_overwrite(*region, second.life.array, first.life.array);
      if (!over_operand)
        throw std::logic_error(fmt::format("plan_memory: arrays {} and {} are live at once in one place",
                                           first.life.array ? std::to_string(first.life.array->id) : "of a scan",
                                           second.life.array ? std::to_string(second.life.array->id) : "of a scan"));
    }
  }
}

std::int64_t scratch_bytes(const Blocks& blocks) {
  std::int64_t most = 0, kept = 0;
  for (const Plan& body : blocks.bodies) most = std::max(most, body.arena_bytes);
  for (ArrayRef array : blocks.kept) kept += aligned(byte_count(array));
  return most + kept;
}

}  // namespace heed
