// What guards and intervals do not keep inside may be read outside.
#include "passes/reads_outside.h"

#include "ir/algebra.h"
#include "ir/guard.h"

namespace heed {

bool may_read_outside(Expr expression) {
  bool found = false;
  for_each_leaving(expression, [&](Expr read, std::size_t k) { found |= is_affine(read->operands[k]); });
  return found;
}

}  // namespace heed
