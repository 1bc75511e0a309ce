// From a model file to graphs. A file is checked with symbols (B, T); a graph is made at the sizes of a run.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ir/graph.h"
#include "ir/language/diagnostics.h"
#include "ir/plan.h"

namespace heed {

struct Module;  // a parsed file with its imports

// Reads and parses a file and what it imports. Null when it cannot be read or parsed (diagnosed).
std::shared_ptr<const Module> load_module(const std::string& path, Diagnostics& diagnostics);
std::shared_ptr<const Module> parse_module(std::string name, std::string text, Diagnostics& diagnostics);  // from memory

using Settings = std::vector<std::pair<std::string, std::string>>;  // --set name=value, values as written
using Sizes = std::map<std::string, std::int64_t>;                  // --size

// Reports every mistake and warning of the file: each function, layer and model with its symbols, each train block. `simplify` rewrites a
// graph by algebra: parameters that no result reads afterwards have no effect.
using Simplify = std::function<Graph(const Graph&)>;
void check_module(const Module& module, const Settings& settings, Diagnostics& diagnostics, const Simplify& simplify = {});

struct EntryInfo {
  std::string name;
  enum class Kind { function, model, layer } kind;
  std::vector<std::string> symbols;  // in order of appearance
  std::vector<std::string> inputs;   // by name
  bool trained;                      // has a train block
};
std::vector<EntryInfo> entries(const Module& module);

// What the shapes of given inputs bind: each symbol that is a dimension by itself, by the first input that carries it. An input of
// another rank binds nothing; what disagrees is found when the values are bound.
Sizes sizes_of_shapes(const Module& module, const std::string& entry, const std::map<std::string, std::vector<std::int64_t>>& shapes);

struct ElaborateRequest {
  std::string entry;  // "" for the only one (models first, then functions; more than one is a mistake that lists them)
  Settings settings;
  Sizes sizes;            // symbols not bound here take nominal sizes, see `nominal`
  bool training = false;  // the compile-time truth `training`
};
struct Elaborated {
  Graph graph;
  std::vector<std::string> nominal;  // symbols that were not bound: the command names them
  std::vector<Region> regions;       // of a fused flat file: its region blocks; else empty
};
std::optional<Elaborated> elaborate(const Module& module, const ElaborateRequest& request, Diagnostics& diagnostics);

// What a train block says. Values are evaluated; readers are not known here.
struct DataCall {
  std::string reader;  // "cifar10"
  using Value = std::variant<std::int64_t, double, bool, std::string>;
  std::vector<std::pair<std::string, Value>> arguments;  // positional ones have an empty name
  std::string folder;                                    // relative paths start here: the file's, or "" if the path came by --set
  Span span;
};
struct TrainBlock {
  std::string model, minimize;
  std::optional<DataCall> train, test;
  std::int64_t batch = 0;
  std::optional<std::int64_t> epochs, steps;
  std::int64_t seed = 0;
  std::string precision = "f32";
};
std::optional<TrainBlock> train_block(const Module& module, const std::string& entry, const Settings& settings, Diagnostics& diagnostics);

// One step of training: data, parameters, optimizer states, seed and step in; the model's scalars and every update out. Gradients are
// arrays of kind gradient: `differentiate` expands them. States of the optimizer are named `hidden.weight.m`.
std::optional<Elaborated> elaborate_training(const Module& module, const ElaborateRequest& request, Diagnostics& diagnostics);

}  // namespace heed
