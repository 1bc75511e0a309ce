// Tables with a header line: numbers and names, separated by commas or another character.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <ranges>
#include <set>

#include "input_error.h"
#include "nearest_name.h"
#include "runtime/files.h"
#include "runtime/readers/table.h"

namespace heed {
namespace {

struct Table {
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> columns;
  std::vector<std::int64_t> lines;  // of each row, from 1
};

// Splits a text by the rules of RFC 4180: fields in quotes may hold separators, line ends and doubled quotes.
Table split_table(std::string_view text, char separator, const std::string& file) {
  Table table;
  std::vector<std::string> fields(1);
  std::int64_t line = 1, first_line = 1;
  bool quoted = false, was_quoted = false;
  const auto finish_row = [&] {
    if (fields.size() == 1 && fields[0].empty() && !was_quoted) return;  // an empty line
    if (table.header.empty()) {
      table.header = fields;
      table.columns.resize(fields.size());
    } else if (fields.size() != table.header.size()) {
      throw InputError(fmt::format("{}:{}: {} fields in a table of {} columns", file, first_line, fields.size(), table.header.size()));
    } else {
      for (std::size_t k = 0; k < fields.size(); ++k) table.columns[k].push_back(std::move(fields[k]));
      table.lines.push_back(first_line);
    }
  };
  for (std::size_t k = 0; k < text.size(); ++k) {
    const char c = text[k];
    if (c == '\n') ++line;
    if (quoted) {
      if (c != '"') {
        fields.back() += c;
      } else if (k + 1 < text.size() && text[k + 1] == '"') {
        fields.back() += text[++k];
      } else {
        quoted = false;
      }
    } else if (c == '"' && fields.back().empty()) {
      quoted = was_quoted = true;
    } else if (c == separator) {
      fields.emplace_back();
    } else if (c == '\n') {
      finish_row();
      fields.assign(1, "");
      was_quoted = false;
      first_line = line;
    } else if (c != '\r') {
      fields.back() += c;
    }
  }
  if (quoted) throw InputError(fmt::format("{}:{}: a quoted field is not closed", file, first_line));
  finish_row();
  if (table.header.empty()) throw InputError(file + " is empty: its first line must name the columns");
  return table;
}

std::string_view trimmed(std::string_view text) {
  const auto from = text.find_first_not_of(" \t");
  return from == std::string_view::npos ? std::string_view() : text.substr(from, text.find_last_not_of(" \t") + 1 - from);
}

bool read_number(std::string_view text, double& value) {
  text = trimmed(text);
  if (text.starts_with('+')) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

// What a name in a model file can look like.
std::string as_name(std::string_view header) {
  std::string name;
  for (const char c : trimmed(header)) name += std::isalnum(static_cast<unsigned char>(c)) != 0 ? c : '_';
  if (name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) != 0) name.insert(0, "_");
  return name;
}

struct Numbers {
  std::vector<double> values;
  bool whole = true;
};

// A column of numbers; or of names, which become their places in the sorted list of them.
Numbers numbers_of(const std::vector<std::string>& fields, const Table& table, std::size_t column, const std::string& file) {
  Numbers numbers;
  std::set<std::string_view> names;
  std::size_t without_number = fields.size();
  for (std::size_t k = 0; k < fields.size(); ++k) {
    double value = 0;
    if (!read_number(fields[k], value)) {
      if (without_number == fields.size()) without_number = k;
      names.insert(trimmed(fields[k]));
    }
    numbers.whole = numbers.whole && std::trunc(value) == value && std::abs(value) < 0x1p53;
    numbers.values.push_back(value);
  }
  if (names.empty()) return numbers;
  std::size_t count = 0;
  for (const auto& field : fields) count += names.contains(trimmed(field)) ? 1 : 0;
  if (count < fields.size() || names.contains("")) {
    const bool missing = names.contains("");
    const auto bad = static_cast<std::size_t>(
        std::ranges::find_if(fields, [&](const auto& field) { return missing ? trimmed(field).empty() : names.contains(trimmed(field)); }) -
        fields.begin());
    throw InputError(fmt::format(
        "{}:{}: the column {} has {} where others have numbers or names: fill it in, or leave the column out by ignore = \"{}\"", file,
        table.lines[bad], table.header[column], trimmed(fields[bad]).empty() ? "nothing" : fmt::format("\"{}\"", fields[bad]),
        table.header[column]));
  }
  for (std::size_t k = 0; k < fields.size(); ++k)
    numbers.values[k] = static_cast<double>(std::distance(names.begin(), names.find(trimmed(fields[k]))));
  numbers.whole = true;
  return numbers;
}

std::vector<std::string> names_in(const std::string& text) {
  std::vector<std::string> names;
  for (const auto part : std::views::split(text, ',')) {
    const auto name = trimmed(std::string_view(part.begin(), part.end()));
    if (!name.empty()) names.push_back(as_name(name));
  }
  return names;
}

template <typename T>
void put(std::byte* to, double value) {
  const auto converted = static_cast<T>(value);
  std::memcpy(to, &converted, sizeof converted);
}

using Values = std::shared_ptr<const std::vector<double>>;

DataSet open(const ReaderArguments& arguments) {
  const std::string &file = arguments.text("file"), &split = arguments.text("split"), &separator = arguments.text("separator");
  check_split("csv", split, {"train", "test", "all"});
  if (separator.size() != 1) throw InputError(fmt::format("the separator of csv is one character, not \"{}\"", separator));
  const Bytes bytes = read_packed(file);
  auto text = heed::text_of(bytes);
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
  const Table table = split_table(text, separator[0], file);
  std::vector<std::string> names;
  names.reserve(table.header.size());
  for (const auto& header : table.header) names.push_back(as_name(header));
  const auto check_known = [&](const std::string& name) {
    if (std::ranges::find(names, name) == names.end()) {
      throw InputError(fmt::format("{} has no column {}{} (it has {})", file, name, suggestion(name, names), fmt::join(names, ", ")));
    }
  };
  const auto ignored = names_in(arguments.text("ignore")), features = names_in(arguments.text("features")),
             labels = names_in(arguments.text("label"));
  for (const auto* list : {&ignored, &features, &labels}) std::ranges::for_each(*list, check_known);

  auto rows = std::make_shared<std::vector<std::size_t>>();
  for (std::size_t k = 0; k < table.lines.size(); ++k) {
    if (split == "all" || (k % 10 == 9) == (split == "test")) rows->push_back(k);
  }
  DataSet data{fmt::format("csv {}, {}", file, split), static_cast<std::int64_t>(rows->size())};
  check_not_empty(data);
  std::vector<Values> together;
  for (std::size_t k = 0; k < names.size(); ++k) {
    if (std::ranges::find(ignored, names[k]) != ignored.end()) continue;
    auto numbers = numbers_of(table.columns[k], table, k, file);
    const auto values = std::make_shared<const std::vector<double>>(std::move(numbers.values));
    const bool label = labels.empty() ? names[k] == "label" : names[k] == labels[0];
    const bool feature = features.empty() ? !label : std::ranges::find(features, names[k]) != features.end();
    if (feature) together.push_back(values);
    const std::string name = label ? "label" : names[k];
    if (std::ranges::find(data.columns, name, &Column::name) != data.columns.end()) {
      throw InputError(fmt::format("{} has two columns named {}: rename one, or leave one out by ignore", file, name));
    }
    if (numbers.whole) {
      data.columns.push_back({name, {"i64", {}}, [=](std::int64_t row, std::byte* to) {
                                put<std::int64_t>(to, (*values)[(*rows)[static_cast<std::size_t>(row)]]);
                              }});
    } else {
      data.columns.push_back(
          {name, {"f32", {}}, [=](std::int64_t row, std::byte* to) { put<float>(to, (*values)[(*rows)[static_cast<std::size_t>(row)]]); }});
    }
  }
  if (std::ranges::find(data.columns, std::string("x"), &Column::name) == data.columns.end()) {
    data.columns.push_back({"x", {"f32", {static_cast<std::int64_t>(together.size())}}, [rows, together](std::int64_t row, std::byte* to) {
                              for (std::size_t k = 0; k < together.size(); ++k)
                                put<float>(to + 4 * k, (*together[k])[(*rows)[static_cast<std::size_t>(row)]]);
                            }});
  }
  return data;
}

}  // namespace

Reader csv_reader() {
  using Kind = ReaderArgument::Kind;
  return {"csv",
          {{Kind::path, "file", std::string(), true, "the table, plain, .gz or .xz; its first line names the columns"},
           {Kind::text, "split", std::string("all"), false, "all, test (every tenth row) or train (the others)"},
           {Kind::text, "label", std::string(), false, "the column that is called label; else the one that is named so"},
           {Kind::text, "features", std::string(), false, "the columns of x, separated by commas; else all but label"},
           {Kind::text, "ignore", std::string(), false, "columns to leave out, separated by commas"},
           {Kind::text, "separator", std::string(","), false, "the character between fields"}},
          "A table with a header line. Columns: each under its name (other characters than letters and digits become _), whole numbers as "
          "i64, others as "
          "f32, names as i64 by their place in the sorted list of them; and x f32[n], all features side by side",
          open};
}

}  // namespace heed
