// Safetensors files: tensors by name, with text beside them.
#pragma once
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tensor.h"

namespace heed {

struct Safetensors {
  NamedTensors tensors;
  std::map<std::string, std::string> metadata;  // without heed's checksum
};

// Reads what any program wrote; types that heed lacks become wider ones as in npy.h. What heed wrote carries a checksum over the
// whole file, so that any changed byte is found. Throws InputError that names the file and what is wrong.
Safetensors read_safetensors(const std::string& path);
Safetensors parse_safetensors(std::span<const std::byte> file, const std::string& path);

// Replaces the file whole or leaves what was there. The metadata key "heed" says what the file is ("weights"); a file with that key
// gets and must have the checksum.
void write_safetensors(const std::string& path, const std::vector<std::pair<std::string, const HostTensor*>>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace heed
