// What a model file says, as written: the tree the parser makes, before any name is looked up. Both levels of the language, what
// people write and the flat form, are one tree. Every node knows its place; comments and layout are kept as tokens for the formatter.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/dtype.h"
#include "ir/language/diagnostics.h"
#include "ir/language/token.h"

namespace heed::syntax {

struct Expression;
struct Statement;
using ExpressionPtr = std::unique_ptr<Expression>;  // never null, unless said
using Block = std::vector<Statement>;

// A declared or assigned name. Paths (`hidden.weight`, `h.3.attn`) are one name with dots; only the flat form declares those.
struct Name {
  std::string text;
  Span span;
};

// --- types
struct Dimension {
  Span span;
  std::optional<Name> axis;  // `b` in `b: B`
  bool ellipsis = false;     // `...`: any leading dimensions; then there is no size
  ExpressionPtr size;        // null for an ellipsis
};
struct Type {
  Span span;
  DType dtype = DType::f32;
  bool scalar = true;  // `f32` with no brackets
  std::vector<Dimension> dimensions;
};

// --- expressions
struct Number {
  std::string text;                     // as written
  std::optional<std::int64_t> integer;  // none for `1.0`, `1e-3`, `inf`, `nan`
  double real = 0;                      // of either kind
};
struct String {
  std::string value;
};
struct Truth {
  bool value;
};
struct Nothing {};  // `none` or `None`: no value; among subscripts a new axis
struct Reference {
  std::string name;
};
struct Member {
  ExpressionPtr object;
  Name name;
};  // `nn.linear`, `wte.table`, `h.3`

enum class UnaryOperator : std::uint8_t { negate, plus, logical_not };
struct Unary {
  UnaryOperator op;
  ExpressionPtr operand;
};

enum class BinaryOperator : std::uint8_t {
  add,
  subtract,
  multiply,
  divide,
  floor_divide,
  remainder,
  power,
  matmul,
  logical_and,
  logical_or
};
struct Binary {
  BinaryOperator op;
  Span op_span;
  ExpressionPtr left, right;
};

// `a < b`, and chains as in `0 <= i < n`, each operand evaluated once: operands[k] operators[k] operands[k + 1].
enum class CompareOperator : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };
struct Comparison {
  std::vector<ExpressionPtr> operands;
  std::vector<CompareOperator> operators;
};

struct Argument {
  std::optional<Name> name;  // `axis` in `axis = 1`; named ones come after the others
  ExpressionPtr value;
};
// Also a reduction in index notation, `sum[k: 64, e](…)`: a call of an Index; see axis_bindings.
struct Call {
  ExpressionPtr callee;
  std::vector<Argument> arguments;
};

struct Subscript {
  enum class Kind : std::uint8_t { index, slice, ellipsis } kind = Kind::index;  // a new axis is an index that is Nothing
  Span span;
  ExpressionPtr index;              // null but for an index
  ExpressionPtr start, stop, step;  // of a slice, each null if not written
};
struct Index {
  ExpressionPtr object;
  std::vector<Subscript> subscripts;
};

struct List {
  std::vector<ExpressionPtr> items;
  bool parentheses = false;
};  // [a, b], or (a, b)
struct Range {
  ExpressionPtr first, end;
};  // `0..n`: only in `for` and `scan`

struct Binding {
  Name name;
  ExpressionPtr value;
};
// scan(x in xs, h = h0) { … yield h }; `reverse_scan` runs from the last index to the first.
struct Scan {
  bool reverse = false;
  std::vector<Binding> elements, carried;
  Block body;
};
// region(q, k, v) { … return o, m }
struct Region {
  std::vector<ExpressionPtr> inputs;
  Block body;
};

struct Expression {
  Span span;       // of the whole expression; of one that runs over several lines, its first line
  int height = 1;  // levels of nesting, at most max_height
  std::variant<Number, String, Truth, Nothing, Reference, Member, Unary, Binary, Comparison, Call, Index, List, Range, Scan, Region> node;
};
inline constexpr int max_height = 1000;  // the parser refuses deeper trees, so that recursion over them is safe

// The axes of `sum[k: 64, e]` or of `s[b, i, j: N]`; none if a subscript is neither `name` nor `name: size`.
struct AxisBinding {
  Name name;
  const Expression* size = nullptr;
};
std::optional<std::vector<AxisBinding>> axis_bindings(const std::vector<Subscript>& subscripts);
// `hidden.weight` for references and members alike; none for other expressions.
std::optional<std::string> path_of(const Expression& expression);

// --- statements
struct Param {
  Name name;
  Type type;
  ExpressionPtr initial;
};  // initial: null if not written
struct State {
  Name name;
  std::optional<Type> type;
  ExpressionPtr initial;
};  // initial: null if not written
struct Instance {
  Name name;
  ExpressionPtr count;
  ExpressionPtr maker;
};  // `layer h[depth] = block(…)`; count null for one

struct Target {
  Name name;
  std::optional<Type> type;           // `a: f32[b: B, n: 256] = …`
  std::vector<Subscript> subscripts;  // `s[b, h, i, j: N] = …`; empty if there are none. Never both
};
struct Assignment {
  std::vector<Target> targets;  // at least one
  bool update = false;          // `:=`
  ExpressionPtr value;
};
struct For {
  Name variable;
  ExpressionPtr range;
  Block body;
};  // over a Range, a list, an array of instances
struct If {
  ExpressionPtr condition;
  Block then, otherwise;
};  // `else if`: one If in otherwise
struct Return {
  std::vector<ExpressionPtr> values;
};
struct Yield {
  std::vector<ExpressionPtr> values;
};

struct Statement {
  Span span;  // its first line
  std::variant<Param, State, Instance, Assignment, For, If, Return, Yield> node;
};

// --- top level
struct Import {
  std::string source;  // `nn`, or the path in quotes
  bool is_file = false;
  Name alias;  // `nn` if there is no `as`
};
struct Let {
  std::vector<Binding> bindings;
};

struct Parameter {
  Name name;
  std::optional<Type> type;  // none: takes any value
  ExpressionPtr fallback;    // null if it must be given
};
struct Result {
  std::optional<Name> name;
  Type type;
};
struct Function {
  enum class Kind : std::uint8_t { function, layer, model, optimizer } kind;
  Name name;
  std::vector<Parameter> settings;  // the first of two lists; empty if there is one list
  std::vector<Parameter> inputs;
  std::vector<Result> results;   // empty: whatever the body returns
  bool several_results = false;  // written `-> (…)`
  Block body;
  Span end;  // the closing brace
};
struct TrainEntry {  // `minimize loss`, `data train = mnist(…)`, `batch 32`
  Name key;
  std::optional<Name> name;  // `train` in `data train = …`
  ExpressionPtr value;
};
struct Train {
  Name model;
  std::vector<TrainEntry> entries;
};

struct Item {
  Span span;              // its first line
  std::string doc;        // the comment lines directly above, without `#`
  bool mistaken = false;  // something in it could not be understood
  std::variant<Import, Let, Function, Train> node;
};

struct File {
  const SourceFile* source = nullptr;
  std::string doc;  // the comment at the top of the file
  std::vector<Item> items;
  std::vector<std::string> lost;  // names of definitions that could not be understood at all
  std::vector<Token> tokens;      // all of the text, with comments; see token.h
};

// Never throws, whatever the bytes. After a mistake it goes on with the next statement, so all mistakes of a file are found in one
// run; what it returns then is what could be understood. `source` must outlive the tree.
File parse(const SourceFile& source, Diagnostics& diagnostics);

// How an operator is written, and how strongly it binds.
std::string_view spelling(UnaryOperator op);
std::string_view spelling(BinaryOperator op);
std::string_view spelling(CompareOperator op);

}  // namespace heed::syntax
