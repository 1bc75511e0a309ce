// Parts and runs of a program from the blocks of a region, and what rules one out.
#include "passes/register_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "ir/algebra.h"
#include "ir/integer.h"
#include "passes/register_body.h"
#include "passes/register_kept.h"
#include "passes/register_wide.h"

namespace heed {

namespace {

constexpr std::int64_t most_kinds = 6;    // of blocks of columns, each a loop of its own
constexpr std::int64_t most_width = 256;  // of what products make for a row

bool has(const auto& list, const auto& value) { return std::ranges::find(list, value) != list.end(); }

class Former {
 public:
  Former(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks)
      : region_(region), axes_(region.axes), maker_(maker), blocks_(blocks) {
    program_.rows = region.rows, program_.columns = region.columns, program_.groups = region.groups;
    program_.single_warps = region.single_warps;
    program_.tall = region.rows / (16 * program_.warps());
  }

  RegisterProgram run() {
    if (!axes_.parallel_rows || axes_.parallel_units != static_cast<int>(axes_.units.size()))
      throw NotInRegisters{"blocks of rows add to the same sums"};
    if (axes_.size_of(axes_.row) == 1 || axes_.size_of(axes_.column) == 1) throw NotInRegisters{"it has one row, or one column"};
    RegisterBodies bodies(region_, maker_, blocks_, program_);
    make_parts(bodies);
    make_runs();
    bool has_scores = false, has_sums = false;
    for (const auto& part : program_.parts)
      for (const auto& kind : part.kinds)
        for (const RegisterStep& step : kind.steps) {
          has_scores |= step.kind == RegisterStep::Kind::score;
          has_sums |= step.kind == RegisterStep::Kind::sum;
          for (Expr x : {step.value, step.factor})
            if (x) check(x);
        }
    for (const auto& [name, masked] : program_.names) check(masked);
    if (!has_scores || !has_sums) throw NotInRegisters{"it has no products of both kinds, scores and sums over columns"};
    simplify_kept(program_);
    start_scores(program_);
    if (program_.groups > 0) set_grids(program_);
    for (AxisRef width : program_.widths)
      if (width->size > most_width) throw NotInRegisters{fmt::format("rows are {} wide, registers hold {}", width->size, most_width)};
    return std::move(program_);
  }

 private:
  // --- parts

  // Bodies of one work differ in what is decided; those of blocks that are cut off differ from others in how they are read.
  struct Kind {
    int body;
    bool is_ragged;
    auto operator<=>(const Kind&) const = default;
  };

  void make_parts(RegisterBodies& bodies) {
    const std::vector<BodyWork> works = maker_.works();
    std::vector<std::set<Kind>> kinds(works.size());
    const std::int64_t all = axes_.size_of(axes_.column);
    for (const Blocks::Block& block : blocks_.blocks) {
      const auto work = static_cast<std::size_t>(blocks_.sizes[static_cast<std::size_t>(block.body)].part);
      kinds[work].insert({block.body, works[work].kind == BodyWork::Kind::columns && block.column + region_.columns > all});
    }
    for (std::size_t work = 0; work < works.size(); ++work) {
      std::vector<Kind> own(kinds[work].begin(), kinds[work].end());
      // What is cut off comes first: then the next block of a loop is a whole one.
      std::ranges::sort(own, {}, [](const Kind& kind) { return std::pair(!kind.is_ragged, kind.body); });
      if (works[work].kind == BodyWork::Kind::advance) {
        if (!own.empty()) program_.parts.back().advance = bodies.steps_of(own[0].body);
        continue;
      }
      RegisterProgram::Part part{.over_columns = works[work].kind == BodyWork::Kind::columns, .kinds = {}, .advance = {}};
      if (own.size() > most_kinds) throw NotInRegisters{"its conditions make many kinds of blocks"};
      for (const Kind& kind : own) part.kinds.push_back({bodies.steps_of(kind.body), kind.is_ragged});
      if (part.over_columns) over_columns_.push_back({work, own});
      program_.parts.push_back(std::move(part));
    }
  }

  struct OverColumns {
    std::size_t work;
    std::vector<Kind> kinds;
  };

  void make_runs() {
    const std::int64_t all = axes_.size_of(axes_.column);
    for (std::size_t first = 0; first < blocks_.of_rows.size(); ++first) {
      const auto begin = static_cast<std::size_t>(blocks_.of_rows[first]);
      const auto end = first + 1 < blocks_.of_rows.size() ? static_cast<std::size_t>(blocks_.of_rows[first + 1]) : blocks_.blocks.size();
      RegisterProgram::Rows rows{blocks_.blocks[begin].row, {}};
      for (const OverColumns& part : over_columns_) {
        std::map<Kind, RegisterProgram::Run> runs;
        for (std::size_t k = begin; k < end; ++k) {
          const Blocks::Block& block = blocks_.blocks[k];
          if (blocks_.sizes[static_cast<std::size_t>(block.body)].part != static_cast<int>(part.work)) continue;
          auto [run, is_new] = runs.try_emplace({block.body, block.column + region_.columns > all}, block.column, 0);
          if (block.column != run->second.column + run->second.blocks * region_.columns)
            throw NotInRegisters{"blocks of one kind do not lie side by side"};
          ++run->second.blocks;
        }
        for (const Kind& kind : part.kinds) rows.runs.push_back(runs.contains(kind) ? runs.at(kind) : RegisterProgram::Run{0, 0});
      }
      program_.blocks.push_back(std::move(rows));
    }
  }

  // Reads besides tiles are at plain places that exist.
  void check(Expr x) const {
    int wide = 0;
    for (AxisRef axis : x->free) wide += axis != program_.row && !has(program_.units, axis);
    if (wide > 1) throw NotInRegisters{"a value has rows and two axes besides"};
    for (Expr node : nodes_of(x)) {
      if (node->dtype == DType::f64) throw NotInRegisters{"it computes in f64"};
      if (node->op != Op::read) continue;
      for (std::size_t p = 0; p < node->operands.size(); ++p) {
        Expr index = node->operands[p];
        if (std::ranges::any_of(nodes_of(index), [](Expr each) { return each->op == Op::read; }))
          throw NotInRegisters{fmt::format("`{}` is read at places that data decides", node->array->name)};
        Interval range = bounds(index);
        if (range.low < 0 || range.high >= node->array->shape[p])
          throw NotInRegisters{fmt::format("`{}` is read where a condition alone keeps the place inside", node->array->name)};
      }
    }
  }

  const BlockRegion& region_;
  const BlockAxes& axes_;
  const BodyMaker& maker_;
  const Blocks& blocks_;
  RegisterProgram program_;
  std::vector<OverColumns> over_columns_;
};

}  // namespace

std::variant<RegisterProgram, std::string> register_form(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks) {
  try {
    return Former(region, maker, blocks).run();
  } catch (const NotInRegisters& reason) {
    return reason.why;
  }
}

std::int64_t sums_of_thread(const RegisterProgram& program, std::size_t part) {
  constexpr std::int64_t share = 2;  // of 16 rows and so many columns a thread has one sum for each two
  auto uses = [&](std::size_t number, ArrayRef kept, bool only_writes) {
    return std::ranges::any_of(program.parts[number].kinds[0].steps, [&](const RegisterStep& step) {
      return step.into == kept || (!only_writes && (reads(step.value, kept) || reads(step.factor, kept)));
    });
  };
  std::int64_t kept = 0, scores = 0;
  for (ArrayRef array : program.kept) {  // made by now, and needed from now on
    bool is_made = false, is_needed = false;
    for (std::size_t other = 0; other < program.parts.size(); ++other)
      (other < part ? is_made : is_needed) |= uses(other, array, other < part);
    is_made |= uses(part, array, true);
    if (array->shape.size() == 2 && is_made && is_needed) kept += round_up(array->shape[1], 16) / share;
  }
  for (const auto& kind : program.parts[part].kinds)
    scores = std::max<std::int64_t>(scores, std::ranges::count(kind.steps, RegisterStep::Kind::score, &RegisterStep::kind));
  return program.tall * (kept + scores * program.columns / share);
}

}  // namespace heed
