// What the code of a program in registers needs to know of its expressions: buffers, addresses, and how exponents fall apart.
#pragma once
#include <map>
#include <set>
#include <vector>

#include "ir/ring_layout.h"

namespace heed {

// What expressions need of the algebra, worked out before code is built on several threads.
class RegisterAccesses {
 public:
  explicit RegisterAccesses(const RegisterProgram& program);
  const Exponent* exponent(Expr exponential) const;
  // Of rows, and how tiles and values of columns lie, of each part over columns.
  const std::vector<SideValue>& row_values(std::size_t part) const { return row_values_[part]; }
  const RingLayout& ring(std::size_t part) const { return rings_[part]; }
  const LinearForm& address(Expr read) const { return addresses_.at(read); }
  const std::vector<ArrayRef>& buffers() const { return buffers_; }  // in the order of the kernel's parameters
  std::size_t buffer(ArrayRef array) const;
  Expr named(ArrayRef name) const;  // null: it is no name
  bool is_stand_in(ArrayRef array) const { return stand_ins_.contains(array); }

 private:
  void add_buffer(ArrayRef array);
  void prepare(Expr x, const RegisterProgram& program);
  std::map<Expr, LinearForm> addresses_;
  std::map<ArrayRef, Expr> names_;
  std::map<Expr, Exponent> exponents_;
  std::vector<std::vector<SideValue>> row_values_;
  std::vector<RingLayout> rings_;
  std::vector<ArrayRef> buffers_;
  std::set<ArrayRef> stand_ins_;
};

}  // namespace heed
