// NumPy's files: .npy (one array) and .npz (several, by name).
#pragma once
#include <span>
#include <string>

#include "runtime/tensor.h"

namespace heed {

// Versions 1 to 3, C and Fortran order, either byte order. Element types that heed lacks are read as a wider one that it has
// (i16, u16 as i32; u32, u64 as i64). Throws InputError that names the file and what is wrong with it.
HostTensor read_npy(const std::string& path);
HostTensor parse_npy(std::span<const std::byte> bytes, const std::string& name);

// bf16, which NumPy lacks, is written as f32.
void write_npy(const std::string& path, const HostTensor& tensor);

// The arrays of a .npz, stored or deflated, by their names without ".npy".
NamedTensors read_npz(const std::string& path);
NamedTensors parse_npz(std::span<const std::byte> bytes, const std::string& path);

}  // namespace heed
