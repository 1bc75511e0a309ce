// A product region with all that is decided before code is written; it is written on another thread.
#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "codegen/tile/access.h"
#include "codegen/tile/emitter.h"
#include "codegen/tile/product.h"
#include "codegen/tile/product_pack.h"
#include "codegen/tile/product_schedule.h"
#include "codegen/tile/vectors.h"

namespace llvm {
class Function;
}  // namespace llvm

namespace heed {

struct ProductOutput {
  ArrayRef array;
  Expr whole, last;  // what is stored, in whole vectors of columns and in the last one
  LinearForm whole_address, last_address;
};

struct PreparedProduct {
  FlatProduct product;
  ProductSchedule schedule;
  VectorShape shape;
  bool maps_in_registers;  // else a row of tiles is done before its sums are mapped
  AxisRef block, inside;   // the depth is block * depth_block + inside
  std::optional<PlainOperand> plain_a, plain_b;
  VectorAxis columns;
  PackedOperand a, b;
  std::vector<ProductOutput> outputs;
  ArrayRef workspace = nullptr;  // sums of the parts: [part, batch, row, padded column]
  ArrayRef kept_b = nullptr;     // [batch, block of depth, panel, what is in it]
  Accesses accesses;
  std::string key;  // determines what is written

  explicit PreparedProduct(FaultPlaces& places) : accesses(places) {}
};

// Nothing if the region is no product followed by maps at its positions.
std::shared_ptr<const PreparedProduct> prepare_product(const Region& region, const Target& target, const ProductOptions& options,
                                                       FaultPlaces& places);

// What b reads.
std::vector<ArrayRef> right_reads(const FlatProduct& product);

// --- product_tile.cpp
// Stores what is made of a vector of sums at the bound batch, row and columns.
void store_outputs(Emitter& e, const PreparedProduct& p, llvm::Value* sum, bool whole);

// Whether the maps are so small that a tile's sums are mapped while they are in registers.
bool can_map_in_registers(const PreparedProduct& p);

// A tile with its maps. Its arguments lie one after the other, 8 bytes each.
struct MappedTile {
  enum Argument : std::uint8_t { a, b, c, count, accumulate, row, first_vector, batch, argument_count };
  MicroKernel kernel;
  bool accumulates;  // begins with the sums at c where `accumulate` is not 0
  bool is_last;      // of its row: its last vector of columns may not be whole
};
// void (void* const* buffers, void* scratch, i64 arguments, Fault* fault)
llvm::Function* emit_mapped_tile(llvm::Module& module, const std::string& symbol, const PreparedProduct& p, const MappedTile& tile);

}  // namespace heed
