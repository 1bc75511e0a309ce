// Evaluates a graph array by array, each in loops over its positions.
#include "ir/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

#include "input_error.h"
#include "ir/loop_program.h"

namespace heed {
namespace {

using loops::Slot;
using Slots = std::vector<Slot>;

std::string shown(DType dtype, const std::vector<std::int64_t>& shape) {
  if (shape.empty()) return std::string(name_of(dtype));
  return fmt::format("{}[{}]", name_of(dtype), fmt::join(shape, ", "));
}

class Evaluation {
 public:
  explicit Evaluation(bool rounding) : rounding_(rounding) {}

  void bind(ArrayRef array, const Tensor& tensor) {
    bool fits = tensor.dtype == array->dtype || (!rounding_ && tensor.dtype == DType::f64 && is_floating(array->dtype));
    if (!fits || tensor.shape != array->shape)
      throw InputError(fmt::format("input {} is {}, but {} is given", array->name, shown(array->dtype, array->shape),
                                   shown(tensor.dtype, tensor.shape)));
    Slots slots(static_cast<std::size_t>(tensor.count()));
    for (std::size_t k = 0; k < slots.size(); ++k)
      if (is_floating(array->dtype))
        slots[k].real = tensor.real(static_cast<std::int64_t>(k));
      else
        slots[k].integer = tensor.integer(static_cast<std::int64_t>(k));
    if (array->range)
      for (Slot slot : slots)
        if (slot.integer < array->range->low || slot.integer > array->range->high)
          throw InputError(
              fmt::format("input {} holds {}, outside of {} … {}", array->name, slot.integer, array->range->low, array->range->high));
    values_[array] = std::move(slots);
  }

  void compute(const std::vector<ArrayRef>& outputs) {
    for (ArrayRef array : in_order(outputs))
      if (!values_.contains(array)) values_[array] = computed(array);
  }

  const Slots& value(ArrayRef array) const { return values_.at(array); }

 private:
  Slots computed(ArrayRef array) {
    switch (array->kind) {
      case Array::Kind::input:
        throw InputError(fmt::format("input {} ({}) is not given", array->name, shown(array->dtype, array->shape)));
      case Array::Kind::gradient:
        throw std::logic_error(fmt::format("evaluate: {} is a gradient: differentiate first", array->name));
      case Array::Kind::definition:
        return definition(array);
      case Array::Kind::scanned:
        return scanned(array);
    }
    return {};
  }

  Slots definition(ArrayRef array) {
    auto [entry, is_new] = programs_.try_emplace(array);
    if (is_new) entry->second = loops::compile(array);
    std::vector<const Slot*> arrays;
    for (ArrayRef read : entry->second.arrays) arrays.push_back(values_.at(read).data());
    Slots result(static_cast<std::size_t>(element_count(array)));
    if (!result.empty()) loops::run(entry->second, arrays, rounding_, result.data());
    for (Slot& slot : result)
      if (!is_floating(array->dtype))
        slot.integer = wrap_to(array->dtype, slot.integer);
      else if (rounding_)
        slot.real = round_to(array->dtype, slot.real);
    return result;
  }

  Slots scanned(ArrayRef array) {
    auto found = scans_.find(array->scan);
    if (found == scans_.end()) {
      auto results = run(*array->scan);
      found = scans_.emplace(array->scan, std::move(results)).first;
    }
    return found->second[static_cast<std::size_t>(array->result)];
  }

  // The results of a scan. What its body computes is forgotten after each step.
  std::vector<Slots> run(const Scan& scan) {
    std::vector<ArrayRef> ends = scan.yields, inside;
    ends.insert(ends.end(), scan.next.begin(), scan.next.end());
    std::vector<Slots> results(ends.size()), carried;
    for (ArrayRef start : scan.starts) carried.push_back(value(start));
    for (std::size_t k = 0; k < scan.yields.size(); ++k)
      results[k].resize(static_cast<std::size_t>(scan.length * element_count(scan.yields[k])));
    for (std::int64_t trip = 0; trip < scan.length; ++trip) {
      std::int64_t step = scan.reverse ? scan.length - 1 - trip : trip;
      for (std::size_t k = 0; k < scan.elements.size(); ++k) {
        const Slots& all = value(scan.elements[k]);
        std::int64_t size = element_count(scan.element_inputs[k]);
        values_[scan.element_inputs[k]] = Slots(all.begin() + step * size, all.begin() + (step + 1) * size);
      }
      for (std::size_t k = 0; k < carried.size(); ++k) values_[scan.carried_inputs[k]] = std::move(carried[k]);
      if (trip == 0)
        for (ArrayRef array : in_order(ends))
          if (!values_.contains(array)) inside.push_back(array);
      compute(ends);
      for (std::size_t k = 0; k < scan.yields.size(); ++k) {
        const Slots& yielded = value(scan.yields[k]);
        std::ranges::copy(yielded, results[k].begin() + step * static_cast<std::int64_t>(yielded.size()));
      }
      for (std::size_t k = 0; k < carried.size(); ++k) carried[k] = value(scan.next[k]);
      for (ArrayRef array : inside) {
        values_.erase(array);
        if (array->scan) scans_.erase(array->scan);
      }
    }
    for (ArrayRef stand_in : scan.element_inputs) values_.erase(stand_in);
    for (ArrayRef stand_in : scan.carried_inputs) values_.erase(stand_in);
    std::ranges::move(carried, results.begin() + static_cast<std::ptrdiff_t>(scan.yields.size()));
    return results;
  }

  bool rounding_;
  std::unordered_map<ArrayRef, Slots> values_;
  std::unordered_map<ArrayRef, loops::Program> programs_;
  std::unordered_map<const Scan*, std::vector<Slots>> scans_;
};

}  // namespace

std::vector<Tensor> evaluate(const Graph& graph, const std::map<std::string, Tensor>& inputs, EvaluateOptions options) {
  bool rounding = options.precision == EvaluateOptions::Precision::native;
  Evaluation evaluation(rounding);
  for (const GraphInput& input : graph.inputs)
    if (auto found = inputs.find(input.array->name); found != inputs.end()) evaluation.bind(input.array, found->second);
  std::vector<ArrayRef> outputs;
  for (const GraphOutput& output : graph.outputs) outputs.push_back(output.array);
  evaluation.compute(outputs);
  std::vector<Tensor> results;
  for (ArrayRef array : outputs) {
    bool floating = is_floating(array->dtype);
    Tensor& tensor = results.emplace_back(floating && !rounding ? DType::f64 : array->dtype, array->shape);
    const Slots& slots = evaluation.value(array);
    for (std::size_t k = 0; k < slots.size(); ++k)
      if (floating)
        tensor.set(static_cast<std::int64_t>(k), slots[k].real);
      else
        tensor.set(static_cast<std::int64_t>(k), slots[k].integer);
  }
  return results;
}

}  // namespace heed
