// What is thrown when an input is wrong: a file, a value, a setting of the user's. The one header that both ir and runtime include.
#pragma once
#include <stdexcept>

namespace heed {

// The message says what is wrong and how to mend it, in lower case and without a full stop.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace heed
