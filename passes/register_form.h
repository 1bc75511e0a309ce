// Whether a region in blocks can run with its values of rows and columns in registers, and what its kernel does then.
#pragma once
#include <variant>

#include "passes/block_body.h"

namespace heed {

// The program of blocks whose bodies `maker` has made, or why there is none, in words that follow "because". All products of the region
// must be of one of two kinds, which fragments of tensor cores can do one after the other without leaving registers: scores, of rows and
// columns, from two matrices in memory; and sums over columns of scores, or of what is made of them, times a matrix in memory.
std::variant<RegisterProgram, std::string> register_form(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks);

// Sums of products that a thread holds at once in a part.
std::int64_t sums_of_thread(const RegisterProgram& program, std::size_t part);

}  // namespace heed
