// Values of one side of a block in registers, of its rows alone or of its columns alone, for which memory is read: those of rows can be
// made once for all blocks of columns, those of columns once for all rows of a block.
#pragma once
#include <optional>

#include "ir/register_program.h"

namespace heed {

// exp(weight * inner + outer): `outer` is the same for all columns, or for all rows.
struct Exponent {
  double weight;
  Expr inner, outer;
};
// Of a node that is an exponential of something that columns differ in; nothing if it does not fall apart.
std::optional<Exponent> exponent_of(const RegisterProgram& program, Expr exponential);

struct SideValue {
  Expr x;
  bool is_shift = false;  // it is added in exponents (Exponent::outer)
  bool is_start = false;  // scores start from it
};
// The largest ones that a part's steps have. A value of nothing but units is one of rows; one of columns has 32 bits at most.
enum class Side : std::uint8_t { rows, columns };
std::vector<SideValue> side_values(const RegisterProgram& program, const RegisterProgram::Part& part, Side side);

}  // namespace heed
