// Expressions and types, by recursive descent; each operator has NumPy's strength.
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "ir/language/parser.h"

namespace heed::syntax {
namespace {

using Role = Token::Role;

struct OperatorRecord {
  std::string_view text;
  BinaryOperator op;
  int strength;
};
constexpr std::array<OperatorRecord, 10> operators = {{{"or", BinaryOperator::logical_or, 1},
                                                       {"and", BinaryOperator::logical_and, 2},
                                                       {"+", BinaryOperator::add, 4},
                                                       {"-", BinaryOperator::subtract, 4},
                                                       {"*", BinaryOperator::multiply, 5},
                                                       {"/", BinaryOperator::divide, 5},
                                                       {"//", BinaryOperator::floor_divide, 5},
                                                       {"%", BinaryOperator::remainder, 5},
                                                       {"@", BinaryOperator::matmul, 5},
                                                       {"**", BinaryOperator::power, 6}}};
constexpr int strength_of_not = 3, strongest = 5;

struct ComparisonRecord {
  std::string_view text;
  CompareOperator op;
};
constexpr std::array<ComparisonRecord, 6> comparisons = {{{"==", CompareOperator::equal},
                                                          {"!=", CompareOperator::not_equal},
                                                          {"<", CompareOperator::less},
                                                          {"<=", CompareOperator::less_equal},
                                                          {">", CompareOperator::greater},
                                                          {">=", CompareOperator::greater_equal}}};

// Names of types elsewhere.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> foreign_types = {{{"float", "f32"},
                                                                                          {"float32", "f32"},
                                                                                          {"float64", "f64"},
                                                                                          {"double", "f64"},
                                                                                          {"float16", "f16"},
                                                                                          {"half", "f16"},
                                                                                          {"bfloat16", "bf16"},
                                                                                          {"int", "i32"},
                                                                                          {"int32", "i32"},
                                                                                          {"int64", "i64"},
                                                                                          {"long", "i64"},
                                                                                          {"int8", "i8"},
                                                                                          {"uint8", "u8"},
                                                                                          {"boolean", "bool"}}};

int height_of(const ExpressionPtr& expression) { return expression ? expression->height : 0; }

// The height of the highest part. Scans and regions stand alone, their bodies are counted as levels.
int highest_part(const decltype(Expression::node)& node) {
  int height = 0;
  auto see = [&](const ExpressionPtr& part) { height = std::max(height, height_of(part)); };
  if (auto* member = std::get_if<Member>(&node)) see(member->object);
  if (auto* unary = std::get_if<Unary>(&node)) see(unary->operand);
  if (auto* binary = std::get_if<Binary>(&node)) see(binary->left), see(binary->right);
  if (auto* comparison = std::get_if<Comparison>(&node))
    for (const ExpressionPtr& operand : comparison->operands) see(operand);
  if (auto* call = std::get_if<Call>(&node)) {
    see(call->callee);
    for (const Argument& argument : call->arguments) see(argument.value);
  }
  if (auto* index = std::get_if<Index>(&node)) {
    see(index->object);
    for (const Subscript& subscript : index->subscripts)
      see(subscript.index), see(subscript.start), see(subscript.stop), see(subscript.step);
  }
  if (auto* list = std::get_if<List>(&node))
    for (const ExpressionPtr& item : list->items) see(item);
  if (auto* range = std::get_if<Range>(&node)) see(range->first), see(range->end);
  return height;
}

}  // namespace

std::string_view spelling(UnaryOperator op) {
  constexpr std::array<std::string_view, 3> texts = {"-", "+", "not"};
  return texts[static_cast<std::size_t>(op)];
}

std::string_view spelling(BinaryOperator op) {
  for (const OperatorRecord& record : operators)
    if (record.op == op) return record.text;
  return "";
}

std::string_view spelling(CompareOperator op) { return comparisons[static_cast<std::size_t>(op)].text; }

std::optional<std::vector<AxisBinding>> axis_bindings(const std::vector<Subscript>& subscripts) {
  std::vector<AxisBinding> bindings;
  for (const Subscript& subscript : subscripts) {
    bool is_slice = subscript.kind == Subscript::Kind::slice;
    const Expression* name = is_slice ? subscript.start.get() : subscript.index.get();
    const auto* reference = name ? std::get_if<Reference>(&name->node) : nullptr;
    if (!reference || (is_slice && (!subscript.stop || subscript.step))) return std::nullopt;
    bindings.push_back({{reference->name, name->span}, is_slice ? subscript.stop.get() : nullptr});
  }
  return bindings;
}

std::optional<std::string> path_of(const Expression& expression) {
  std::string path;
  const Expression* at = &expression;
  while (const auto* member = std::get_if<Member>(&at->node)) {
    path = "." + member->name.text + path;
    at = member->object.get();
  }
  if (const auto* reference = std::get_if<Reference>(&at->node)) return reference->name + path;
  return std::nullopt;
}

ExpressionPtr Parser::make(const Span& first, decltype(Expression::node) node) {
  int height = highest_part(node) + 1;
  if (height > max_height) fail(from(first), fmt::format("this nests deeper than {} levels", max_height), "give a part of it a name");
  return std::make_unique<Expression>(Expression{from(first), height, std::move(node)});
}

ExpressionPtr Parser::expression() {
  Level level(*this);
  return binary(1);
}

ExpressionPtr Parser::binary(int strength) {
  if (strength == strength_of_not) return negation();
  if (strength > strongest) return prefix();
  Span first = current().span;
  ExpressionPtr left = binary(strength + 1);
  while (true) {
    const OperatorRecord* found = nullptr;
    for (const OperatorRecord& record : operators)
      if (record.strength == strength && is(record.text)) found = &record;
    if (!found) return left;
    Span place = take(Role::binary).span;
    ExpressionPtr right = binary(strength + 1);
    left = make(first, Binary{found->op, place, std::move(left), std::move(right)});
  }
}

ExpressionPtr Parser::negation() {
  if (!is("not")) return comparison();
  Level level(*this);
  Span first = take(Role::prefix).span;
  ExpressionPtr operand = negation();
  return make(first, Unary{UnaryOperator::logical_not, std::move(operand)});
}

ExpressionPtr Parser::comparison() {
  Span first = current().span;
  ExpressionPtr left = binary(strength_of_not + 1);
  Comparison chain;
  while (true) {
    const ComparisonRecord* found = nullptr;
    for (const ComparisonRecord& record : comparisons)
      if (is(record.text)) found = &record;
    if (!found) break;
    take(Role::binary);
    chain.operators.push_back(found->op);
    if (left) chain.operands.push_back(std::move(left));
    chain.operands.push_back(binary(strength_of_not + 1));
  }
  if (chain.operands.empty()) return left;
  return make(first, std::move(chain));
}

ExpressionPtr Parser::prefix() {
  if (!is("-") && !is("+")) return power();
  Level level(*this);
  UnaryOperator op = is("-") ? UnaryOperator::negate : UnaryOperator::plus;
  Span first = take(Role::prefix).span;
  ExpressionPtr operand = prefix();
  return make(first, Unary{op, std::move(operand)});
}

ExpressionPtr Parser::power() {
  Span first = current().span;
  ExpressionPtr base = postfix();
  if (!is("**")) return base;
  Level level(*this);
  Span place = take(Role::binary).span;
  ExpressionPtr exponent = prefix();
  return make(first, Binary{BinaryOperator::power, place, std::move(base), std::move(exponent)});
}

ExpressionPtr Parser::postfix() {
  Span first = current().span;
  ExpressionPtr result = primary();
  while (true) {
    if (is("(")) {
      std::vector<Argument> given = arguments();
      result = make(first, Call{std::move(result), std::move(given)});
    } else if (is("[")) {
      bool called = is(*words_[std::min(closing(at_) + 1, words_.size() - 1)], "(");
      std::vector<Subscript> given = subscripts(called);
      result = make(first, Index{std::move(result), std::move(given)});
    } else if (is(".")) {
      take(Role::tight);
      if (!is_name()) fail_here("a name after `.`");
      const Token& name = take();
      result = make(first, Member{std::move(result), {std::string(name.text), name.span}});
    } else {
      return result;
    }
  }
}

ExpressionPtr Parser::primary() {
  if (current().kind == Token::Kind::number) return number();
  if (current().kind == Token::Kind::string) return string();
  if (is_name()) return word();
  if (is("(") || is("[")) return list();
  if (is("...")) fail(current().span, "`...` stands only among subscripts and dimensions");
  if (is("=")) fail_here("an expression", "to compare write `==`");
  fail_here("an expression");
}

ExpressionPtr Parser::number() {
  const Token& token = take();
  Number result;
  result.text = token.text;
  std::string digits;
  for (char c : token.text)
    if (c != '_') digits += c;
  const char *begin = digits.data(), *end = begin + digits.size();
  if (digits.find_first_of(".eE") == std::string::npos) {
    std::int64_t integer = 0;
    if (std::from_chars(begin, end, integer).ec != std::errc()) fail(token.span, fmt::format("{} does not fit into 64 bits", digits));
    result.integer = integer;
  }
  if (std::from_chars(begin, end, result.real).ec != std::errc()) fail(token.span, fmt::format("f64 cannot hold {}", digits));
  return make(token.span, std::move(result));
}

ExpressionPtr Parser::string() {
  const Token& token = take();
  std::string value;
  for (std::size_t k = 1; k + 1 < token.text.size(); ++k) {
    char c = token.text[k];
    if (c == '\\') {
      c = token.text[++k];
      if (c == 'n')
        c = '\n';
      else if (c == 't')
        c = '\t';
      else if (c != '"' && c != '\\')
        report(token.span, fmt::format("a string knows `\\n`, `\\t`, `\\\"` and `\\\\`, not `\\{}`", c));
    }
    value += c;
  }
  return make(token.span, String{std::move(value)});
}

ExpressionPtr Parser::word() {
  if (is("if") || is("for"))
    fail_here("an expression", is("if") ? "to choose between values write `where(condition, a, b)`" : "`for` begins a line of its own");
  if (is("else") || is("return") || is("yield") || is("and") || is("or")) fail_here("an expression");
  if ((is("scan") || is("reverse_scan")) && is(ahead(1), "("))
    fail(current().span, fmt::format("`{}` stands alone on the right of `=`", current().text), "give its results names on a line before");
  const Token& token = take();
  std::string name(token.text);
  if (name == "true" || name == "false") return make(token.span, Truth{name == "true"});
  if (name == "none" || name == "None") return make(token.span, Nothing{});
  if (name == "inf") return make(token.span, Number{name, std::nullopt, HUGE_VAL});
  return make(token.span, Reference{std::move(name)});
}

// `(a)` is a; `(a, b)` and `[a, b]` are lists.
ExpressionPtr Parser::list() {
  Span first = current().span;
  List result;
  result.parentheses = is("(");
  bool comma = false;
  bracketed(result.parentheses ? ")" : "]", Role::plain, [&] {
    result.items.push_back(expression());
    comma = is(",");
  });
  if (!result.parentheses || result.items.size() != 1 || comma) return make(first, std::move(result));
  ExpressionPtr inner = std::move(result.items[0]);
  inner->span = from(first);
  return inner;
}

std::vector<Argument> Parser::arguments() {
  std::vector<Argument> result;
  bracketed(")", Role::call, [&] {
    Argument argument;
    if (is_name() && is(ahead(1), "=")) {
      argument.name = expect_name("a name");
      take(Role::binary);
    }
    Span first = current().span;
    argument.value = expression();
    if (!argument.name && !result.empty() && result.back().name)
      report(from(first), fmt::format("an argument without a name follows the named argument `{}`", result.back().name->text));
    result.push_back(std::move(argument));
  });
  return result;
}

std::vector<Subscript> Parser::subscripts(bool name_axes) {
  std::vector<Subscript> result;
  Span first = current().span;
  bracketed("]", Role::call, [&] { result.push_back(subscript(name_axes)); });
  if (result.empty()) fail(from(first), "there is nothing between the brackets");
  return result;
}

Subscript Parser::subscript(bool name_axes) {
  Subscript result;
  Span first = current().span;
  std::size_t begin = at_;
  Token* colon = nullptr;
  if (accept("...")) {
    result.kind = Subscript::Kind::ellipsis;
  } else {
    ExpressionPtr part;
    if (!is(":")) part = expression();
    if (is(":")) {
      result.kind = Subscript::Kind::slice;
      result.start = std::move(part);
      colon = &take(Role::tight);
      if (!is(":") && !is(",") && !is("]")) result.stop = expression();
      if (accept(":", Role::tight) && !is(",") && !is("]")) result.step = expression();
    } else {
      result.index = std::move(part);
    }
  }
  result.span = from(first);
  bool is_axis = name_axes && result.start && std::holds_alternative<Reference>(result.start->node) && result.stop && !result.step;
  if (is_axis) colon->role = Role::plain;
  if (colon) tighten(begin, at_, !is_axis);
  return result;
}

Type Parser::type() {
  if (!is_name()) fail_here("a type such as `f32` or `f32[B, T]`");
  Type result;
  Span first = current().span;
  std::optional<DType> dtype = dtype_named(current().text);
  if (!dtype) {
    std::string help = "types are f64 f32 f16 bf16 i64 i32 i8 u8 bool";
    for (auto [theirs, ours] : foreign_types)
      if (current().text == theirs) help = fmt::format("write `{}`", ours);
    report(first, fmt::format("there is no type `{}`", current().text), help);
  }
  result.dtype = dtype.value_or(DType::f32);
  take();
  if (is("[")) {
    result.scalar = false;
    bracketed("]", Role::call, [&] { result.dimensions.push_back(dimension()); });
  }
  result.span = from(first);
  return result;
}

Dimension Parser::dimension() {
  Dimension result;
  Span first = current().span;
  if (accept("...")) {
    result.ellipsis = true;
  } else {
    if (is_name() && ahead(1).text == ":") {
      result.axis = expect_name("the name of an axis");
      take();
    }
    std::size_t begin = at_;
    result.size = expression();
    tighten(begin, at_, false);
  }
  result.span = from(first);
  return result;
}

}  // namespace heed::syntax
