// Finds the reader that a train block names and puts its arguments in order.
#include "runtime/readers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "input_error.h"
#include "nearest_name.h"
#include "runtime/readers/table.h"

namespace heed {
namespace {

using Kind = ReaderArgument::Kind;

template <typename T>
const T& value_of(const ReaderArguments& arguments, const std::string& name) {
  for (const auto& [key, value] : arguments.values) {
    if (key == name) return std::get<T>(value);
  }
  throw std::logic_error(fmt::format("readers: no argument is named {}", name));
}

const char* text_of(Kind kind) {
  switch (kind) {
    case Kind::text:
      return "a text";
    case Kind::path:
      return "a path, as a text";
    case Kind::whole_number:
      return "a whole number";
    case Kind::truth:
      return "true or false";
  }
  return "";
}

bool is_of(const ReaderValue& value, Kind kind) {
  switch (kind) {
    case Kind::text:
    case Kind::path:
      return std::holds_alternative<std::string>(value);
    case Kind::whole_number:
      return std::holds_alternative<std::int64_t>(value);
    case Kind::truth:
      return std::holds_alternative<bool>(value);
  }
  return false;
}

// Messages show the path: no "./" and no doubled slash in it.
void place_in(const std::string& folder, std::string& path) {
  if (path.empty()) return;
  path = (std::filesystem::path(folder) / path).lexically_normal().string();
  if (path.size() > 1 && path.ends_with('/')) path.pop_back();
}

std::vector<std::string> names_of(const auto& items) {
  std::vector<std::string> names;
  names.reserve(items.size());
  for (const auto& item : items) names.push_back(item.name);
  return names;
}

}  // namespace

const std::string& ReaderArguments::text(const std::string& name) const { return value_of<std::string>(*this, name); }
std::int64_t ReaderArguments::whole_number(const std::string& name) const { return value_of<std::int64_t>(*this, name); }
bool ReaderArguments::truth(const std::string& name) const { return value_of<bool>(*this, name); }

const std::vector<Reader>& readers() {
  static const std::vector<Reader> table = {cifar10_reader(), mnist_reader(), text_reader(), csv_reader(), npy_reader(), npz_reader()};
  return table;
}

DataSet open_data(const std::string& name, const std::vector<std::pair<std::string, ReaderValue>>& given, const std::string& folder) {
  const auto reader = std::ranges::find(readers(), name, &Reader::name);
  if (reader == readers().end()) {
    throw InputError(fmt::format("no data reader is named {}{} (there are {})", name, suggestion(name, names_of(readers())),
                                 fmt::join(names_of(readers()), ", ")));
  }
  ReaderArguments arguments;
  std::vector<bool> set(reader->arguments.size());
  for (const auto& argument : reader->arguments) arguments.values.emplace_back(argument.name, argument.preset);
  std::size_t position = 0;
  for (const auto& [key, value] : given) {
    std::size_t at = position;
    if (key.empty()) {
      if (position++ >= reader->arguments.size())
        throw InputError(fmt::format("{} takes {} arguments at most", name, reader->arguments.size()));
    } else {
      at = static_cast<std::size_t>(std::ranges::find(reader->arguments, key, &ReaderArgument::name) - reader->arguments.begin());
      const auto known = names_of(reader->arguments);
      if (at == known.size())
        throw InputError(fmt::format("{} has no argument {}{} (it has {})", name, key, suggestion(key, known), fmt::join(known, ", ")));
    }
    const auto& argument = reader->arguments[at];
    if (set[at]) throw InputError(fmt::format("{} is given its argument {} twice", name, argument.name));
    if (!is_of(value, argument.kind))
      throw InputError(fmt::format("the argument {} of {} is {}", argument.name, name, text_of(argument.kind)));
    set[at] = true;
    arguments.values[at].second = value;
  }
  for (std::size_t k = 0; k < set.size(); ++k) {
    const auto& argument = reader->arguments[k];
    if (argument.required && !set[k])
      throw InputError(fmt::format("{} needs its argument {}: {}", name, argument.name, argument.documentation));
    if (argument.kind == Kind::path) place_in(folder, std::get<std::string>(arguments.values[k].second));
  }
  return reader->open(arguments);
}

void check_split(const std::string& reader, const std::string& split, const std::vector<std::string>& known) {
  if (std::ranges::find(known, split) != known.end()) return;
  throw InputError(fmt::format("{} has no split \"{}\"{} (it has {})", reader, split, suggestion(split, known), fmt::join(known, ", ")));
}

void check_not_empty(const DataSet& data) {
  if (data.rows == 0) throw InputError(fmt::format("{} is an empty data set: it has no rows", data.description));
}

}  // namespace heed
