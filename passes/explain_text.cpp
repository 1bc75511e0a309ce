// Explanations for people: a table that fits 120 columns.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <regex>
#include <tuple>

#include "passes/describe_blocks.h"
#include "passes/explain.h"

namespace heed {

std::string amount(double value, std::string_view unit) {
  for (const char* prefix : {"", "k", "M", "G"}) {
    if (value < 1000) return fmt::format("{:.{}f} {}{}", value, value < 100 && *prefix ? 1 : 0, prefix, unit);
    value /= 1000;
  }
  return fmt::format("{:.1f} T{}", value, unit);
}

namespace {

constexpr std::size_t width = 120;

// Lines of at most so many columns, cut at spaces where there are some.
std::vector<std::string> wrapped(const std::string& text, std::size_t columns) {
  std::vector<std::string> lines;
  std::string rest = text;
  while (rest.size() > columns) {
    std::size_t cut = rest.rfind(' ', columns);
    if (cut == std::string::npos || cut == 0) {
      lines.push_back(rest.substr(0, columns));
      rest = rest.substr(columns);
    } else {
      lines.push_back(rest.substr(0, cut));
      rest = rest.substr(cut + 1);
    }
  }
  lines.push_back(rest);
  return lines;
}

// "h.*.attn" for the attention of every layer.
std::string of_any_layer(const std::string& text) {
  static const std::regex number(R"(\b([A-Za-z_]\w*)\.\d+(?=[. ),:]|$))");
  return std::regex_replace(text, number, "$1.*");
}

struct Source {
  std::string path, file, line;
};
Source parts_of(const std::string& source) {
  static const std::regex form(R"(^(?:(.*?) \()?([^()]*):(\d+)\)?$)");
  std::smatch match;
  if (!std::regex_match(source, match, form)) return {source, "", ""};
  return {match[1], match[2], match[3]};
}

// The file that all sources name; nothing if they differ.
std::optional<std::string> only_file(const Explanation& explanation) {
  std::optional<std::string> file;
  for (const RegionRow& row : explanation.regions) {
    Source source = parts_of(row.source);
    if (source.file.empty()) continue;
    if (file && *file != source.file) return {};
    file = source.file;
  }
  return file;
}

std::string short_source(const std::string& source, bool with_file) {
  Source parts = parts_of(source);
  if (parts.line.empty()) return source;
  std::string place = (with_file ? parts.file : "") + ":" + parts.line;
  if (parts.path.empty()) return place;
  return with_file ? fmt::format("{} {}", parts.path, place) : parts.path + place;
}

struct Row {
  RegionRow region;
  int count = 1;
};

// Regions that differ by the number of their layer alone are one row.
std::vector<Row> folded(const Explanation& explanation) {
  using Key = std::tuple<std::string, std::string, std::string, std::string, int, double, std::int64_t, std::int64_t, std::int64_t>;
  std::vector<Row> rows;
  std::map<Key, std::size_t> known;
  for (RegionRow row : explanation.regions) {
    row.source = of_any_layer(row.source);
    Key key{row.kernel, row.label, row.source, row.axes, row.passes, row.flop, row.bytes_read, row.bytes_written, row.blocks};
    auto [entry, is_new] = known.try_emplace(std::move(key), rows.size());
    if (is_new)
      rows.push_back({std::move(row)});
    else
      ++rows[entry->second].count;
  }
  return rows;
}

std::string bytes_text(std::int64_t bytes) { return bytes == 0 ? "" : amount(static_cast<double>(bytes), "B"); }

std::string blocks_text(const RegionRow& row) {
  return words_of(BlockCount{row.blocks, row.blocks_skipped, row.block_rows, row.block_columns}) +
         fmt::format("; {} product{} in each", row.products, row.products == 1 ? "" : "s");
}

std::string table(const Explanation& explanation) {
  std::optional<std::string> file = only_file(explanation);
  std::vector<Row> rows = folded(explanation);
  std::size_t where_width = 5, axes_width = 4;
  for (Row& row : rows) {
    row.region.source = short_source(row.region.source, !file);
    where_width = std::max(where_width, std::min<std::size_t>(row.region.source.size(), 22));
    axes_width = std::max(axes_width, std::min<std::size_t>(row.region.axes.size(), 20));
  }
  const std::size_t what_width = width - 56 - where_width - axes_width;
  std::string text = file && !file->empty() ? fmt::format("lines of {}\n", *file) : "";
  auto line = [&](std::string_view count, std::string_view kernel, std::string_view what, std::string_view axes, std::string_view passes,
                  std::string_view flop, std::string_view read, std::string_view written, std::string_view scratch,
                  std::string_view where) {
    std::string made = fmt::format("{:>4} {:7} {:{}} {:{}} {:>6} {:>7} {:>8} {:>8} {:>8} {}", count, kernel, what, what_width, axes,
                                   axes_width, passes, flop, read, written, scratch, where);
    made.resize(made.find_last_not_of(' ') + 1);
    text += made + "\n";
  };
  line("", "kernel", "what", "axes", "passes", "flop", "read", "written", "scratch", "where");
  for (const Row& row : rows) {
    const RegionRow& region = row.region;
    auto what = wrapped(region.label, what_width), axes = wrapped(region.axes, axes_width), where = wrapped(region.source, where_width);
    auto at = [](const std::vector<std::string>& lines, std::size_t k) { return k < lines.size() ? lines[k] : std::string(); };
    line(row.count > 1 ? fmt::format("x{}", row.count) : "", region.kernel, what[0], axes[0],
         region.passes ? fmt::format("{}", region.passes) : "", region.flop > 0 ? amount(region.flop, "") : "",
         bytes_text(region.bytes_read), bytes_text(region.bytes_written), bytes_text(region.scratch_bytes), where[0]);
    for (std::size_t k = 1; k < std::max({what.size(), axes.size(), where.size()}); ++k)
      line("", "", at(what, k), at(axes, k), "", "", "", "", "", at(where, k));
    if (region.kernel == "blocks") text += fmt::format("{:13}{}\n", "", blocks_text(region));
  }
  return text;
}

// The same text with the places in the one file as `h.0.attn:14`.
std::string without_file(const std::string& text, const std::optional<std::string>& file) {
  if (!file || file->empty()) return text;
  std::string shorter = text;
  for (std::size_t at = 0; (at = shorter.find(*file + ":", at)) != std::string::npos;) {
    std::size_t colon = at + file->size(), end = shorter.find_first_not_of("0123456789", colon + 1);
    bool in_brackets = at >= 2 && shorter[at - 1] == '(' && end != std::string::npos && shorter[end] == ')';
    std::string line = shorter.substr(colon, (end == std::string::npos ? shorter.size() : end) - colon);
    if (in_brackets)
      shorter.replace(at - 2, end + 1 - (at - 2), line);
    else
      shorter.replace(at, file->size() + line.size(), line);
  }
  return shorter;
}

// The reasons, largest values first, those of equal layers as one.
std::string reasons(const Explanation& explanation) {
  constexpr std::size_t shown = 20;
  std::optional<std::string> file = only_file(explanation);
  std::vector<std::pair<std::string, int>> lines;
  std::map<std::string, std::size_t> known;
  for (const Unfused& each : explanation.unfused) {
    std::string line = of_any_layer(without_file(each.source.empty() ? each.why : each.source + ": " + each.why, file));
    auto [entry, is_new] = known.try_emplace(line, lines.size());
    if (is_new)
      lines.emplace_back(line, 1);
    else
      ++lines[entry->second].second;
  }
  std::string text;
  for (std::size_t k = 0; k < lines.size() && k < shown; ++k) {
    bool is_first = true;
    for (const std::string& line : wrapped(lines[k].first, width - 8)) {
      std::string count = is_first && lines[k].second > 1 ? fmt::format("x{}", lines[k].second) : "";
      text += fmt::format("{:>4} {}{}\n", count, is_first ? "" : "  ", line);
      is_first = false;
    }
  }
  if (lines.size() > shown) text += fmt::format("     … and {} smaller ones\n", lines.size() - shown);
  return text;
}

}  // namespace

std::string text_of(const Explanation& explanation) {
  double flop = 0;
  for (const RegionRow& row : explanation.regions) flop += row.flop;
  std::string text = table(explanation);
  std::size_t count = explanation.regions.size();
  text += fmt::format("\n{} region{}, {}flop; {} stored between them", count, count == 1 ? "" : "s", amount(flop, ""),
                      amount(static_cast<double>(explanation.stored_bytes), "B"));
  if (explanation.largest_stored > 0) text += fmt::format(", the largest {}", amount(static_cast<double>(explanation.largest_stored), "B"));
  text += "\n";
  if (!explanation.unfused.empty()) text += "\nstored between regions:\n" + reasons(explanation);
  return text;
}

}  // namespace heed
