// Types: dimensions from expressions, and arguments held against what a type says; symbols are bound by the first that carries them.
#include <fmt/format.h>

#include <algorithm>

#include "ir/language/elaborator.h"

namespace heed {
namespace {

bool is_symbol_name(const std::string& name) { return !name.empty() && name[0] >= 'A' && name[0] <= 'Z'; }

// Names in a dimension that nothing defines yet.
void find_symbols(const syntax::Expression& expression, Elaborator& elaborator, const Scope& scope, std::vector<std::string>& found) {
  if (const auto* reference = std::get_if<syntax::Reference>(&expression.node)) {
    bool is_new = is_symbol_name(reference->name) && !elaborator.lookup(reference->name, scope);
    if (is_new && std::find(found.begin(), found.end(), reference->name) == found.end()) found.push_back(reference->name);
  } else if (const auto* binary = std::get_if<syntax::Binary>(&expression.node)) {
    find_symbols(*binary->left, elaborator, scope, found);
    find_symbols(*binary->right, elaborator, scope, found);
  } else if (const auto* unary = std::get_if<syntax::Unary>(&expression.node)) {
    find_symbols(*unary->operand, elaborator, scope, found);
  } else if (const auto* call = std::get_if<syntax::Call>(&expression.node)) {
    for (const auto& argument : call->arguments) find_symbols(*argument.value, elaborator, scope, found);
  }
}

bool is_name(const syntax::Expression& expression, const std::string& name) {
  const auto* reference = std::get_if<syntax::Reference>(&expression.node);
  return reference && reference->name == name;
}

}  // namespace

Dimension Elaborator::dimension_of(const syntax::Expression& expression, Scope& scope) {
  Value value = evaluate(expression, scope);
  if (is<Unknown>(value)) throw Unreported{};
  if (const auto* dimension = get_if<Dimension>(value)) {
    if (dimension->value < 0) {
      builder.suit_nominal(*dimension, 4, 1);
      throw Mistake{expression.span, fmt::format("a size is not negative, but {} is {}", source_text(expression.span), dimension->value)};
    }
    return *dimension;
  }
  const auto* real = get_if<Real>(value);
  if (real && !real->quotient.empty())
    throw Mistake{expression.span, fmt::format("a size must be whole: {} leaves a remainder", real->quotient)};
  throw Mistake{expression.span, fmt::format("a size is a whole number known at compile time, not {}", describe(value))};
}

std::vector<Dimension> Elaborator::shape_of(const syntax::Type& type, Scope& scope, bool binds_symbols) {
  std::vector<Dimension> shape;
  for (const syntax::Dimension& dimension : type.dimensions) {
    if (dimension.ellipsis) continue;
    std::vector<std::string> symbols;
    find_symbols(*dimension.size, *this, scope, symbols);
    if (binds_symbols)
      for (const std::string& name : symbols) scope.names[name] = entry_symbol(name);
    shape.push_back(dimension_of(*dimension.size, scope));
  }
  return shape;
}

void Elaborator::forget_symbols(const syntax::Type& type, Scope& scope) {
  std::vector<std::string> symbols;
  for (const syntax::Dimension& dimension : type.dimensions)
    if (dimension.size) find_symbols(*dimension.size, *this, scope, symbols);
  for (const std::string& name : symbols) scope.names[name] = Unknown{};
}

std::string Elaborator::text_of_type(const syntax::Type& type, Scope& scope) {
  std::string result(name_of(type.dtype));
  if (type.scalar) return result;
  result += "[";
  for (std::size_t k = 0; k < type.dimensions.size(); ++k) {
    const syntax::Dimension& dimension = type.dimensions[k];
    std::string text = "...";
    if (!dimension.ellipsis) {
      std::vector<std::string> symbols;
      find_symbols(*dimension.size, *this, scope, symbols);
      text = symbols.empty() ? dimension_of(*dimension.size, scope).size.text() : source_text(dimension.size->span);
    }
    result += (k ? ", " : "") + text;
  }
  return result + "]";
}

ShapedArray Elaborator::matched(const syntax::Type& type, const Evaluated& given, Scope& scope, const std::string& what) {
  if (has_unknown(given.value)) throw Unreported{};
  const Value& value = given.value;
  ShapedArray array;
  if (const auto* scalar = get_if<Scalar>(value); scalar && !in_index_notation())
    array = settle(value, given.span);
  else if (is_compile_time_scalar(value) && is<bool>(value) == (type.dtype == DType::boolean) &&
           !(is<Real>(value) && is_integer(type.dtype)))
    array = builder.constant(value, type.dtype);
  else if (is<List>(value) && !is<ShapedArray>(value))
    array = array_of(builder, value, given.span, type.dtype);
  else if (const auto* known = get_if<ShapedArray>(value))
    array = *known;
  else
    throw Mistake{given.span, fmt::format("{}: {}, not {}", what, text_of_type(type, scope), describe(value))};

  auto mismatch = [&](const std::string& why) {
    return Mistake{given.span, fmt::format("{}: {}, but this is {}{}", what, text_of_type(type, scope), describe(array), why)};
  };
  if (array.dtype() != type.dtype) {
    Mistake mistake = mismatch("");
    mistake.help = fmt::format("convert it: `{}({})`", name_of(type.dtype), source_text(given.span));
    throw mistake;
  }
  bool open = !type.dimensions.empty() && type.dimensions[0].ellipsis;
  std::size_t fixed = type.dimensions.size() - open;
  if (open ? array.shape.size() < fixed : array.shape.size() != fixed)
    throw mismatch(fmt::format(": {} axes and {} differ", std::to_string(fixed) + (open ? " or more" : ""), array.shape.size()));
  std::size_t skipped = array.shape.size() - fixed;
  for (std::size_t k = 0; k < fixed; ++k) {
    const syntax::Expression& expression = *type.dimensions[k + open].size;
    const Dimension& actual = array.shape[skipped + k];
    std::vector<std::string> symbols;
    find_symbols(expression, *this, scope, symbols);
    if (symbols.size() == 1) {
      // A symbol takes the size; `2*N` is solved where that is linear and comes out whole.
      Scope trial = scope;
      if (!is_name(expression, symbols[0])) {
        trial.names[symbols[0]] = Dimension(1);
        Dimension at_one = dimension_of(expression, trial);
        trial.names[symbols[0]] = Dimension(2);
        Dimension slope = dimension_of(expression, trial) - at_one, rest = actual - at_one;
        if (slope.value == 0 || rest.value % slope.value != 0)
          throw mismatch(fmt::format(": {} is not {} for any `{}`", actual.size.text(), source_text(expression.span), symbols[0]));
        scope.names[symbols[0]] = Dimension(1) + Dimension(exact_quotient(rest.size, slope.size), rest.value / slope.value);
      } else {
        scope.names[symbols[0]] = actual;
      }
    } else if (symbols.size() > 1) {
      throw Mistake{expression.span, fmt::format("`{}` and `{}` cannot both be found from one size", symbols[0], symbols[1])};
    }
    Dimension wanted = dimension_of(expression, scope);
    if (wanted == actual) continue;
    const auto* reference = std::get_if<syntax::Reference>(&expression.node);
    bool named = reference && is_symbol_name(reference->name);
    throw mismatch(named ? fmt::format(": `{}` is {} and {}", reference->name, wanted.size.text(), actual.size.text())
                         : fmt::format(": {} and {} differ", wanted.size.text(), actual.size.text()));
  }
  return array;
}

}  // namespace heed
