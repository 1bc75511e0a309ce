// A syntax tree as bracketed text.
#include "tests/ir/syntax_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace heed::syntax {
namespace {

template <typename Part, typename Describe>
std::string joined(const std::vector<Part>& parts, Describe describe_one, std::string_view between = ", ") {
  std::vector<std::string> texts;
  for (const Part& part : parts) texts.push_back(describe_one(part));
  return fmt::format("{}", fmt::join(texts, between));
}

std::string maybe(const ExpressionPtr& expression) { return expression ? describe(*expression) : ""; }
std::string each(const ExpressionPtr& expression) { return describe(*expression); }
std::string body(const Block& block) {
  return fmt::format("{{{}}}", joined(block, [](const Statement& statement) { return describe(statement); }, "; "));
}

std::string describe(const Subscript& subscript) {
  if (subscript.kind == Subscript::Kind::ellipsis) return "...";
  if (subscript.kind == Subscript::Kind::index) return describe(*subscript.index);
  return fmt::format("slice({}, {}, {})", maybe(subscript.start), maybe(subscript.stop), maybe(subscript.step));
}

std::string subscripts(const std::vector<Subscript>& all) {
  return joined(all, [](const Subscript& subscript) { return describe(subscript); });
}

struct ExpressionText {
  std::string operator()(const Number& number) const { return number.text; }
  std::string operator()(const String& string) const { return fmt::format("\"{}\"", string.value); }
  std::string operator()(const Truth& truth) const { return truth.value ? "true" : "false"; }
  std::string operator()(const Nothing&) const { return "none"; }
  std::string operator()(const Reference& reference) const { return reference.name; }
  std::string operator()(const Member& member) const { return fmt::format("{}.{}", describe(*member.object), member.name.text); }
  std::string operator()(const Unary& unary) const { return fmt::format("({} {})", spelling(unary.op), describe(*unary.operand)); }
  std::string operator()(const Binary& binary) const {
    return fmt::format("({} {} {})", describe(*binary.left), spelling(binary.op), describe(*binary.right));
  }
  std::string operator()(const Comparison& chain) const {
    std::string text = "(" + describe(*chain.operands[0]);
    for (std::size_t k = 0; k < chain.operators.size(); ++k)
      text += fmt::format(" {} {}", spelling(chain.operators[k]), describe(*chain.operands[k + 1]));
    return text + ")";
  }
  std::string operator()(const Call& call) const {
    return fmt::format("{}({})", describe(*call.callee), joined(call.arguments, [](const Argument& argument) {
                         return argument.name ? argument.name->text + " = " + describe(*argument.value) : describe(*argument.value);
                       }));
  }
  std::string operator()(const Index& index) const { return fmt::format("{}[{}]", describe(*index.object), subscripts(index.subscripts)); }
  std::string operator()(const List& list) const {
    return fmt::format(fmt::runtime(list.parentheses ? "tuple({})" : "[{}]"), joined(list.items, each));
  }
  std::string operator()(const Range& range) const { return fmt::format("{}..{}", describe(*range.first), describe(*range.end)); }
  std::string operator()(const Scan& scan) const {
    auto binding = [](std::string_view between) {
      return [between](const Binding& one) { return fmt::format("{} {} {}", one.name.text, between, describe(*one.value)); };
    };
    return fmt::format("{}({} | {}) {}", scan.reverse ? "reverse_scan" : "scan", joined(scan.elements, binding("in")),
                       joined(scan.carried, binding("=")), body(scan.body));
  }
  std::string operator()(const Region& region) const {
    return fmt::format("region({}) {}", joined(region.inputs, each), body(region.body));
  }
};

std::string initial(const ExpressionPtr& value) { return value ? " = " + describe(*value) : ""; }
std::string typed(const std::optional<Type>& type) { return type ? ": " + describe(*type) : ""; }

struct StatementText {
  std::string operator()(const Param& param) const {
    return fmt::format("param {}: {}{}", param.name.text, describe(param.type), initial(param.initial));
  }
  std::string operator()(const State& state) const {
    return fmt::format("state {}{}{}", state.name.text, typed(state.type), initial(state.initial));
  }
  std::string operator()(const Instance& instance) const {
    return fmt::format("layer {}[{}] = {}", instance.name.text, maybe(instance.count), describe(*instance.maker));
  }
  std::string operator()(const Assignment& assignment) const {
    auto target = [](const Target& one) {
      return one.name.text + typed(one.type) + (one.subscripts.empty() ? "" : fmt::format("[{}]", subscripts(one.subscripts)));
    };
    return fmt::format("{} {} {}", joined(assignment.targets, target), assignment.update ? ":=" : "=", describe(*assignment.value));
  }
  std::string operator()(const For& loop) const {
    return fmt::format("for {} in {} {}", loop.variable.text, describe(*loop.range), body(loop.body));
  }
  std::string operator()(const If& choice) const {
    return fmt::format("if {} {} else {}", describe(*choice.condition), body(choice.then), body(choice.otherwise));
  }
  std::string operator()(const Return& given) const { return fmt::format("return {}", joined(given.values, each)); }
  std::string operator()(const Yield& given) const { return fmt::format("yield {}", joined(given.values, each)); }
};

struct ItemText {
  std::string operator()(const Import& import) const {
    return fmt::format("import {}{} as {}", import.is_file ? "file " : "", import.source, import.alias.text);
  }
  std::string operator()(const Let& let) const {
    return fmt::format("let {}", joined(let.bindings, [](const Binding& one) { return one.name.text + " = " + describe(*one.value); }));
  }
  std::string operator()(const Function& function) const {
    constexpr std::string_view kinds[] = {"fn", "layer", "model", "optimizer"};
    auto parameter = [](const Parameter& one) { return one.name.text + typed(one.type) + initial(one.fallback); };
    auto result = [](const Result& one) { return (one.name ? one.name->text + ": " : "") + describe(one.type); };
    return fmt::format("{} {}({})({}) -> ({}) {}", kinds[static_cast<int>(function.kind)], function.name.text,
                       joined(function.settings, parameter), joined(function.inputs, parameter), joined(function.results, result),
                       body(function.body));
  }
  std::string operator()(const Train& train) const {
    auto entry = [](const TrainEntry& one) {
      return fmt::format("{}{} {}", one.key.text, one.name ? " " + one.name->text + " =" : "", describe(*one.value));
    };
    return fmt::format("train {} {{{}}}", train.model.text, joined(train.entries, entry, "; "));
  }
};

}  // namespace

std::string describe(const Expression& expression) { return std::visit(ExpressionText(), expression.node); }
std::string describe(const Statement& statement) { return std::visit(StatementText(), statement.node); }
std::string describe(const Item& item) { return std::visit(ItemText(), item.node); }

std::string describe(const Type& type) {
  std::string text(name_of(type.dtype));
  if (type.scalar) return text;
  return text + fmt::format("[{}]", joined(type.dimensions, [](const Dimension& dimension) {
                              if (dimension.ellipsis) return std::string("...");
                              return (dimension.axis ? dimension.axis->text + ": " : "") + describe(*dimension.size);
                            }));
}

std::string describe(const File& file) {
  return joined(file.items, [](const Item& item) { return describe(item); }, "\n");
}

}  // namespace heed::syntax
