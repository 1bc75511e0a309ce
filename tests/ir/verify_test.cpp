// What the verifier refuses, and what it lets pass.
#include "ir/verify.h"

#include <gtest/gtest.h>

#include <array>
#include <stdexcept>

#include "ir/algebra.h"

namespace heed {
namespace {

class Verify : public testing::Test {
 protected:
  Expr at(ArrayRef array, std::initializer_list<Expr> indices) { return read(array, std::span(indices.begin(), indices.size())); }
  std::string fault(ArrayRef output) {
    graph.outputs = {{"out", output}};
    try {
      verify(graph, "test");
      return "";
    } catch (const std::logic_error& error) {
      return error.what();
    }
  }
  Graph graph{.arena = std::make_shared<Arena>()};
  Arena& arena = *graph.arena;
};

TEST_F(Verify, GuardedReadsPassAndUnguardedOnesDoNot) {
  ArrayRef x = input(arena, "x", {4}, DType::f32);
  graph.inputs = {{GraphInput::Role::data, x}};
  AxisRef n = fresh_axis(arena, 6);
  Expr value_there = at(x, {shift(value(n), -1)});
  EXPECT_EQ(fault(define(std::array{n}, select(inside(shift(value(n), -1), 4), value_there, real(arena, 0)), DType::f32)), "");
  EXPECT_NE(fault(define(std::array{n}, power(value_there, 2), DType::f32)).find("outside of size 4"), std::string::npos);
}

TEST_F(Verify, InputsMustBeGiven) {
  ArrayRef x = input(arena, "x", {4}, DType::f32);
  AxisRef n = fresh_axis(arena, 4);
  EXPECT_NE(fault(define(std::array{n}, power(at(x, {value(n)}), 2), DType::f32)).find("given by nothing"), std::string::npos);
}

TEST_F(Verify, UpdatesAreOfParametersAndStates) {
  ArrayRef x = input(arena, "x", {4}, DType::f32), w = input(arena, "w", {5}, DType::f32);
  graph.inputs = {{GraphInput::Role::data, x}, {GraphInput::Role::parameter, w}};
  graph.outputs = {{"w", x, x}};
  EXPECT_THROW(verify(graph, "test"), std::logic_error);
  graph.outputs = {{"w", x, w}};
  EXPECT_THROW(verify(graph, "test"), std::logic_error);
  graph.outputs = {{"w", w, w}};
  EXPECT_NO_THROW(verify(graph, "test"));
}

}  // namespace
}  // namespace heed
