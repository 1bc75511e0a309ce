// The bodies of blocks in terms of the region's axes: what is elementwise becomes one expression, products and reductions steps.
#pragma once
#include <map>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "ir/register_program.h"
#include "passes/block_body.h"

namespace heed {

// Why a region does not fit, in words that follow "because".
struct NotInRegisters {
  std::string why;
};

// All of it throws NotInRegisters.
class RegisterBodies {
 public:
  // Gives the program its axes, kept values, and by and by the tiles and names that steps need.
  RegisterBodies(const BlockRegion& region, const BodyMaker& maker, const Blocks& blocks, RegisterProgram& program);
  // Of one of the blocks' bodies.
  RegisterSteps steps_of(int number);

 private:
  // The program's axes for positions and bound axes of a body.
  using Table = std::map<AxisRef, AxisRef>;

  AxisRef of_frame(int axis);
  std::vector<AxisRef> axes_of(ArrayRef array);
  Table table_of(ArrayRef array);
  Expr value_of(ArrayRef array);
  Expr start_from(RegisterStep& step, Expr value);
  Expr in_axes(Expr body, Table& table);
  Expr selected(Expr condition, Expr yes, Expr no);
  Expr chosen(Expr condition, Expr yes, Expr no);
  AxisRef bound_axis(AxisRef axis, Expr body);
  bool reads_column_offset(Expr x) const;
  Expr read(ArrayRef array, std::span<const Expr> indices);
  void stand_in_for_kept(ArrayRef kept);
  ArrayRef stand_in(const char* name, std::vector<AxisRef> axes);
  Expr reduced(const Node& node, Expr body, const Table& table);
  void set_score(RegisterStep& step, Expr body);
  void set_sum(RegisterStep& step, Expr body, AxisRef width);
  void check_types(const RegisterStep& step) const;
  int tile_of(Expr read, AxisRef first, AxisRef second);
  bool are_same(const RegisterTile& one, const RegisterTile& other) const;
  bool is_stand_in(ArrayRef array) const;
  void add_output(ArrayRef output, const Slice& slice);

  const BodyMaker& maker_;
  const BlockAxes& axes_;
  const Blocks& blocks_;
  Arena& arena_;
  RegisterProgram& program_;
  std::map<int, AxisRef> of_frame_;
  std::map<std::int64_t, AxisRef> depths_;                                                    // axes that only a reduction has, by size
  std::map<std::tuple<std::string, std::vector<AxisRef>, std::size_t>, ArrayRef> stand_ins_;  // of steps, by number in a body
  std::map<ArrayRef, ArrayRef> kept_;                                                         // their stand-ins
  // Of the body that is read.
  RegisterSteps steps_;
  std::map<ArrayRef, Expr> values_, offsets_;
  ArrayRef column_offset_ = nullptr;
};

}  // namespace heed
