// Train blocks: what they say, and the optimizer applied to every parameter.
#include <fmt/format.h>

#include <algorithm>

#include "ir/language/attempt.h"
#include "ir/language/elaborator.h"
#include "ir/language/train_keys.h"

namespace heed {
namespace {

using Kind = syntax::Function::Kind;

const syntax::TrainEntry* find_entry(const syntax::Train& train, std::string_view key) {
  for (const syntax::TrainEntry& entry : train.entries)
    if (entry.key.text == key) return &entry;
  return nullptr;
}

std::optional<DataCall> data_call(Elaborator& elaborator, const syntax::TrainEntry& entry) {
  const auto* call = std::get_if<syntax::Call>(&entry.value->node);
  auto reader = call ? syntax::path_of(*call->callee) : std::nullopt;
  if (!reader)
    throw Mistake{entry.value->span, "data comes from a reader", "for example `data train = mnist(\"data/mnist\", split = \"train\")`"};
  DataCall result{*reader, {}, elaborator.module.folder, entry.value->span};
  Scope scope{&elaborator.module};
  Arguments arguments = elaborator.arguments_of(call->arguments, scope);
  auto add = [&](const std::string& name, const Evaluated& argument) {
    DataCall::Value value;
    if (const auto* size = get_if<Dimension>(argument.value))
      value = size->value;
    else if (const auto* real = get_if<Real>(argument.value))
      value = real->value;
    else if (const auto* truth = get_if<bool>(argument.value))
      value = *truth;
    else if (const auto* text = get_if<Text>(argument.value)) {
      value = text->text;
      if (text->from_command_line) result.folder = "";
    } else if (is<Unknown>(argument.value))
      throw Unreported{};
    else
      throw Mistake{argument.span, fmt::format("a reader takes numbers, truths and texts, not {}", describe(argument.value))};
    result.arguments.emplace_back(name, value);
  };
  for (const Evaluated& argument : arguments.positional) add("", argument);
  for (const auto& [name, argument] : arguments.named) add(name.text, argument);
  return result;
}

struct Reader {
  Elaborator& elaborator;
  const syntax::Train& train;

  std::optional<Value> value(const std::string& key) {
    const syntax::TrainEntry* entry = find_entry(train, key);
    auto given = elaborator.setting(key);
    if (given && !elaborator.module.lets.contains(key)) {
      static const syntax::Expression number{};
      return elaborator.setting_value(key, *given, entry ? *entry->value : number);
    }
    if (!entry) return std::nullopt;
    Scope scope{&elaborator.module};
    return elaborator.evaluate(*entry->value, scope);
  }

  std::optional<std::int64_t> whole(const std::string& key, std::int64_t least) {
    auto found = value(key);
    if (!found || is<Unknown>(*found)) return std::nullopt;
    const syntax::TrainEntry* entry = find_entry(train, key);
    Span span = entry ? entry->value->span : train.model.span;
    const auto* number = get_if<Dimension>(*found);
    if (!number) throw Mistake{span, fmt::format("`{}` is a whole number, not {}", key, describe(*found))};
    if (number->value < least) throw Mistake{span, fmt::format("`{}` is {} or more, not {}", key, least, number->value)};
    return number->value;
  }
};

struct ChosenOptimizer {
  Callable callable;
  Arguments settings;
  std::optional<Evaluated> clip;  // none as well where the optimizer has a setting of that name
};

ChosenOptimizer chosen_optimizer(Elaborator& elaborator, const syntax::TrainEntry& entry) {
  Scope scope{&elaborator.module};
  Span span = entry.value->span;
  const auto* written = std::get_if<syntax::Call>(&entry.value->node);
  Value callee = elaborator.evaluate(written ? *written->callee : *entry.value, scope);
  if (is<Unknown>(callee)) throw Unreported{};
  const auto* optimizer = get_if<Callable>(callee);
  if (!optimizer || optimizer->definition->kind != Kind::optimizer)
    throw Mistake{span, fmt::format("an optimizer is wanted here, not {}", describe(callee))};
  ChosenOptimizer chosen{*optimizer, written ? elaborator.arguments_of(written->arguments, scope) : Arguments{}, std::nullopt};
  auto& named = chosen.settings.named;
  for (const auto& argument : named)
    if (has_unknown(argument.second.value)) throw Unreported{};
  const auto& declared = optimizer->definition->settings;
  bool takes_clip = std::any_of(declared.begin(), declared.end(), [](const syntax::Parameter& p) { return p.name.text == "clip"; });
  auto clip = std::find_if(named.begin(), named.end(), [](const auto& argument) { return argument.first.text == "clip"; });
  if (takes_clip || clip == named.end()) return chosen;
  Evaluated limit = clip->second;
  named.erase(clip);
  if (is<Nothing>(limit.value)) return chosen;
  const auto* array = get_if<ShapedArray>(limit.value);
  if (!is_number(limit.value) && !(array && array->shape.empty() && array->dtype() == DType::f32))
    throw Mistake{limit.span, fmt::format("`clip` is a number, not {}", describe(limit.value))};
  chosen.clip = limit;
  return chosen;
}

void report_repeated_entries(const syntax::Train& train, Diagnostics& diagnostics) {
  for (auto entry = train.entries.begin(); entry != train.entries.end(); ++entry) {
    auto name = [](const syntax::TrainEntry& each) { return each.name ? each.key.text + " " + each.name->text : each.key.text; };
    bool repeats =
        std::any_of(train.entries.begin(), entry, [&](const syntax::TrainEntry& earlier) { return name(earlier) == name(*entry); });
    if (repeats) diagnostics.error(entry->key.span, fmt::format("`{}` is given twice", name(*entry)));
  }
}

void read_block(Elaborator& elaborator, const syntax::Train& train, TrainBlock& block) {
  auto guarded = [&](auto&& read) {
    try {
      read();
    } catch (const Mistake& mistake) {
      elaborator.report(mistake, train.model.span);
    } catch (const Unreported&) {
    }
  };
  Reader reader{elaborator, train};
  report_repeated_entries(train, elaborator.diagnostics);
  for (const syntax::TrainEntry& entry : train.entries)
    if (std::find(train_keys.begin(), train_keys.end(), entry.key.text) == train_keys.end()) {
      std::vector<std::string> known(train_keys.begin(), train_keys.end());
      std::string help = did_you_mean(entry.key.text, known);
      elaborator.diagnostics.error(entry.key.span, fmt::format("a train block has no `{}`", entry.key.text),
                                   help.empty() ? "it has " + list_in_words(known) : help);
    }
  guarded([&] {
    const syntax::TrainEntry* entry = find_entry(train, "minimize");
    auto name = entry ? syntax::path_of(*entry->value) : std::nullopt;
    if (!name)
      throw Mistake{entry ? entry->value->span : train.model.span, "a train block names the result to minimize",
                    "for example `minimize loss`"};
    block.minimize = *name;
    const syntax::Function& model = *elaborator.module.functions.at(train.model.text);
    std::vector<std::string> results;
    for (const syntax::Result& result : model.results) {
      if (!result.name) continue;
      results.push_back(result.name->text);
      if (results.back() == *name && !(result.type.scalar && is_floating(result.type.dtype)))
        throw Mistake{entry->value->span,
                      fmt::format("what is minimized is a floating scalar, but `{}` is {}", *name, source_text(result.type.span)),
                      fmt::format("reduce it in the model: `mean({})`", *name)};
    }
    if (std::find(results.begin(), results.end(), *name) == results.end())
      throw Mistake{entry->value->span, fmt::format("`{}` has no result `{}`", train.model.text, *name),
                    results.empty() ? "name its results: `-> (loss: f32)`" : "it has " + list_in_words(results)};
  });
  guarded([&] {
    const syntax::TrainEntry* entry = find_entry(train, "optimizer");
    if (!entry) throw Mistake{train.model.span, "a train block names an optimizer", "for example `optimizer adam(lr = 1e-3)`"};
    ChosenOptimizer chosen = chosen_optimizer(elaborator, *entry);
    elaborator.make(chosen.callable, chosen.settings, entry->value->span);
  });
  for (const syntax::TrainEntry& entry : train.entries) {
    if (entry.key.text != "data") continue;
    guarded([&] {
      if (!entry.name || (entry.name->text != "train" && entry.name->text != "test"))
        throw Mistake{entry.name ? entry.name->span : entry.key.span,
                      fmt::format("data is `train` or `test`{}", entry.name ? ", not `" + entry.name->text + "`" : "")};
      (entry.name->text == "train" ? block.train : block.test) = data_call(elaborator, entry);
    });
  }
  guarded([&] {
    if (!block.train && !elaborator.diagnostics.has_errors())
      throw Mistake{train.model.span, "a train block names its data",
                    "for example `data train = mnist(\"data/mnist\", split = \"train\")`"};
  });
  guarded([&] {
    auto batch = reader.whole("batch", 1);
    if (!batch && !elaborator.diagnostics.has_errors())
      throw Mistake{train.model.span, "a train block gives the batch", "for example `batch 32`"};
    block.batch = batch.value_or(1);
  });
  guarded([&] { block.epochs = reader.whole("epochs", 1); });
  guarded([&] { block.steps = reader.whole("steps", 0); });
  guarded([&] {
    if (!block.epochs && !block.steps && !elaborator.diagnostics.has_errors())
      throw Mistake{train.model.span, "a train block says how long: `epochs` or `steps`"};
  });
  guarded([&] { block.seed = reader.whole("seed", std::numeric_limits<std::int64_t>::min()).value_or(0); });
  guarded([&] {
    const syntax::TrainEntry* entry = find_entry(train, "precision");
    auto given = elaborator.setting("precision");
    auto name = entry ? syntax::path_of(*entry->value) : std::nullopt;
    if (entry)
      if (const auto* text = std::get_if<syntax::String>(&entry->value->node)) name = text->value;
    if (given) name = *given;
    if (name) block.precision = *name;
    static const std::vector<std::string> known = {"f32", "tf32", "bf16", "f16"};
    if (std::find(known.begin(), known.end(), block.precision) == known.end() || (entry && !name))
      throw Mistake{entry ? entry->value->span : train.model.span,
                    fmt::format("`precision` is one of {}, not `{}`", list_in_words(known), block.precision)};
  });
}

// Gradients scaled down so that their common norm is at most `limit`.
std::vector<ShapedArray> clipped(Builder& builder, const std::vector<ShapedArray>& gradients, const Value& limit, Span span) {
  std::vector<ShapedArray> squares;
  Arena& arena = builder.arena();
  for (const ShapedArray& gradient : gradients)
    squares.push_back(builder.define({}, DType::f32, [&](std::span<const Expr>) {
      std::vector<AxisRef> axes;
      std::vector<Expr> positions;
      for (const Dimension& dimension : gradient.shape) {
        axes.push_back(fresh_axis(arena, dimension.value));
        positions.push_back(value(axes.back()));
      }
      return sum(axes, power(cast(DType::f32, at(gradient, positions)), 2));
    }));
  builder.name_hint = "gradient_scale";
  ShapedArray scale = builder.define({}, DType::f32, [&](std::span<const Expr>) {
    std::vector<Term> terms;
    for (const ShapedArray& square : squares) terms.push_back({1, at(square, {})});
    Expr norm = power(linear(terms, 0, arena, DType::f32), 0.5),
         most = at(array_of(builder, is<Dimension>(limit) ? Value(Real{number_of(limit), ""}) : limit, span), {});
    Expr ratio = divide(most, add(norm, real(arena, 1e-6)));
    return heed::scale(-1.0, apply(functions::maximum, {heed::scale(-1.0, ratio), real(arena, -1)}));
  });
  std::vector<ShapedArray> result;
  for (const ShapedArray& gradient : gradients)
    result.push_back(builder.define(gradient.shape, gradient.dtype(), [&](std::span<const Expr> positions) {
      Expr g = at(gradient, positions);
      return multiply(g, cast(g->dtype, at(scale, {})));
    }));
  return result;
}

}  // namespace

std::optional<TrainBlock> train_block(const Module& module, const std::string& entry, const Settings& settings, Diagnostics& diagnostics) {
  const syntax::Train* train = nullptr;
  std::vector<std::string> models;
  for (const auto& [model, block] : module.trains) {
    models.push_back(model);
    if (entry.empty() ? module.trains.size() == 1 : model == entry) train = block;
  }
  if (!train) {
    if (models.empty())
      diagnostics.error({}, fmt::format("`{}` has no train block", module.source.name), "write one: `train model { minimize loss … }`");
    else
      diagnostics.error({},
                        entry.empty() ? fmt::format("`{}` has {} train blocks: which one?", module.source.name, models.size())
                                      : fmt::format("`{}` has no train block", entry),
                        fmt::format("there {} {}", models.size() == 1 ? "is" : "are", list_in_words(models)));
    return std::nullopt;
  }
  auto model = module.functions.find(train->model.text);
  if (model == module.functions.end() || model->second->kind != Kind::model) {
    diagnostics.error(train->model.span, fmt::format("`{}` is no model of this file", train->model.text));
    return std::nullopt;
  }
  TrainBlock block;
  block.model = train->model.text;
  Diagnostics found;
  Elaborator elaborator(module, settings, {}, 64, found);
  elaborator.check_settings();
  read_block(elaborator, *train, block);
  diagnostics.add(found);
  return found.has_errors() ? std::nullopt : std::optional(block);
}

void Elaborator::add_updates(const syntax::Train& train, const Results& results) {
  const syntax::TrainEntry &minimize = *find_entry(train, "minimize"), &chosen = *find_entry(train, "optimizer");
  Span span = chosen.value->span;
  try {
    auto target =
        std::find_if(results.begin(), results.end(), [&](const auto& result) { return result.first == *syntax::path_of(*minimize.value); });
    if (!target->second.shape.empty() || !is_floating(target->second.dtype()))
      throw Mistake{minimize.value->span,
                    fmt::format("what is minimized is a floating scalar, but `{}` is {}", target->first, describe(target->second)),
                    fmt::format("reduce it in the model: `mean({})`", target->first)};
    ChosenOptimizer optimizer = chosen_optimizer(*this, chosen);

    std::vector<ShapedArray> parameters, gradients;
    std::vector<ArrayRef> arrays;
    for (const GraphInput& each : builder.graph.inputs) {
      if (each.role != GraphInput::Role::parameter || !is_floating(each.array->dtype)) continue;
      std::vector<Dimension> shape;
      for (std::int64_t size : each.array->shape) shape.emplace_back(size);
      parameters.push_back({each.array, shape});
      arrays.push_back(each.array);
    }
    mark_origin(span, "gradient");
    std::vector<ArrayRef> derived = gradient(target->second.array, arrays);
    for (std::size_t k = 0; k < derived.size(); ++k) gradients.push_back({derived[k], parameters[k].shape});

    // `clip` is every optimizer's: it acts on all gradients together, before any of them is used.
    if (optimizer.clip) {
      mark_origin(span, "clip");
      gradients = clipped(builder, gradients, optimizer.clip->value, optimizer.clip->span);
    }
    Maker maker = make(optimizer.callable, optimizer.settings, span);
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      auto instance = std::make_shared<Instance>();
      instance->maker = maker;
      instance->path = arrays[k]->name;
      Arguments inputs{{{parameters[k], span}, {gradients[k], span}}, {}};
      Value next = call_instance(instance, inputs, span);
      if (has_unknown(next)) return;
      ShapedArray updated = array_of(builder, next, span);
      if (updated.dtype() != parameters[k].dtype() || !(updated.shape == parameters[k].shape))
        throw Mistake{span, fmt::format("the optimizer makes {} of the parameter `{}`, which is {}", describe(updated), arrays[k]->name,
                                        describe(parameters[k]))};
      builder.graph.outputs.push_back({arrays[k]->name, updated.array, arrays[k]});
    }
    builder.seed();
    builder.step();
  } catch (const Mistake& mistake) {
    report(mistake, span);
  } catch (const Unreported&) {
  }
}

}  // namespace heed
