// Arrays and nodes are numbered as they are met, what is read first; each is written once, by the numbers of what it reads.
#include "ir/fingerprint.h"

#include <bit>
#include <string_view>
#include <unordered_map>

#include "ir/algebra.h"
#include "ir/function.h"

namespace heed {
namespace {

class Fingerprint {
 public:
  explicit Fingerprint(const Graph& graph) {
    put(graph.name);
    put(graph.is_function);
    put_each(graph.sizes, [&](const auto& size) { put(size.first), put(size.second); });
    std::vector<ArrayRef> all;
    for (const GraphInput& input : graph.inputs) {
      all.push_back(input.array);
      if (input.initial) all.push_back(input.initial);
    }
    for (const GraphOutput& output : graph.outputs) all.push_back(output.array);
    add(all);
    put_each(graph.inputs, [&](const GraphInput& input) {
      put(static_cast<int>(input.role));
      put(input.array), put(input.initial);
      put_each(input.axes, [&](const std::string& axis) { put(axis); });
    });
    put_each(graph.outputs, [&](const GraphOutput& output) { put(output.name), put(output.array), put(output.updates); });
  }
  Fingerprint(std::span<const ArrayRef> members, const std::unordered_map<ArrayRef, Slice>& slices) : slices_(&slices) {
    put_each(members, [&](ArrayRef member) { add_type(member); });
    for (ArrayRef member : members) {
      put_slice(member);
      if (member->body) add(member->body);
      put(member->body ? nodes_.at(member->body) : std::int64_t{-1});
    }
  }
  std::string bytes;
  std::vector<ArrayRef> order;  // arrays by number

 private:
  // Seven bits a byte, the last one below 128: most numbers are small.
  void put(std::int64_t value) {
    auto rest = static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
    for (; rest >= 128; rest >>= 7) bytes += static_cast<char>(rest | 128);
    bytes += static_cast<char>(rest);
  }
  void put(int value) { put(std::int64_t{value}); }
  void put(bool value) { put(std::int64_t{value}); }
  void put(double value) { put(std::bit_cast<std::int64_t>(value)); }
  void put(std::string_view text) {
    put(static_cast<std::int64_t>(text.size()));
    bytes += text;
  }
  void put(const std::string& text) { put(std::string_view(text)); }
  void put(ArrayRef array) { put(array ? arrays_.at(array) : std::int64_t{-1}); }
  void put(AxisRef axis) { put(static_cast<int>(axis->kind)), put(std::int64_t{axis->key}), put(axis->size); }
  template <class List, class Put>
  void put_each(const List& list, const Put& put_one) {
    put(static_cast<std::int64_t>(list.size()));
    for (const auto& each : list) put_one(each);
  }
  void put(const std::vector<ArrayRef>& list) {
    put_each(list, [&](ArrayRef array) { put(array); });
  }

  void put_type(const Array& array) {
    put(static_cast<int>(array.kind)), put(static_cast<int>(array.dtype));
    put_each(array.shape, [&](std::int64_t size) { put(size); });
    put(array.range.has_value());
    if (array.range) put(array.range->low), put(array.range->high);
  }

  void put_origin(const Arena& arena, std::uint32_t index) {
    auto [found, is_new] = origins_.try_emplace(index, static_cast<std::int64_t>(origins_.size()));
    put(found->second);
    if (!is_new) return;
    const Origin& origin = arena.origin(index);
    put(origin.file), put(origin.path), put(origin.what), put(origin.line);
  }

  // Bodies of scans come before what the scans give; they may read anything outside.
  void add(const std::vector<ArrayRef>& outputs) {
    for (ArrayRef array : in_order(outputs)) {
      if (arrays_.contains(array)) continue;
      if (array->scan) add(*array->scan);
      if (array->body) add(array->body);
      write(array);
      number(array);
    }
  }

  void add(const Scan& scan) {
    if (!scans_.try_emplace(&scan, static_cast<std::int64_t>(scans_.size())).second) return;
    std::vector<ArrayRef> body;
    for (const auto* list : {&scan.element_inputs, &scan.carried_inputs, &scan.yields, &scan.next})
      body.insert(body.end(), list->begin(), list->end());
    add(body);
    bytes += 's';
    put(scan.length), put(scan.reverse);
    for (const auto* list : {&scan.elements, &scan.element_inputs, &scan.starts, &scan.carried_inputs, &scan.yields, &scan.next})
      put(*list);
  }

  void number(ArrayRef array) {
    if (arrays_.emplace(array, static_cast<std::int64_t>(order.size())).second) order.push_back(array);
  }

  void add_type(ArrayRef array) {
    bytes += 't';
    put_type(*array);
    number(array);
  }

  void put_slice(ArrayRef array) {
    auto slice = slices_->find(array);
    put(slice != slices_->end());
    if (slice == slices_->end()) return;
    if (!arrays_.contains(slice->second.whole)) add_type(slice->second.whole);
    for (Expr index : slice->second.indices) add(index);
    put(slice->second.whole);
    put_each(slice->second.indices, [&](Expr index) { put(nodes_.at(index)); });
  }

  void add(Expr body) {
    for (Expr node : nodes_of(body)) {
      if (nodes_.contains(node)) continue;
      if (slices_ && node->array && !arrays_.contains(node->array)) {
        add_type(node->array);
        put_slice(node->array);
      }
      write(node);
      nodes_.emplace(node, static_cast<std::int64_t>(nodes_.size()));
    }
  }

  void write(Expr node) {
    bytes += 'n';
    put(static_cast<int>(node->op)), put(static_cast<int>(node->dtype));
    put(static_cast<int>(node->reduction)), put(static_cast<int>(node->to));
    put_each(node->operands, [&](Expr operand) { put(nodes_.at(operand)); });
    put_each(node->weights, [&](double weight) { put(weight); });
    put_each(node->integers, [&](std::int64_t weight) { put(weight); });
    put_each(node->axes, [&](AxisRef axis) { put(axis); });
    put(node->real), put(node->integer);
    put(node->function ? node->function->name : std::string_view());
    put(node->array);
    if (!slices_) put_origin(*node->arena, node->origin);
  }

  void write(ArrayRef array) {
    bytes += 'a';
    put_type(*array);
    put(array->name);
    put(array->body ? nodes_.at(array->body) : std::int64_t{-1});
    put(array->scan ? scans_.at(array->scan) : std::int64_t{-1});
    put(array->gradient != nullptr);
    if (array->gradient) put(array->gradient->target), put(array->gradient->wrt);
    put(array->result);
    put_origin(*array->arena, array->origin);
  }

  const std::unordered_map<ArrayRef, Slice>* slices_ = nullptr;  // of a fragment
  std::unordered_map<ArrayRef, std::int64_t> arrays_;
  std::unordered_map<Expr, std::int64_t> nodes_;
  std::unordered_map<const Scan*, std::int64_t> scans_;
  std::unordered_map<std::uint32_t, std::int64_t> origins_;
};

}  // namespace

std::string fingerprint(const Graph& graph) { return std::move(Fingerprint(graph).bytes); }

Fragment fingerprint(std::span<const ArrayRef> members, const std::unordered_map<ArrayRef, Slice>& slices) {
  Fingerprint made(members, slices);
  return {std::move(made.bytes), std::move(made.order)};
}

}  // namespace heed
