// Where the time of runs went.
#pragma once
#include <string>
#include <vector>

#include "runtime/program.h"

namespace heed {

// Seconds by region of the program. Of steps inside regions in blocks those of all threads together.
struct Profile {
  std::vector<double> seconds;
};

// For people: the regions in which most time went first, each followed by its steps. `runs`: how many the profile is of.
std::vector<std::string> profile_lines(const Program& program, const Profile& profile, std::int64_t runs);

}  // namespace heed
