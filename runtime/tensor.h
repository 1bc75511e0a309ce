// Values as the runtime holds them: element types by name, and tensors in memory of their own.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/memory.h"
#include "runtime/program.h"

namespace heed {

struct ElementType {
  std::string_view name;  // "f32"
  std::int64_t bytes;
  bool floating;
  bool integer;                  // not bool
  std::int64_t lowest, highest;  // of integers
};

const std::vector<ElementType>& element_types();
const ElementType* find_element_type(std::string_view name);  // null if there is none
const ElementType& element_type(std::string_view name);       // an unknown one is a fault of heed's

// Product of the sizes; InputError if it exceeds 63 bits.
std::int64_t element_count(const std::vector<std::int64_t>& shape);
std::string text_of(const TensorType& type);  // "f32[2, 3]"

// One element at `from`, as a number of the widest type of its kind.
double floating_at(std::string_view dtype, const std::byte* from);
std::int64_t integer_at(std::string_view dtype, const std::byte* from);  // of an integer type or bool

// Stores `count` elements in another type: floating values round to even, integers wrap, bool is 0 or 1. Between floating and
// integer types too: integers become the nearest floating value, floating values are cut towards 0.
void convert_elements(std::string_view from_type, const std::byte* from, std::string_view to_type, std::byte* to, std::int64_t count);

// Dense, the last axis varies fastest.
struct HostTensor {
  TensorType type;
  Memory memory;

  HostTensor() = default;
  explicit HostTensor(TensorType type_of_it) : type(std::move(type_of_it)), memory(type.bytes()) {}
  std::byte* data() const { return memory.data(); }
  HostTensor copy() const;
};

using NamedTensors = std::map<std::string, HostTensor>;

}  // namespace heed
