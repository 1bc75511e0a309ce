// A compiled program as the runtime runs it: kernels, the buffers they use, and the order. Knows neither graphs nor LLVM.
#pragma once
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace heed {

// Mirrors ir/dtype.h by name: data outside of the compiler is described by text ("f32").
struct TensorType {
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::int64_t bytes() const;
  bool operator==(const TensorType&) const = default;
};

// The first index out of range that a kernel met. Written once, by compare-and-swap on `place`; read after the run.
struct Fault {
  std::atomic<std::int32_t> place{0};  // 0: none; else 1 + index into Program::fault_places
  std::int64_t value = 0, limit = 0;
};

// Does task `task` of a launch. `buffers` in the order of Launch::buffers, `scratch` is this thread's.
using KernelFunction = void (*)(void* const* buffers, void* scratch, std::int64_t task, Fault* fault);

struct BufferUse {
  std::int32_t buffer;      // of Program::buffers
  std::int64_t stride = 0;  // inside a loop: bytes added for each step of the innermost one
};

// How boxes of a buffer's array are copied into shared memory at once, by cuTensorMapEncodeTiled's words. Elements have 16 bits; lines of
// a box are 128 bytes, whose chunks are permuted as its 128-byte swizzle does.
struct TensorMap {
  std::int32_t buffer = 0;                // of the launch
  std::int64_t offset = 0;                // bytes to the first element
  std::array<std::int64_t, 3> sizes{};    // elements, the fastest first; what a box has beyond them is zero
  std::array<std::int64_t, 2> strides{};  // bytes, of all but the first: multiples of 16
  std::array<std::int32_t, 3> box{};
};

struct Launch {
  KernelFunction function = nullptr;
  std::int64_t tasks = 1;  // independent; how work is cut depends on shapes alone, never on threads
  std::vector<BufferUse> buffers;
  std::int64_t scratch_bytes = 0;  // for each thread, 64-byte aligned
  std::int32_t region = -1;        // of Program::regions, for profiles and messages
  std::int32_t kernel = -1;        // of Program::kernels, where the program is a device's: `tasks` are its blocks of threads
  std::vector<TensorMap> maps;     // of a device's kernel
};

struct Copy {  // carried values of a loop
  BufferUse from, to;
  std::int64_t bytes = 0;
};

// Work done block by block (ir/plan.h, Blocks). Tasks are independent; one has a position of each unit that runs in parallel, and runs its
// blocks in order: for each the launches of a body with all their tasks, by one thread. Where rows are parallel a task has the blocks of
// some rows, else all of them.
struct BlockedWork {
  struct Block {
    std::int32_t body;
    std::int64_t row, column;
    std::int32_t narrowest = 0;  // where data chooses: the first body that has as many rows; widths grow from it to `body`
  };
  struct ByData {  // i64 by some units and the number of the block of rows: from where to where (excluded) columns are needed
    BufferUse begin, end;
    std::vector<std::size_t> units;
    bool leaves_out;  // blocks of columns that are not needed; else a block takes the narrowest body that has them
  };
  struct Initial {  // every element of a buffer before the first block
    BufferUse buffer;
    std::int64_t bytes = 0;
    std::vector<std::byte> element;
  };
  std::vector<std::int64_t> units;  // sizes; the parallel ones first
  std::int32_t parallel_units = 0;
  bool parallel_rows = false;
  std::vector<Block> blocks;          // of each position of the units
  std::vector<std::int64_t> of_rows;  // the first block of each block of rows
  std::optional<ByData> by_data;
  std::vector<std::int64_t> widths;  // columns of each body; 0: all that there are
  std::vector<std::vector<Launch>> bodies;
  std::vector<Initial> initial;
  std::vector<BufferUse> results;  // what it makes
  std::int64_t local_bytes = 0;    // of buffers of kind local, for each thread; the offsets come first: units, row, column, 8 bytes each
  std::int32_t region = -1;        // of Program::regions

  std::int64_t tasks() const;
};

struct Loop;
using ProgramStep = std::variant<Launch, Copy, std::shared_ptr<BlockedWork>, std::shared_ptr<Loop>>;
struct Loop {
  std::int64_t trips = 0;
  bool reverse = false;  // the step runs from trips - 1 to 0
  std::vector<ProgramStep> steps;
};

struct Buffer {
  enum class Kind : std::uint8_t { arena, input, output, local } kind;
  std::int64_t offset = 0;  // arena: bytes; local: bytes in the thread's own memory; else: index of inputs or outputs
  std::int64_t bytes = 0;
  std::string dtype;  // of its elements, where they are all of one ("f32"): lets a watch for NaN look into it
};

struct IndexRange {
  std::int64_t low, high;  // inclusive
  bool operator==(const IndexRange&) const = default;
};

struct ProgramValue {
  enum class Role : std::uint8_t { data, parameter, state, seed, step, result, update };
  std::string name;  // of an update: the parameter's or state's
  Role role;
  TensorType type;
  std::int32_t in_place = -1;       // of an update: the input in whose memory it is written; the caller binds both to the same memory
  std::optional<IndexRange> range;  // of an integer input: values outside are an error of the input's
};

struct RegionInfo {
  std::string label, source;                   // "softmax over keys", "h.3.attn (gpt.heed:14)"
  double flop = 0, bytes = 0;                  // of all that one run does
  double times = 1;                            // that it is run in it: in a loop many, in the preparation none
  std::int32_t whole = -1;                     // of a step inside a region in blocks: that region
  std::string layer, line;                     // "h.3.attn", "gpt.heed:14"; "" where there is none
  std::vector<std::string> not_always_finite;  // what it computes that may be infinite or NaN of finite arguments: "log", "a quotient"
};

// A kernel that a block of threads runs together, on a GPU or a simulated one. Its parameters are pointers: the launch's buffers in
// order, then the Fault, then the launch's maps.
struct DeviceKernel {
  // On a simulated GPU: one thread's run; `arguments` are pointers to the parameters.
  using Entry = void (*)(void* const* arguments);
  std::string name;  // in `code`
  std::string code;  // PTX
  Entry entry = nullptr;
  std::int32_t threads = 0;       // of a block
  std::int64_t shared_bytes = 0;  // of a block
};

class Device;

struct Program {
  std::shared_ptr<Device> device;     // that it runs on; null: the processor
  std::vector<DeviceKernel> kernels;  // of a program for a device
  std::vector<ProgramValue> inputs, outputs;
  std::vector<Buffer> buffers;
  // What depends on parameters and states alone that no output updates: runs before the first run's steps, then only after a change.
  std::vector<ProgramStep> preparation;
  std::vector<ProgramStep> steps;
  std::vector<RegionInfo> regions;
  std::vector<std::string> fault_places;  // what was read and where: "table (gpt.heed:34)"
  std::int64_t arena_bytes = 0;
  std::shared_ptr<void> code;  // keeps the machine code alive
};

}  // namespace heed
