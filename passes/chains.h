// Sums over products as flat chains of factors: what a sum is made of, through the arrays that it reads.
#pragma once
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "ir/algebra.h"
#include "passes/contraction_order.h"
#include "passes/positive.h"

namespace heed {

bool is_sum(Expr x);  // of floating values

inline constexpr double storing_cost = 27;  // an element that is written and read costs so many multiplications

struct Part {
  Expr x;
  double power;
  double share = 1;  // of what its array costs, if it is made for this chain
};
// weight * sum over `summed` of the product of the parts.
struct Chain {
  double weight;
  std::vector<AxisRef> summed;
  std::vector<Part> parts;
  std::size_t decided = 0;  // parts before are kept as they are
};
Chain chain_of(Expr sum);
// A part is there under a condition alone. Such chains stay as they are: a sum that left its condition could read outside.
bool has_condition(const Chain& chain);
// The terms of an expression, each a chain without summed axes of its own, or with those of the sum that it is.
std::vector<Chain> terms_of(Expr x);

// Parts gathered under the largest sets of axes, and an order to multiply them in.
struct Arrangement {
  std::vector<std::vector<Factor>> operands;
  std::vector<Factor> outside;            // free of the summed axes
  std::vector<AxisRef> axes;              // by number
  std::optional<ContractionOrder> order;  // none where there are too many operands or axes
  double written;                         // multiplications of one sum over everything
};
Arrangement arrangement_of(const Chain& chain);

// What arrays cost that readers may do without.
class ArrayCosts {
 public:
  // `kept`: arrays that are made whatever becomes of their readers. `closed`: not to be looked into.
  ArrayCosts(const std::vector<ArrayRef>& arrays, const std::unordered_set<ArrayRef>& kept, const std::unordered_set<ArrayRef>& closed);
  void stands_for(ArrayRef made, ArrayRef before);
  // A read of a sum, of what is linear in sums, or of a product with a factor that is the same along some axis.
  bool can_look_into(Expr x);
  double share(ArrayRef array) const;  // of one reader in what the array costs; 0 if it is made anyway
  double making(ArrayRef array);       // and what it alone needs

 private:
  bool is_open(ArrayRef array);
  std::unordered_map<ArrayRef, double> share_, making_;
  std::unordered_map<ArrayRef, bool> is_open_;
  std::unordered_set<ArrayRef> closed_;
};

// The cheapest way to make a chain.
struct Found {
  double work = 0;                    // multiplications
  std::map<ArrayRef, double> needed;  // what arrays that it reads cost
  std::vector<Chain> chains;          // to be added up
  double cost() const;
};
// `distributes`: sums may be taken apart into their terms.
Found cheapest(const Chain& chain, ArrayCosts& costs, Signs& signs, bool distributes);
// As it is written.
Found as_written(const Chain& chain, ArrayCosts& costs);

}  // namespace heed
