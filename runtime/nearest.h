// The known name that a mistyped one was most likely meant to be.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace heed {

// Empty if none is near.
std::string nearest(std::string_view name, const std::vector<std::string>& known);

// "; did you mean x?" or nothing.
std::string suggestion(std::string_view name, const std::vector<std::string>& known);

}  // namespace heed
