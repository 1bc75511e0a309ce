// Walks a module and builds graphs: functions and layers are called in place, loops and choices unrolled, mistakes reported and
// passed over. One walk serves checking and building; names are looked up in scopes, arrays are made by the builder.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ir/language/builder.h"
#include "ir/language/module.h"
#include "ir/language/syntax.h"
#include "ir/language/value.h"
#include "ir/ops/operation.h"

namespace heed {

// A layer, model or optimizer with what it owns.
struct Instance {
  Maker maker;
  std::string path;  // "h.3.attn"; "" of a model
  struct State {
    ShapedArray input, current;
    bool is_set = false;
  };
  std::map<std::string, ShapedArray> parameters;
  std::map<std::string, State> states;
  std::map<std::string, Value> children;  // instances, and lists of them
};

struct Scope {
  const Module* module = nullptr;
  const Scope* outer = nullptr;  // null: the top level of the module
  std::map<std::string, Value> names = {};
  std::shared_ptr<Instance> instance = nullptr;
  bool in_scan = false;
};

struct Evaluated {
  Value value;
  Span span;
};
struct Arguments {
  std::vector<Evaluated> positional;
  std::vector<std::pair<syntax::Name, Evaluated>> named;
};

// How a block ended.
struct Flow {
  std::optional<std::vector<Evaluated>> returned;
  std::vector<Evaluated> yielded;
  bool ended = false;
};

class Elaborator {
 public:
  Elaborator(const Module& module, const Settings& settings, const Sizes& sizes, std::int64_t nominal, Diagnostics& diagnostics);

  Builder builder;
  Diagnostics& diagnostics;
  const Module& module;
  std::vector<std::pair<std::string, std::int64_t>> symbols;  // of the entry, as they were met
  std::vector<std::string> nominal_symbols;
  std::vector<Region> regions;
  std::vector<std::pair<std::shared_ptr<Instance>, std::string>> states;  // as they were met

  // expression.cpp
  Value evaluate(const syntax::Expression& expression, Scope& scope);  // reports mistakes; then the value is Unknown
  void report(const Mistake& mistake, Span fallback);
  std::optional<Value> lookup(const std::string& name, const Scope& scope);
  Value member_of(const Value& object, const syntax::Name& name);
  Value apply(std::string_view operation, Span span, std::vector<Value> values, std::vector<Span> spans);

  // call.cpp
  Arguments arguments_of(const std::vector<syntax::Argument>& arguments, Scope& scope);
  Value call(const Value& callee, const Arguments& arguments, Span span);
  Value call_function(const Callable& callable, const Arguments& arguments, Span span);
  Value call_instance(const std::shared_ptr<Instance>& instance, const Arguments& arguments, Span span);
  Maker make(const Callable& callable, const Arguments& settings, Span span);
  // Calls the body of a function or instance with values for its inputs already in the scope.
  Value run_body(const Callable& callable, Scope& scope, Span span);
  std::map<std::string, Evaluated> bind(const std::vector<syntax::Parameter>& parameters, const Arguments& arguments,
                                        const std::string& callee, Span span, Scope& scope);

  // type.cpp
  Dimension dimension_of(const syntax::Expression& expression, Scope& scope);
  std::vector<Dimension> shape_of(const syntax::Type& type, Scope& scope,
                                  bool binds_symbols);  // unbound symbols become symbols of the entry
  ShapedArray matched(const syntax::Type& type, const Evaluated& value, Scope& scope,
                      const std::string& what);                 // binds symbols of the type
  void forget_symbols(const syntax::Type& type, Scope& scope);  // of an unknown argument: they are unknown, too
  std::string text_of_type(const syntax::Type& type, Scope& scope);

  // statement.cpp
  void run(const syntax::Block& block, Scope& scope, Flow& flow);
  void assign(const std::vector<syntax::Target>& targets, Value value, Scope& scope, Span span);

  // layer.cpp
  void declare_parameter(const syntax::Param& param, Scope& scope);
  void declare_state(const syntax::State& state, Scope& scope);
  void declare_instance(const syntax::Instance& instance, Scope& scope);
  void set_state(const syntax::Target& target, const Value& value, Scope& scope, Span span);
  void set_parameter(const syntax::Target& target, const Value& value, Span span);
  Value member_of_instance(const std::shared_ptr<Instance>& instance, const syntax::Name& name);
  ArrayRef initial_value(const syntax::Expression* expression, const syntax::Type* type, const ShapedArray& filled, const std::string& path,
                         Scope& scope);

  // subscript.cpp
  Value subscript(const syntax::Index& index, const syntax::Expression& expression, Scope& scope);

  // index_notation.cpp
  ShapedArray define_at_axes(const std::vector<syntax::AxisBinding>& axes, std::optional<DType> dtype, const syntax::Expression& body,
                             Scope& scope);
  Value reduce_over_axes(const Operation& operation, const std::vector<syntax::AxisBinding>& axes, const syntax::Expression& body,
                         Scope& scope);
  Value read_at(const ShapedArray& array, const std::vector<Evaluated>& indices, Span span);
  ShapedArray settle(const Value& value, Span span);  // a scalar that is at no axes becomes an array
  Value evaluate_under(Expr guard, const syntax::Expression& expression, Scope& scope);
  bool in_index_notation() const { return index_depth_ > 0; }

  // flat.cpp
  bool is_flat(const syntax::Expression& expression, Scope& scope);
  Value flat_value(const Value& value);
  Value evaluate_with(const syntax::Call& call, Span span, Scope& scope);

  // scan.cpp
  Value scan(const syntax::Scan& scan, Span span, Scope& scope);
  Value region(const syntax::Region& region, Span span, Scope& scope);

  // train.cpp
  // The optimizer applied to every parameter: updates as outputs of the graph.
  void add_updates(const syntax::Train& train, const std::vector<std::pair<std::string, ShapedArray>>& results);

  // entry.cpp
  using Results = std::vector<std::pair<std::string, ShapedArray>>;
  // Runs a function, layer or model on inputs of its declared types. None after a mistake.
  std::optional<Results> run_entry(const syntax::Function& function);
  void finish(const syntax::Function& function, const Results& results, bool scalars_only);  // outputs, updates, order of inputs
  Dimension entry_symbol(const std::string& name);
  Value top_level_let(const Module& module, const std::string& name);
  std::optional<std::string> setting(const std::string& name) const;
  Value setting_value(const std::string& name, const std::string& text, const syntax::Expression& usual);
  void check_settings();           // names that nothing takes
  std::shared_ptr<Instance> root;  // of the entry, if it owns parameters

 private:
  struct Frame {
    std::string name;
    Span call;
    bool is_library;
  };
  void run_statement(const syntax::Statement& statement, Scope& scope, Flow& flow);
  void run_assignment(const syntax::Assignment& assignment, Scope& scope);
  void run_loop(const syntax::For& loop, Scope& scope, Flow& flow);
  Value evaluate_node(const syntax::Expression& expression, Scope& scope);
  Value evaluate_call(const syntax::Call& call, const syntax::Expression& expression, Scope& scope);
  Value evaluate_comparison(const syntax::Comparison& comparison, const syntax::Expression& expression, Scope& scope);
  Value evaluate_binary(const syntax::Binary& binary, const syntax::Expression& expression, Scope& scope);
  void mark_origin(Span span, std::string_view what);
  std::vector<std::pair<Dimension, std::string>> uses_of_axis(const std::string& axis, const syntax::Expression& body, Scope& scope);
  struct OpenAxes {
    std::vector<AxisRef> axes;
    std::vector<Dimension> sizes;
    Scope scope;
  };
  OpenAxes open_axes(const std::vector<syntax::AxisBinding>& axes, const syntax::Expression& body, Scope& scope);

  Settings settings_;
  Sizes sizes_;
  std::int64_t nominal_;
  std::vector<Frame> frames_;
  std::map<std::pair<const Module*, std::string>, Value> lets_;
  std::set<std::pair<const Module*, std::string>> lets_open_;  // being evaluated
  std::vector<Expr> guards_;
  int scan_depth_ = 0;  // also in what a scan's body calls
  int index_depth_ = 0;
  bool flat_ = false;  // a definition of the flat form: reads are kept as they are written, types are those of computation
};

// number.cpp: arithmetic of compile-time numbers; sizes stay formulas. None if an operand is no such number.
std::optional<Value> number_operation(syntax::BinaryOperator op, const Value& a, const Value& b, Span span, const Builder& builder);

}  // namespace heed
