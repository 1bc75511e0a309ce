// What a picture of a program shows: boxes for calls or regions, links between them, clusters for layer instances. `draw` writes it down.
#pragma once
#include <string>
#include <vector>

#include "ir/plan.h"

namespace heed {

struct Box {
  enum class Kind { operation, region, input, result } kind = Kind::operation;
  std::vector<std::string> path;             // clusters around it, outermost first: {"h.3", "attn"}
  std::string title;                         // in words: "softmax", "product 2048x1536x384, gelu"
  std::string subtitle = "";                 // of a region in blocks: how many there are
  std::vector<std::string> lines;            // what is inside of a region; shape of an input or result
  std::vector<std::string> parameters = {};  // "weight [384, 1152]"
  std::vector<std::string> updates = {};     // parameters and states it gives a new value
  int count = 1;                             // boxes that this one stands for
};

struct Link {
  int from, to;          // boxes
  std::string shape;     // of what goes along it: "[B, T, 384]"
  bool to_next = false;  // from one of several equal layers to the next
  bool operator==(const Link&) const = default;
};

struct Fold {
  std::vector<std::string> path;  // of the cluster that is drawn
  int count;                      // layers that it stands for
};

struct Picture {
  std::string title;
  std::vector<Box> boxes;
  std::vector<Link> links;  // in order, each once
  std::vector<Fold> folds;
};

Picture picture_of(const Graph& graph);  // a box for each call of the model file
Picture picture_of(const Plan& plan);    // a box for each region

// Layers of one name (h.0, h.1, …) that hold equal boxes and links become one; boxes of the optimizer that do the same become one.
Picture folded(const Picture& picture);

}  // namespace heed
