// Profiles as tables and as trace files.
#include "runtime/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

namespace heed {
namespace {

constexpr std::size_t most_rows = 40;

// "h.*.attn" of "h.3.attn".
std::string of_any_number(const std::string& layer) {
  std::string text;
  for (std::size_t at = 0; at < layer.size(); ++at) {
    text += layer[at];
    if (layer[at] != '.') continue;
    std::size_t end = std::min(layer.find('.', at + 1), layer.size());
    const std::string part = layer.substr(at + 1, end - at - 1);
    if (part.empty() || part.find_first_not_of("0123456789") != std::string::npos) continue;
    text += '*';
    at = end - 1;
  }
  return text;
}

struct Row {
  std::string name;
  double seconds = 0, flop = 0, bytes = 0;
  int regions = 0;
  std::vector<Row> steps;  // of regions in blocks, in order
  void add(double time, const RegionInfo& region) { seconds += time, flop += region.flop, bytes += region.bytes, ++regions; }
};

// Rows by a name of regions, the longest first.
std::vector<Row> rows_by(const Program& program, const Profile& profile, const std::function<std::string(const RegionInfo&)>& name) {
  std::map<std::string, Row> found;
  for (std::size_t k = 0; k < profile.seconds.size(); ++k)
    if (program.regions[k].whole < 0) found[name(program.regions[k])].add(profile.seconds[k], program.regions[k]);
  for (std::size_t k = 0; k < profile.seconds.size(); ++k) {
    const RegionInfo& region = program.regions[k];
    if (region.whole < 0) continue;
    std::vector<Row>& steps = found[name(program.regions[static_cast<std::size_t>(region.whole)])].steps;
    auto known = std::ranges::find(steps, region.label, &Row::name);
    if (known == steps.end()) known = steps.insert(steps.end(), Row{region.label});
    known->add(profile.seconds[k], region);
  }
  std::vector<Row> rows;
  for (auto& [key, row] : found) {
    row.name = key.empty() ? "(none)" : key;
    rows.push_back(std::move(row));
  }
  std::ranges::sort(rows, {}, [](const Row& row) { return std::pair(-row.seconds, row.name); });
  return rows;
}

std::string line(const Row& row, double total, double runs, const char* indent) {
  const double seconds = std::max(row.seconds / runs, 1e-12);
  return fmt::format("{:5.1f} % {:10.3f} {:9.1f} {:8.1f}  {}{}{}\n", 100 * row.seconds / total, 1e3 * seconds, row.flop / seconds / 1e9,
                     row.bytes / seconds / 1e9, indent, row.name, row.regions > 1 && !*indent ? fmt::format("  x{}", row.regions) : "");
}

// Steps have shares of their region's time in all threads.
std::string table(const char* title, const std::vector<Row>& rows, double runs, bool with_steps) {
  double total = 1e-12;
  for (const Row& row : rows) total += row.seconds;
  std::string text = fmt::format("{:>7} {:>10} {:>9} {:>8}  {}\n", "share", "ms a run", "GFLOP/s", "GB/s", title);
  for (std::size_t k = 0; k < rows.size() && k < most_rows; ++k) {
    text += line(rows[k], total, runs, "");
    double inside = 1e-12;
    for (const Row& step : rows[k].steps) inside += step.seconds;
    if (with_steps)
      for (const Row& step : rows[k].steps) text += line(step, inside, runs, "    ");
  }
  if (rows.size() > most_rows) text += fmt::format("        … and {} shorter ones\n", rows.size() - most_rows);
  return text;
}

}  // namespace

std::string profile_text(const Program& program, const Profile& profile) {
  const auto runs = static_cast<double>(std::max<std::int64_t>(profile.runs, 1));
  double total = 0;
  for (std::size_t k = 0; k < profile.seconds.size(); ++k)
    if (program.regions[k].whole < 0) total += profile.seconds[k];
  std::string text =
      fmt::format("{:.3f} ms a run in kernels, of {} run{}\n\n", 1e3 * total / runs, profile.runs, profile.runs == 1 ? "" : "s");
  const auto rows = [&](auto name) { return rows_by(program, profile, name); };
  text += table("by region", rows([](const RegionInfo& info) { return info.label + "  " + of_any_number(info.source); }), runs, true);
  text += "\n" + table("by line", rows([](const RegionInfo& info) { return info.line; }), runs, false);
  text += "\n" + table("by layer", rows([](const RegionInfo& info) { return of_any_number(info.layer); }), runs, false);
  return text;
}

std::string trace_json(const Program& program, const Profile& profile) {
  std::string text = "{\"displayTimeUnit\": \"ms\", \"traceEvents\": [\n";
  std::int32_t threads = 0;
  for (const Profile::Span& span : profile.spans) {
    const RegionInfo& region = program.regions.at(static_cast<std::size_t>(span.region));
    threads = std::max(threads, span.thread + 1);
    const nlohmann::ordered_json event = {{"name", region.label},
                                          {"cat", region.layer.empty() ? "kernel" : region.layer},
                                          {"ph", "X"},
                                          {"pid", 1},
                                          {"tid", span.thread},
                                          {"ts", 1e6 * span.begin},
                                          {"dur", 1e6 * (span.end - span.begin)},
                                          {"args", {{"source", region.source}, {"region", span.region}}}};
    text += event.dump() + ",\n";
  }
  for (std::int32_t thread = 0; thread < threads; ++thread)
    text += fmt::format("{{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": {}, \"args\": {{\"name\": \"thread {}\"}}}},\n",
                        thread, thread);
  return text + "{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"args\": {\"name\": \"heed\"}}\n]}\n";
}

}  // namespace heed
