// Tiles whose sums are mapped and stored while they are in registers.
#include <fmt/format.h>
#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <array>

#include "codegen/tile/emitter_state.h"
#include "codegen/tile/matrix_registers.h"
#include "codegen/tile/product_prepared.h"

namespace heed {
namespace {

constexpr double most_nodes = 320;  // in all vectors of a tile: longer code gains nothing

// Operations on vectors, a function as many as it takes.
double nodes_in(Expr x) {
  double count = 1;  // it is stored
  for (Expr node : nodes_of(x)) {
    bool counts = is_floating(node->dtype) || node->dtype == DType::boolean;
    if (!counts || node->op == Op::constant) continue;
    count += node->op == Op::function ? 20 : static_cast<double>(std::max<std::size_t>(1, node->operands.size() - (node->op != Op::read)));
  }
  return count;
}

}  // namespace

void store_outputs(Emitter& e, const PreparedProduct& p, llvm::Value* sum, bool whole) {
  e.bind_array(p.product.sum, {sum}, true);
  std::vector<llvm::Value*> values;
  for (const ProductOutput& output : p.outputs) {
    Expr x = whole ? output.whole : output.last;
    e.emit_checks(x);
    values.push_back(e.emit(x));
  }
  // All are read before any is written: an output may lie where a value that it is made from ends its life.
  for (std::size_t k = 0; k < values.size(); ++k) {
    const ProductOutput& output = p.outputs[k];
    e.store_at(output.array->dtype, e.buffer(output.array), whole ? output.whole_address : output.last_address, values[k], 0,
               e.active_mask());
  }
}

bool can_map_in_registers(const PreparedProduct& p) {
  const ProductSchedule& s = p.schedule;
  if (s.parts > 1 || !stores_contiguously(p.product, s.tile.lanes)) return false;
  double nodes = 0;
  for (const ProductOutput& output : p.outputs) nodes += nodes_in(output.whole);
  return nodes * s.tile.rows * s.tile.vectors <= most_nodes;
}

llvm::Function* emit_mapped_tile(llvm::Module& module, const std::string& symbol, const PreparedProduct& p, const MappedTile& tile) {
  const MicroKernel& kernel = tile.kernel;
  const std::string name =
      fmt::format("{}_{}x{}_{}_{}_{}", symbol, kernel.tile.rows, kernel.tile.vectors, kernel.b_k_stride, tile.accumulates, tile.is_last);
  if (llvm::Function* known = module.getFunction(name)) return known;
  Emitter e(module, name, p.accesses, p.shape);
  llvm::Function* function = e.state().function;
  function->setLinkage(llvm::Function::InternalLinkage);
  function->addFnAttr(llvm::Attribute::NoInline);

  std::array<llvm::Value*, MappedTile::argument_count> given{};
  {
    llvm::IRBuilderBase& b = e.builder();
    llvm::Value* arguments = b.CreateIntToPtr(e.task(), b.getPtrTy());
    for (unsigned k = 0; k < given.size(); ++k) {
      llvm::Type* type = k <= MappedTile::c ? static_cast<llvm::Type*>(b.getPtrTy()) : b.getInt64Ty();
      given[k] = b.CreateLoad(type, b.CreateConstInBoundsGEP1_64(b.getInt64Ty(), arguments, k));
    }
  }
  const bool in_memory = kernel.multiplier == Multiplier::matrices;  // whose registers nothing else can read
  std::vector<llvm::Value*> sums;
  if (in_memory)
    emit_matrix_sums(
        e.builder(), kernel,
        {given[MappedTile::a], given[MappedTile::b], given[MappedTile::c], given[MappedTile::count], given[MappedTile::accumulate]});
  else
    sums = emit_sums(e.builder(), kernel, given[MappedTile::a], given[MappedTile::b], given[MappedTile::count]);
  e.state().scopes.back().block = e.state().b.GetInsertBlock();
  llvm::Type* vector = e.type_of(p.product.dtype, true);
  auto earlier = [&](int row, int v) {
    return e.load(p.product.dtype, given[MappedTile::c], e.number(row * kernel.c_row_stride + v * std::int64_t{e.lanes()}), true);
  };
  if (tile.accumulates && !in_memory) {
    std::vector<llvm::AllocaInst*> slots;
    for (llvm::Value* sum : sums) slots.push_back(e.make_register(vector, sum));
    e.open_if(e.builder().CreateICmpNE(given[MappedTile::accumulate], e.number(0)));
    for (std::size_t k = 0; k < sums.size(); ++k) {
      const int row = static_cast<int>(k) / kernel.tile.vectors, v = static_cast<int>(k) % kernel.tile.vectors;
      llvm::Value* total = plus_vector(e.builder(), earlier(row, v), e.get(slots[k]));
      e.set(slots[k], total);
    }
    e.close_if();
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] = e.get(slots[k]);
  }

  // What depends on the batch alone stands after the loop, too: before it registers are needed for sums.
  e.open_counter(e.number(0), e.number(1));
  e.bind_axis(p.product.batch, given[MappedTile::batch]);
  const std::int64_t last_whole = p.columns.whole() - (p.schedule.panels - 1) * p.schedule.tile.vectors;  // vectors of the last panel
  for (int row = 0; row < kernel.tile.rows; ++row) {
    e.open_counter(e.number(0), e.number(1));
    e.bind_axis(p.product.row, e.builder().CreateAdd(given[MappedTile::row], e.number(row)));
    for (int v = 0; v < kernel.tile.vectors; ++v) {
      e.open_counter(e.number(0), e.number(1));
      const bool whole = !tile.is_last || v < last_whole;
      if (whole) {
        e.bind_axis(p.columns.vector, e.builder().CreateAdd(given[MappedTile::first_vector], e.number(v)));
        e.bind_lanes(p.columns.lane, e.number(0));
      } else {
        e.bind_lanes(p.columns.rest_lane, e.number(0), e.number(p.columns.rest()));
      }
      store_outputs(e, p, in_memory ? earlier(row, v) : sums[static_cast<std::size_t>(row * kernel.tile.vectors + v)], whole);
      e.close_loop();
    }
    e.close_loop();
  }
  e.close_loop();
  e.finish();
  return function;
}

}  // namespace heed
