// One list of each struct's members serves writing and reading; it names all of them, so that a new one is an error until it is listed.
#include "codegen/program_bytes.h"

#include <algorithm>
#include <type_traits>

namespace heed {
namespace {

template <class T, template <class...> class Template>
constexpr bool is_a = false;
template <template <class...> class Template, class... Arguments>
constexpr bool is_a<Template<Arguments...>, Template> = true;

// `archive` takes any number of members.
template <class Archive, class T>
void members(Archive& archive, T& x) {
  using Type = std::remove_const_t<T>;
  if constexpr (std::is_same_v<Type, StoredProgram>) {
    auto& [program, kernels, note] = x;
    archive(program, kernels, note);
  } else if constexpr (std::is_same_v<Type, Program>) {
    auto& [device, kernels, inputs, outputs, buffers, preparation, steps, regions, fault_places, arena_bytes, code] = x;
    archive(kernels, inputs, outputs, buffers, preparation, steps, regions, fault_places, arena_bytes);
  } else if constexpr (std::is_same_v<Type, DeviceKernel>) {
    auto& [name, code, entry, threads, shared_bytes] = x;
    archive(name, threads, shared_bytes);
  } else if constexpr (std::is_same_v<Type, ProgramValue>) {
    auto& [name, role, type, in_place, range] = x;
    archive(name, role, type, in_place, range);
  } else if constexpr (std::is_same_v<Type, TensorType>) {
    auto& [dtype, shape] = x;
    archive(dtype, shape);
  } else if constexpr (std::is_same_v<Type, IndexRange>) {
    auto& [low, high] = x;
    archive(low, high);
  } else if constexpr (std::is_same_v<Type, Buffer>) {
    auto& [kind, offset, bytes, dtype] = x;
    archive(kind, offset, bytes, dtype);
  } else if constexpr (std::is_same_v<Type, BufferUse>) {
    auto& [buffer, stride] = x;
    archive(buffer, stride);
  } else if constexpr (std::is_same_v<Type, RegionInfo>) {
    auto& [label, source, flop, bytes, times, whole, layer, line, not_always_finite] = x;
    archive(label, source, flop, bytes, times, whole, layer, line, not_always_finite);
  } else if constexpr (std::is_same_v<Type, Launch>) {
    auto& [function, tasks, buffers, scratch_bytes, region, kernel, maps] = x;
    archive(tasks, buffers, scratch_bytes, region, kernel, maps);
  } else if constexpr (std::is_same_v<Type, TensorMap>) {
    auto& [buffer, offset, sizes, strides, box] = x;
    archive(buffer, offset, sizes[0], sizes[1], sizes[2], strides[0], strides[1], box[0], box[1], box[2]);
  } else if constexpr (std::is_same_v<Type, Copy>) {
    auto& [from, to, bytes] = x;
    archive(from, to, bytes);
  } else if constexpr (std::is_same_v<Type, Loop>) {
    auto& [trips, reverse, steps] = x;
    archive(trips, reverse, steps);
  } else if constexpr (std::is_same_v<Type, BlockedWork::Block>) {
    auto& [body, row, column, narrowest] = x;
    archive(body, row, column, narrowest);
  } else if constexpr (std::is_same_v<Type, BlockedWork::ByData>) {
    auto& [begin, end, units, leaves_out] = x;
    archive(begin, end, units, leaves_out);
  } else if constexpr (std::is_same_v<Type, BlockedWork::Initial>) {
    auto& [buffer, bytes, element] = x;
    archive(buffer, bytes, element);
  } else {
    static_assert(std::is_same_v<Type, BlockedWork>);
    auto& [units, parallel_units, parallel_rows, blocks, of_rows, by_data, widths, bodies, initial, results, local_bytes, region] = x;
    archive(units, parallel_units, parallel_rows, blocks, of_rows, by_data, widths, bodies, initial, results, local_bytes, region);
  }
}

template <class T>
constexpr bool is_plain = std::is_arithmetic_v<T> || std::is_enum_v<T>;

struct Writer {
  std::string bytes;

  template <class... T>
  void operator()(const T&... members) {
    (write(members), ...);
  }
  template <class T>
  void write(const T& x) {
    if constexpr (is_plain<T>) {
      bytes.append(reinterpret_cast<const char*>(&x), sizeof x);
    } else if constexpr (std::is_same_v<T, std::string>) {
      write(static_cast<std::uint64_t>(x.size()));
      bytes += x;
    } else if constexpr (is_a<T, std::vector>) {
      write(static_cast<std::uint64_t>(x.size()));
      for (const auto& each : x) write(each);
    } else if constexpr (is_a<T, std::optional>) {
      write(x.has_value());
      if (x) write(*x);
    } else if constexpr (is_a<T, std::shared_ptr>) {
      write(*x);
    } else if constexpr (is_a<T, std::variant>) {
      write(static_cast<std::uint8_t>(x.index()));
      std::visit([&](const auto& each) { write(each); }, x);
    } else {
      members(*this, x);
    }
  }
};

struct Reader {
  std::string_view rest;
  bool is_good = true;
  int depth = 0;  // of loops within loops

  template <class... T>
  void operator()(T&... members) {
    (read(members), ...);
  }
  template <class T>
  void read(T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t byte = 0;
      read(byte);
      x = byte == 1;
      is_good &= byte <= 1;
    } else if constexpr (is_plain<T>) {
      if (rest.size() < sizeof x) return fail();
      std::copy_n(rest.begin(), sizeof x, reinterpret_cast<char*>(&x));
      rest.remove_prefix(sizeof x);
    } else if constexpr (std::is_same_v<T, std::string> || is_a<T, std::vector>) {
      std::uint64_t count = 0;
      read(count);
      if (count > rest.size()) return fail();  // Each element has at least one byte.
      if constexpr (std::is_same_v<T, std::string>) {
        x = rest.substr(0, count);
        rest.remove_prefix(count);
      } else {
        for (; count > 0 && is_good; --count) read(x.emplace_back());
      }
    } else if constexpr (is_a<T, std::optional>) {
      bool has_value = false;
      read(has_value);
      if (has_value) read(x.emplace());
    } else if constexpr (is_a<T, std::shared_ptr>) {
      if (++depth > 100) return fail();
      x = std::make_shared<typename T::element_type>();
      read(*x);
      --depth;
    } else if constexpr (is_a<T, std::variant>) {
      std::uint8_t index = 0;
      read(index);
      read_alternative(x, index, std::make_index_sequence<std::variant_size_v<T>>());
    } else {
      members(*this, x);
    }
  }
  template <class T, std::size_t... Index>
  void read_alternative(T& x, std::size_t index, std::index_sequence<Index...>) {
    if (index >= sizeof...(Index)) return fail();
    ((index == Index ? read(x.template emplace<Index>()) : void()), ...);
  }
  void fail() {
    is_good = false;
    rest = {};
  }
};

void collect(std::vector<ProgramStep>& steps, std::vector<Launch*>& launches) {
  for (ProgramStep& step : steps) {
    if (auto* launch = std::get_if<Launch>(&step)) launches.push_back(launch);
    if (auto* work = std::get_if<std::shared_ptr<BlockedWork>>(&step))
      for (auto& body : (*work)->bodies)
        for (Launch& launch : body) launches.push_back(&launch);
    if (auto* loop = std::get_if<std::shared_ptr<Loop>>(&step)) collect((*loop)->steps, launches);
  }
}

}  // namespace

std::string bytes_of(const StoredProgram& stored) {
  Writer writer;
  writer(stored);
  return std::move(writer.bytes);
}

std::optional<StoredProgram> program_of(std::string_view bytes) {
  Reader reader{bytes};
  StoredProgram stored;
  reader(stored);
  if (!reader.is_good || !reader.rest.empty()) return {};
  return stored;
}

std::vector<Launch*> launches_of(Program& program) {
  std::vector<Launch*> launches;
  collect(program.preparation, launches);
  collect(program.steps, launches);
  return launches;
}

}  // namespace heed
