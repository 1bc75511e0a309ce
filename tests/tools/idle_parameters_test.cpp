// heed check: parameters whose effect cancels.
#include <gtest/gtest.h>

#include "tests/tools/run_heed.h"

namespace heed {
namespace {

constexpr std::string_view file = R"(import nn
model pooled(x: f32[B, N, 8]) -> (y: f32[B, 4]) {
  layer q = nn.linear(8, 8)
  layer k = nn.linear(8, 8)
  layer o = nn.linear(8, 4)
  w = softmax(q(x) @ transpose(k(x)), axis = 1)
  return mean(o(w @ x), axis = 1)
}
model over_keys(x: f32[B, N, 8]) -> (y: f32[B, 8]) {
  layer r = nn.linear(8, 8)
  w = softmax(r(x) @ transpose(x))
  return mean(w @ x, axis = 1)
}
model with_a_step(x: f32[B, N, 8]) -> (y: f32[B, 8]) {
  layer r = nn.linear(8, 8)
  w = softmax(r(x) @ transpose(x), axis = 1)
  return mean(relu(w @ x), axis = 1)
}
model with_a_residual(x: f32[B, N, 8]) -> (y: f32[B, 8]) {
  layer s = nn.linear(8, 8)
  w = softmax(s(x) @ transpose(x), axis = 1)
  return mean(x + w @ x, axis = 1)
}
model by_hand(x: f32[B, N, 8]) -> (y: f32[B]) {
  layer t = nn.linear(8, 8)
  e = exp(t(x) @ transpose(x))
  w = e / sum(e, axis = 1, keep = true)
  return sum(einsum("b i j -> b j", w), axis = -1)
}
model seen(x: f32[B, N, 8]) -> (y: f32[B, 8], w: f32[B, N, N]) {
  layer r = nn.linear(8, 8)
  w = softmax(r(x) @ transpose(x), axis = 1)
  return mean(w @ x, axis = 1), w
}
model more_than_the_sum(x: f32[B, N, 8]) -> (y: f32[B]) {
  layer r = nn.linear(8, 8)
  e = exp(r(x) @ transpose(x))
  return sum(einsum("b i j -> b j", e / (1.0 + sum(e, axis = 1, keep = true))), axis = -1)
}
)";

TEST(IdleParameters, AreWarnedOf) {
  Folder folder;
  Outcome outcome = run_heed({"check", folder.write("idle_parameters.heed", std::string(file)).string()});
  EXPECT_EQ(outcome.status, 0);
  for (std::string name : {"q.weight", "q.bias", "k.weight", "k.bias", "s.weight", "s.bias", "t.weight", "t.bias"})
    EXPECT_NE(outcome.errors.find("no result depends on the parameter `" + name + "`: what is made of it cancels"), std::string::npos)
        << name << "\n"
        << outcome.errors;
  for (std::string name : {"`o.", "`r."}) EXPECT_EQ(outcome.errors.find(name), std::string::npos) << name << "\n" << outcome.errors;
}

}  // namespace
}  // namespace heed
