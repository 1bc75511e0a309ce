// A program as bytes and back, for keeping it between processes. Machine code is not part of it: launches are joined to kernels by name.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/program.h"

namespace heed {

struct StoredProgram {
  Program program;                   // without functions, entries, code and device
  std::vector<std::string> kernels;  // of the launches on the processor, in the order of launches_of
  std::string note;                  // for the user, whenever the program is taken
};

std::string bytes_of(const StoredProgram& stored);
// Nothing where these are not the bytes of a program; never reads beyond them.
std::optional<StoredProgram> program_of(std::string_view bytes);

// In the order in which they stand in the program.
std::vector<Launch*> launches_of(Program& program);

}  // namespace heed
