// The readers by name, for the table, and what they have in common.
#pragma once
#include <string>
#include <vector>

#include "runtime/readers.h"

namespace heed {

Reader cifar10_reader();
Reader mnist_reader();
Reader text_reader();
Reader csv_reader();
Reader npy_reader();
Reader npz_reader();

// Throws InputError for a split that a reader lacks; names the nearest.
void check_split(const std::string& reader, const std::string& split, const std::vector<std::string>& known);
void check_not_empty(const DataSet& data);

}  // namespace heed
