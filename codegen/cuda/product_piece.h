// Matrix products, with what is mapped over their results, as pieces of GPU kernels.
#pragma once
#include <optional>
#include <vector>

#include "codegen/cuda/piece.h"
#include "codegen/cuda/product_schedule.h"
#include "codegen/tile/slices.h"

namespace heed {

struct ProductPieces {
  std::vector<Piece> pieces;     // one after the other
  ArrayRef workspace = nullptr;  // a buffer that is needed from the first to the last; null: none
};

// Nothing if the region is no product followed by maps at its positions, or one with so few rows or columns that a sweep serves it better.
std::optional<ProductPieces> product_pieces(const Region& region, const Slices& slices, Precision precision, const ProductPlace& place,
                                            FaultPlaces& places);

}  // namespace heed
