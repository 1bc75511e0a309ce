// Places of stored values: nothing that is live at once overlaps, memory is shared, updates are made in place.
#include "passes/plan_memory.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <unordered_map>

#include "networks.h"
#include "notation.h"
#include "passes/fuse.h"
#include "passes/lifetimes.h"
#include "passes/pipeline.h"

namespace heed {
namespace {

using Kind = Plan::Place::Kind;

TEST(PlanMemory, NetworksFitTheirLowerBound) {
  for (const Graph& graph :
       {gpt_training({}), gpt_training({.batch = 8, .context = 256, .width = 384, .heads = 6, .vocabulary = 256, .layers = 3}),
        attention_cnn_training({})}) {
    Plan plan = make_plan(graph);
    check_memory(plan);
    MemoryFigures figures = memory_figures(plan);
    EXPECT_GE(figures.arena_bytes, figures.lower_bound);
    EXPECT_LE(static_cast<double>(figures.arena_bytes), 1.05 * static_cast<double>(figures.lower_bound));
    EXPECT_LT(figures.arena_bytes, figures.stored_bytes);
  }
}

TEST(PlanMemory, HoldersAreWhatIsLive) {
  for (const Graph& graph : {gpt_training({}), attention_cnn_training({})}) {
    Plan plan = make_plan(graph);
    std::vector<std::int64_t> live = live_bytes(plan);
    EXPECT_EQ(std::ranges::max(live), memory_figures(plan).lower_bound);
    for (int step = 0; step < static_cast<int>(plan.steps.size()); ++step) {
      std::int64_t held = 0, last = std::numeric_limits<std::int64_t>::max();
      for (const Holder& holder : holders(plan, step)) {
        EXPECT_LE(holder.bytes, last);
        EXPECT_LE(holder.life.made, step);
        EXPECT_GE(holder.life.last_read, step);
        held += last = holder.bytes;
      }
      EXPECT_EQ(held, live[static_cast<std::size_t>(step)]) << step;
    }
  }
}

TEST(PlanMemory, UpdatesAreMadeInPlace) {
  Plan plan = make_plan(gpt_training({.layers = 1}));
  std::size_t updates = 0;
  for (const GraphOutput& output : plan.graph.outputs) updates += output.updates != nullptr;
  EXPECT_EQ(plan.in_place.size(), updates);
  for (auto [output, input] : plan.in_place) {
    EXPECT_EQ(plan.graph.outputs[output].updates, plan.graph.inputs[input].array);
    EXPECT_EQ(plan.places.at(plan.graph.outputs[output].array).kind, Kind::input);
  }
}

class Update : public testing::Test {
 protected:
  std::shared_ptr<Arena> arena = std::make_shared<Arena>();
  ArrayRef parameter = input(*arena, "w", {64, 64}, DType::f32);
  Plan plan(std::vector<GraphOutput> outputs) {
    Graph graph{.arena = arena, .name = "test", .inputs = {{GraphInput::Role::parameter, parameter}}, .outputs = std::move(outputs)};
    Plan made = make_plan(graph);
    check_memory(made);
    return made;
  }
  ArrayRef doubled() {
    return mapped({parameter}, [](std::vector<Expr> v) { return scale(2.0, v[0]); });
  }
};

TEST_F(Update, IsInPlaceAtTheSamePositions) { EXPECT_EQ(plan({{"w", doubled(), parameter}}).in_place.size(), 1u); }

TEST_F(Update, IsElsewhereIfItReadsOtherPositions) {
  ArrayRef turned = array(*arena, {64, 64}, [&](Indices p) { return scale(2.0, at(parameter, {p[1], p[0]})); });
  EXPECT_TRUE(plan({{"w", turned, parameter}}).in_place.empty());
}

TEST_F(Update, IsElsewhereIfTheOldValueIsAResult) { EXPECT_TRUE(plan({{"w", doubled(), parameter}, {"old", parameter}}).in_place.empty()); }

TEST_F(Update, IsElsewhereIfTheOldValueIsReadLater) {
  ArrayRef made = mapped({parameter}, [](std::vector<Expr> v) { return exponential(v[0]); });
  // Reads the old value beside the new one, at other positions.
  ArrayRef later = array(*arena, {64, 63}, [&](Indices p) { return add(at(made, {p[0], shift(p[1], 1)}), at(parameter, {p[1], p[0]})); });
  EXPECT_TRUE(plan({{"w", made, parameter}, {"later", later}}).in_place.empty());
}

TEST_F(Update, ASharedNewValueIsOneBufferAndACopy) {
  ArrayRef other = input(*arena, "v", {64, 64}, DType::f32);
  Graph graph{.arena = arena, .name = "test", .inputs = {{GraphInput::Role::parameter, parameter}, {GraphInput::Role::state, other}}};
  ArrayRef made = mapped({parameter, other}, [](std::vector<Expr> v) { return add(v[0], v[1]); });
  graph.outputs = {{"w", made, parameter}, {"v", made, other}};
  Plan plan = make_plan(graph);
  EXPECT_EQ(plan.in_place.size(), 1u);
}

// A kernel that makes `spread` computes what it reads again, after `made` was stored.
TEST_F(Update, IsElsewhereIfALaterSweepReadsWhatIsMade) {
  ArrayRef old = input(*arena, "x", {64}, DType::f32);
  ArrayRef made = mapped({old}, [](std::vector<Expr> v) { return exponential(v[0]); });
  ArrayRef beside = mapped({made}, [](std::vector<Expr> v) { return scale(2.0, v[0]); });
  EXPECT_TRUE(may_overwrite({.locals = {}, .outputs = {made, beside}, .label = ""}, made, old));
  ArrayRef spread = array(*arena, {64, 64}, [&](Indices p) { return multiply(at(made, {p[0]}), at(parameter, p)); });
  EXPECT_FALSE(may_overwrite({.locals = {}, .outputs = {made, spread}, .label = ""}, made, old));
  ArrayRef sum =
      array(*arena, {64}, [&](Indices p) { return summed(*arena, {64}, [&](Indices k) { return at(parameter, {p[0], k[0]}); }); });
  ArrayRef after_sum = mapped({made, sum}, [](std::vector<Expr> v) { return multiply(v[0], v[1]); });
  EXPECT_FALSE(may_overwrite({.locals = {sum}, .outputs = {made, after_sum}, .label = ""}, made, old));
}

// Chains of maps, reductions and moved reads over random shapes.
Graph random_graph(std::mt19937& random) {
  auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  Graph graph{.arena = std::make_shared<Arena>(), .name = "random", .is_function = true};
  Arena& arena = *graph.arena;
  const std::int64_t rows = 1 + pick(40), columns = 1 + pick(40);
  std::vector<ArrayRef> known;
  for (int k = 0; k < 3; ++k) {
    known.push_back(input(arena, "x" + std::to_string(k), {rows, columns}, DType::f32));
    graph.inputs.push_back({GraphInput::Role::data, known.back()});
  }
  auto any = [&] { return known[static_cast<std::size_t>(pick(static_cast<int>(known.size())))]; };
  for (int k = 0; k < 12; ++k) {
    ArrayRef a = any(), b = any();
    switch (pick(4)) {
      case 0:
        known.push_back(mapped({a, b}, [](std::vector<Expr> v) { return add(exponential(v[0]), v[1]); }));
        break;
      case 1:
        known.push_back(array(arena, {rows, columns}, [&](Indices p) {
          return multiply(at(a, {shift(scale(std::int64_t{-1}, p[0]), rows - 1), p[1]}), at(b, p));
        }));
        break;
      case 2:
        known.push_back(softmax(a, static_cast<std::size_t>(pick(2))));
        break;
      default:
        known.push_back(array(arena, {rows, columns}, [&](Indices p) {
          return subtract(at(a, p), summed(arena, {rows}, [&](Indices i) { return multiply(at(b, {i[0], p[1]}), at(a, {i[0], p[1]})); }));
        }));
    }
  }
  for (int k = 0; k < 2; ++k) graph.outputs.push_back({"y" + std::to_string(k), any()});
  graph.outputs.push_back({"last", known.back()});
  return graph;
}

TEST(PlanMemory, RandomPlansHoldWhatTheySay) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    SCOPED_TRACE(seed);
    Plan plan = make_plan(random_graph(random));
    ASSERT_NO_THROW(check_memory(plan));
    EXPECT_LE(static_cast<double>(plan.arena_bytes), 1.05 * static_cast<double>(memory_figures(plan).lower_bound));
  }
}

TEST(PlanMemory, TheCheckFindsTwoValuesInOnePlace) {
  Plan plan = make_plan(gpt_training({.layers = 1}));
  int planted = 0, found = 0;
  std::vector<ArrayRef> stored;
  for (const Plan::Step& step : plan.steps)
    for (ArrayRef array : std::get<Region>(step).outputs)
      if (plan.places.at(array).kind == Kind::arena) stored.push_back(array);
  std::unordered_map<ArrayRef, Lifetime> life;
  for (const Lifetime& each : lifetimes(plan)) life[each.array] = each;
  for (std::size_t k = 0; k + 1 < stored.size(); ++k) {
    Plan wrong = plan;
    if (life.at(stored[k]).last_read < life.at(stored[k + 1]).made) continue;  // Neighbours in time are mostly live at once.
    wrong.places[stored[k + 1]].offset = wrong.places[stored[k]].offset;
    if (wrong.places[stored[k + 1]].offset == plan.places.at(stored[k + 1]).offset) continue;
    ++planted;
    try {
      check_memory(wrong);
    } catch (const std::logic_error&) {
      ++found;
    }
  }
  EXPECT_GT(planted, 20);
  EXPECT_EQ(found, planted);
}

}  // namespace
}  // namespace heed
