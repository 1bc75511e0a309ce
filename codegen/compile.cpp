// Regions to launches, places to buffers, scans to loops.
#include "codegen/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <stdexcept>

#include "codegen/tile/lower.h"

namespace heed {
namespace {

std::string dtype_text(ArrayRef array) { return std::string(name_of(array->dtype)); }
std::int64_t bytes_of(ArrayRef array) { return element_count(array) * byte_size(array->dtype); }
std::int64_t aligned(std::int64_t bytes) { return (bytes + 63) / 64 * 64; }

ProgramValue::Role role_of(GraphInput::Role role) {
  switch (role) {
    case GraphInput::Role::data:
      return ProgramValue::Role::data;
    case GraphInput::Role::parameter:
      return ProgramValue::Role::parameter;
    case GraphInput::Role::state:
      return ProgramValue::Role::state;
    case GraphInput::Role::seed:
      return ProgramValue::Role::seed;
    case GraphInput::Role::step:
      return ProgramValue::Role::step;
  }
  throw std::logic_error("compile: an unknown role");
}

class Compiler {
 public:
  explicit Compiler(const Target& target) : shape_{target.lanes(4), target.has_fma} {}

  Program program;
  std::vector<KernelSource> sources;
  std::vector<Launch*> wanted() {  // in the order of sources
    std::vector<Launch*> launches;
    collect(program.steps, launches);
    return launches;
  }

  void compile(const Plan& plan) {
    program.arena_bytes = aligned(plan.arena_bytes);
    describe(plan);
    Scope scope;
    for (const auto& [array, place] : plan.places) scope.places[array] = place;
    bind(plan.graph, scope);
    program.steps = steps(plan, scope);
    copy_inputs(plan, scope);
    program.arena_bytes += workspace_bytes_;
    for (std::int32_t buffer : workspace_buffers_) program.buffers[static_cast<std::size_t>(buffer)].offset += aligned(plan.arena_bytes);
    program.fault_places = faults_.texts();
  }

 private:
  // Where the arrays of a plan lie. In a scan's body some lie in arrays of the plan outside, moving with the steps.
  struct Scope {
    std::unordered_map<ArrayRef, Plan::Place> places;
    std::unordered_map<ArrayRef, BufferUse> uses;
  };

  void describe(const Plan& plan) {
    auto type = [](ArrayRef array) { return TensorType{dtype_text(array), array->shape}; };
    for (const GraphInput& input : plan.graph.inputs) {
      ProgramValue value{input.array->name, role_of(input.role), type(input.array)};
      if (input.array->range) value.range = IndexRange{input.array->range->low, input.array->range->high};
      program.inputs.push_back(value);
    }
    for (const GraphOutput& output : plan.graph.outputs) {
      ProgramValue value{output.updates ? output.updates->name : output.name,
                         output.updates ? ProgramValue::Role::update : ProgramValue::Role::result, type(output.array)};
      program.outputs.push_back(value);
    }
  }

  void bind(const Graph& graph, Scope& scope) {
    for (std::size_t k = 0; k < graph.inputs.size(); ++k)
      scope.places[graph.inputs[k].array] = {Plan::Place::Kind::input, static_cast<std::int64_t>(k)};
  }

  std::int32_t add_buffer(Buffer::Kind kind, std::int64_t offset, ArrayRef array) {
    Buffer buffer{kind, offset, bytes_of(array), dtype_text(array)};
    for (std::size_t k = 0; k < program.buffers.size(); ++k) {
      const Buffer& known = program.buffers[k];
      if (known.kind == kind && known.offset == offset && known.bytes == buffer.bytes && known.dtype == buffer.dtype &&
          !workspace_buffers_.contains(static_cast<std::int32_t>(k)))
        return static_cast<std::int32_t>(k);
    }
    program.buffers.push_back(buffer);
    return static_cast<std::int32_t>(program.buffers.size() - 1);
  }

  BufferUse use(ArrayRef array, Scope& scope) {
    if (auto found = scope.uses.find(array); found != scope.uses.end()) return found->second;
    auto place = scope.places.find(array);
    if (place == scope.places.end()) throw std::logic_error(fmt::format("compile: the plan has no place for {}", array->name));
    auto kind = static_cast<Buffer::Kind>(place->second.kind);
    return scope.uses[array] = {add_buffer(kind, place->second.offset, array)};
  }

  std::vector<ProgramStep> steps(const Plan& plan, Scope& scope) {
    std::vector<ProgramStep> out;
    for (const Plan::Step& step : plan.steps)
      if (const auto* region = std::get_if<Region>(&step)) add_region(*region, scope, out);
    return out;
  }

  void add_region(const Region& region, Scope& scope, std::vector<ProgramStep>& out) {
    Lowered lowered = lower_region(region, stand_ins_, shape_);
    std::int64_t workspace = 0;
    std::unordered_map<ArrayRef, BufferUse> own;
    for (ArrayRef array : lowered.workspace) {
      if (own.contains(array)) continue;
      program.buffers.push_back({Buffer::Kind::arena, workspace, bytes_of(array), dtype_text(array)});
      auto buffer = static_cast<std::int32_t>(program.buffers.size() - 1);
      workspace_buffers_.insert(buffer);
      own[array] = {buffer};
      workspace += aligned(bytes_of(array));
    }
    workspace_bytes_ = std::max(workspace_bytes_, workspace);
    std::int32_t info = describe(region);
    for (Nest& nest : lowered.nests) {
      auto kept = std::make_shared<Nest>(std::move(nest));
      auto accesses = std::make_shared<Accesses>(faults_);
      prepare_nest(*kept, *accesses);
      Launch launch;
      launch.tasks = kept->tasks;
      launch.scratch_bytes = kept->scratch_bytes;
      launch.region = info;
      for (ArrayRef array : accesses->buffers()) {
        ArrayRef original = stand_ins_.original(array);
        auto found = own.find(original);
        launch.buffers.push_back(found != own.end() ? found->second : use(original, scope));
      }
      sources.push_back(
          {text_of(*kept, *accesses, shape_), [kept, accesses, shape = shape_](llvm::Module& module, const std::string& symbol) {
             emit_nest(module, symbol, *kept, *accesses, shape);
           }});
      out.push_back(std::move(launch));
    }
  }

  std::int32_t describe(const Region& region) {
    RegionInfo info;
    info.label = region.label;
    std::set<ArrayRef> read;
    for (ArrayRef array : region.outputs) {
      const Origin& origin = array->arena->origin(array->origin);
      if (info.source.empty() && origin.line > 0)
        info.source = fmt::format("{} ({}:{})", origin.path.empty() ? array->name : origin.path, origin.file, origin.line);
      info.bytes += static_cast<double>(bytes_of(array));
    }
    for (const auto* list : {&region.outputs, &region.locals})
      for (ArrayRef array : *list)
        for (ArrayRef source : reads_of(array))
          if (std::ranges::find(region.outputs, source) == region.outputs.end() &&
              std::ranges::find(region.locals, source) == region.locals.end() && read.insert(source).second)
            info.bytes += static_cast<double>(bytes_of(source));
    for (const auto* list : {&region.outputs, &region.locals})
      for (ArrayRef array : *list) info.flop += flop_of(array);
    program.regions.push_back(std::move(info));
    return static_cast<std::int32_t>(program.regions.size() - 1);
  }

  // Operations of a body, each counted where its axes are.
  static double flop_of(ArrayRef array) {
    double total = 0;
    for (Expr x : nodes_of(array->body)) {
      double count = 1;
      for (AxisRef axis : x->op == Op::reduction ? x->operands[0]->free : x->free) count *= static_cast<double>(axis->size);
      if (x->op == Op::linear || x->op == Op::product)
        total += count * static_cast<double>(std::max<std::size_t>(1, x->operands.size() - 1));
      else if (x->op == Op::function || x->op == Op::reduction)
        total += count;
    }
    return total;
  }

  // Results that are inputs, or results twice.
  void copy_inputs(const Plan& plan, Scope& scope) {
    for (std::size_t k = 0; k < plan.graph.outputs.size(); ++k) {
      ArrayRef array = plan.graph.outputs[k].array;
      auto place = scope.places.find(array);
      bool own = place != scope.places.end() && place->second.kind == Plan::Place::Kind::output &&
                 place->second.offset == static_cast<std::int64_t>(k);
      if (own || bytes_of(array) == 0) continue;
      program.steps.push_back(
          Copy{use(array, scope), {add_buffer(Buffer::Kind::output, static_cast<std::int64_t>(k), array)}, bytes_of(array)});
    }
  }

  static void collect(std::vector<ProgramStep>& steps, std::vector<Launch*>& launches) {
    for (ProgramStep& step : steps) {
      if (auto* launch = std::get_if<Launch>(&step)) launches.push_back(launch);
      if (auto* loop = std::get_if<std::shared_ptr<Loop>>(&step)) collect((*loop)->steps, launches);
    }
  }

  VectorShape shape_;
  StandIns stand_ins_;
  FaultPlaces faults_;
  std::int64_t workspace_bytes_ = 0;
  std::set<std::int32_t> workspace_buffers_;
};

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

Compilation compile(const Plan& plan, const CompileOptions& options) {
  auto begin = std::chrono::steady_clock::now();
  Compiler compiler(options.target);
  compiler.compile(plan);
  Compilation result;
  result.lower_seconds = seconds_since(begin);
  CompiledKernels kernels = compile_kernels(compiler.sources, options.target, options.settings);
  std::vector<Launch*> launches = compiler.wanted();
  if (launches.size() != kernels.functions.size()) throw std::logic_error("compile: kernels and launches differ in number");
  for (std::size_t k = 0; k < launches.size(); ++k) launches[k]->function = kernels.functions[k];
  result.program = std::move(compiler.program);
  result.program.code = kernels.owner;
  result.compiled = kernels.compiled, result.from_cache = kernels.from_cache;
  result.compile_seconds = kernels.seconds;
  return result;
}

}  // namespace heed
