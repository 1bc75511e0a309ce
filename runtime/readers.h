// The readers that a train block can name: a table, one block each in readers/*.cpp.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "runtime/data.h"

namespace heed {

using ReaderValue = std::variant<std::int64_t, double, bool, std::string>;

struct ReaderArgument {
  enum class Kind { text, path, whole_number, truth } kind;
  std::string name;
  ReaderValue preset;
  bool required = false;
  std::string documentation;
};

// The arguments of a call, all of them, of the right types.
class ReaderArguments {
 public:
  std::vector<std::pair<std::string, ReaderValue>> values;
  const std::string& text(const std::string& name) const;
  std::int64_t whole_number(const std::string& name) const;
  bool truth(const std::string& name) const;
};

struct Reader {
  std::string name;
  std::vector<ReaderArgument> arguments;  // in order, as they may be given without names
  std::string documentation;              // a line, and what columns come
  std::function<DataSet(const ReaderArguments&)> open;
};

const std::vector<Reader>& readers();

// Opens what a train block says. Positional arguments have an empty name; relative paths start at `folder` ("" is the current one).
// Throws InputError: an unknown reader or argument (names the nearest), a missing or mistyped one, and whatever is wrong with the files.
DataSet open_data(const std::string& reader, const std::vector<std::pair<std::string, ReaderValue>>& arguments, const std::string& folder);

}  // namespace heed
