// What operations build with: the arena, definitions at symbolic shapes, places for randomness, what an initialiser is to fill.
#pragma once
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "ir/algebra.h"
#include "ir/language/value.h"

namespace heed {

// Gives a variable another value until the end of a block, however that ends.
template <typename T>
class Temporarily {
 public:
  Temporarily(T& place, T value) : place_(place), usual_(std::exchange(place, std::move(value))) {}
  ~Temporarily() { place_ = std::move(usual_); }
  Temporarily(const Temporarily&) = delete;

 private:
  T& place_;
  T usual_;
};

class Builder {
 public:
  Builder();

  Arena& arena() { return *graph.arena; }
  using Body = std::function<Expr(std::span<const Expr> positions)>;
  ShapedArray define(std::vector<Dimension> shape, DType dtype, const Body& body);
  ShapedArray constant(const Value& number, DType dtype);   // of a compile-time number
  ShapedArray random(const std::vector<Dimension>& shape);  // uniform in [0, 1), another at every place
  // Before a mistake that follows from the value of `size` and not from its formula: if the value is nominal, begins again.
  void suit_nominal(const Dimension& size, std::int64_t multiply, std::int64_t divide) const;
  Expr seed();
  Expr step();

  Graph graph;                        // inputs as they are met
  std::string name_hint;              // of the next definition, which takes it
  std::string place;                  // path of the layer instance, or of the parameter that is initialised
  std::optional<ShapedArray> filled;  // the parameter that is initialised: `uniform` and its kin take its shape and dtype
  struct Turn {
    ArrayRef index;  // a stand-in
    std::int64_t length;
  };
  std::vector<Turn> turns;                // of the scans whose bodies are being run, from the outside in
  std::unordered_set<ArrayRef> drawn_at;  // indices of scans that random numbers depend on
  DType default_floating = DType::f32;    // of literals that stand among themselves; the type of the definition in the flat form
  bool training = false;
  bool may_change_nominal = false;  // there are unbound symbols, and other sizes for them may be tried

 private:
  ArrayRef seed_ = nullptr, step_ = nullptr;
  std::map<std::string, std::int64_t> draws_;  // at each place
};

Expr at(const ShapedArray& array, std::span<const Expr> indices);
// Positions of an array of this shape at the positions of a result that it is broadcast to.
std::vector<Expr> broadcast_positions(const std::vector<Dimension>& shape, std::span<const Expr> positions, Arena& arena);

}  // namespace heed
