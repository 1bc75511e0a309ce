// The words of a train block.
#pragma once
#include <array>
#include <string>

namespace heed {

inline const std::array<std::string, 8> train_keys = {"minimize", "optimizer", "data", "batch", "epochs", "steps", "seed", "precision"};

}  // namespace heed
