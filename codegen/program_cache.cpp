// A stored program names its kernels; it is of use only while the cache has all of them.
#include "codegen/program_cache.h"

#include <fmt/format.h>

#include <chrono>

#include "codegen/program_bytes.h"

namespace heed {
namespace {

std::string name_of(std::string_view what, const CompileOptions& options) {
  std::string target = options.cuda ? fmt::format("{} {}", options.cuda->name, static_cast<int>(options.precision)) : options.target.text();
  std::string name = "heed_" + content_name(fmt::format("{}\n{}\n{}", build_name(), target, what));
  return name.append(program_extension);
}

}  // namespace

// Code for the simulated GPU is never kept.
ProgramCache::ProgramCache(std::string_view what, const CompileOptions& options) : options_(options), cache_(options.settings.cache) {
  if (cache_.is_on() && !options.simulator) file_ = name_of(what, options);
}

ProgramCache::Found ProgramCache::find() const {
  auto begin = std::chrono::steady_clock::now();
  Found found;
  if (file_.empty()) {
    found.why_none = "no cache is used";
    return found;
  }
  auto bytes = cache_.find(file_);
  auto stored = bytes ? program_of(*bytes) : std::nullopt;
  if (!stored) {
    found.why_none = bytes || cache_.has_file(file_) ? "its file in the cache is damaged"
                                                     : "the cache has no program of this model, sizes, settings and options";
    return found;
  }
  Compilation result;
  result.program = std::move(stored->program);
  bool has_all = true;
  if (options_.cuda) {
    has_all = load_device_code(result.program.kernels, options_.settings);
    result.from_cache = static_cast<int>(result.program.kernels.size());
  } else {
    std::vector<Launch*> launches = launches_of(result.program);
    auto kernels = launches.size() == stored->kernels.size() ? load_kernels(stored->kernels, options_.settings) : std::nullopt;
    has_all = kernels.has_value();
    for (std::size_t k = 0; has_all && k < launches.size(); ++k) launches[k]->function = kernels->functions[k];
    if (has_all) {
      result.program.code = kernels->owner;
      result.kernels = std::move(kernels->names);
      result.from_cache = kernels->from_cache;
    }
  }
  if (!has_all) {
    found.why_none = "the cache has lost a kernel of it";
    return found;
  }
  result.compile_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  found.note = std::move(stored->note);
  found.compilation = std::move(result);
  return found;
}

void ProgramCache::store(const Compilation& compilation, const std::string& note) const {
  if (!file_.empty()) cache_.store(file_, bytes_of({compilation.program, compilation.kernels, note}));
}

}  // namespace heed
