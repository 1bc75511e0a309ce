// The program as text, and what is worked out before code is written.
#include "codegen/cuda/register_kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "codegen/cuda/register_wide_writer.h"
#include "codegen/tile/expression_text.h"
#include "ir/integer.h"

namespace heed {
namespace {

std::string key_of(const PreparedRegisters& p) {
  const RegisterProgram& program = p.program;
  ExpressionText text;
  text.add(fmt::format("gpu registers {} x {} tall {} groups {} warps {} ", program.rows, program.columns, program.tall, program.groups,
                       program.warps()));
  for (ArrayRef array : p.buffers) text.add(array);
  for (AxisRef axis : program.units) text.add(axis);
  text.add(program.row), text.add(program.column);
  for (AxisRef axis : program.widths) text.add(axis);
  auto add_form = [&](const LinearForm& form) {
    for (const IntegerTerm& term : form.terms) {
      text.add(fmt::format("{} *", term.weight));
      text.add(term.x);
    }
    text.add(fmt::format("+ {}", form.constant));
  };
  for (const RegisterTile& tile : program.tiles) {
    text.add(fmt::format("tile {}", tile.stride));
    text.add(tile.array), text.add(tile.line), text.add(tile.along);
    add_form(tile.address);
  }
  for (const auto& [name, masked] : program.names) {
    text.add(name);
    text.add(masked);
  }
  for (std::size_t k = 0; k < program.kept.size(); ++k) {
    text.add(program.spread[k] ? "spread" : "kept");
    text.add(program.kept[k]);
  }
  auto add_steps = [&](const RegisterSteps& steps) {
    for (const RegisterStep& step : steps) {
      text.add(fmt::format("step {} {} {} {}", static_cast<int>(step.kind), step.left, step.right, static_cast<int>(step.reduction)));
      text.add(step.into);
      if (step.over) text.add(step.over);
      for (Expr x : {step.value, step.factor})
        if (x)
          text.add(x);
        else
          text.add("none");
      add_form(step.address);
    }
  };
  for (const auto& part : program.parts) {
    text.add(part.over_columns ? "over columns" : "once");
    for (const auto& kind : part.kinds) {
      text.add(kind.is_ragged ? "ragged" : "whole");
      add_steps(kind.steps);
    }
    text.add("advance");
    add_steps(part.advance);
  }
  if (p.by_data) {
    text.add("by data");
    text.add(p.by_data->begin), text.add(p.by_data->end), text.add(p.by_data->number);
    add_form(p.by_data->address);
  }
  std::string blocks = "blocks";
  for (const auto& rows : program.blocks) {
    blocks += fmt::format(" {}:", rows.row);
    for (const auto& run : rows.runs) blocks += fmt::format(" {} {}", run.column, run.blocks);
  }
  return text.text() + blocks;
}

// Of a tile's array: along the lines, across them, and by the number of the units.
TensorMap map_of(const PreparedRegisters& p, std::size_t k) {
  const RegisterTile& tile = p.program.tiles[k];
  const TileGrid& grid = p.program.grids[k];
  TensorMap map{.buffer = static_cast<std::int32_t>(p.accesses.buffer(tile.array)), .offset = grid.offset * half_bytes};
  map.sizes = {tile.along->size, tile.line->size, grid.count};
  map.strides[0] = tile.stride * half_bytes;
  map.strides[1] = grid.stride > 0 ? grid.stride * half_bytes : map.strides[0] * map.sizes[1];  // of one there is no next
  map.box = {static_cast<std::int32_t>(wide_line), static_cast<std::int32_t>(wide_tile(p.program, static_cast<int>(k)).lines), 1};
  return map;
}

}  // namespace

RegisterKernel register_kernel(const Blocks& blocks) {
  auto prepared = std::make_shared<PreparedRegisters>(*blocks.registers);
  const RegisterProgram& program = prepared->program;
  prepared->buffers = prepared->accesses.buffers();
  if (blocks.by_data) {
    Arena& arena = *program.row->arena;
    ArrayRef begin = blocks.by_data->begin;
    AxisRef count = fresh_axis(arena, begin->shape.back());
    std::vector<Expr> indices;
    for (int unit : blocks.by_data->units) indices.push_back(value(program.units[static_cast<std::size_t>(unit)]));
    indices.push_back(value(count));
    prepared->by_data = {begin, blocks.by_data->end, affine_address(read_stored(begin, indices)), count};
    for (ArrayRef array : {begin, blocks.by_data->end}) prepared->buffers.push_back(array);
  }
  for (const RegisterTile& tile : program.tiles) {
    const auto [lines, along] = tile_size(program, tile);
    prepared->shapes.push_back({lines, along / chunk_elements});
  }
  RegisterKernel kernel;
  if (program.groups > 0) {
    for (std::size_t k = 0; k < program.tiles.size(); ++k) prepared->maps.push_back(map_of(*prepared, k));
    kernel.maps = prepared->maps;
    kernel.shared_bytes = wide_bytes(program);
  } else {
    kernel.shared_bytes = most_ring_bytes(program);
  }
  kernel.threads = prepared->threads();
  kernel.buffers = prepared->buffers;
  kernel.tasks = static_cast<std::int64_t>(program.blocks.size());
  for (AxisRef unit : program.units) kernel.tasks *= unit->size;
  kernel.source = {key_of(*prepared), [prepared](llvm::Module& module, const std::string& symbol) {
                     if (prepared->program.groups > 0)
                       WideRegisterWriter(module, symbol, *prepared).write();
                     else
                       RegisterWriter(module, symbol, *prepared).write();
                   }};
  return kernel;
}

}  // namespace heed
