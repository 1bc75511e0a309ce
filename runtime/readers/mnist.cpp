// IDX files of MNIST and its kin (Fashion-MNIST, KMNIST): bytes behind a header of big-endian sizes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "input_error.h"
#include "runtime/files.h"
#include "runtime/readers/pixels.h"
#include "runtime/readers/table.h"
#include "runtime/tensor.h"

namespace heed {
namespace {

struct Idx {
  std::string path;
  std::vector<std::int64_t> shape;
  Bytes bytes;
  std::size_t start;
  const std::byte* row(std::int64_t k, std::int64_t size) const { return bytes.data() + start + static_cast<std::size_t>(k * size); }
};

std::shared_ptr<Idx> read_idx(const std::string& folder, const std::string& prefix, const std::string& what, std::size_t rank) {
  const std::array names = {fmt::format("{}/{}-{}-idx{}-ubyte", folder, prefix, what, rank),
                            fmt::format("{}/{}-{}.idx{}-ubyte", folder, prefix, what, rank)};
  const auto& name = find_packed(names[0]) || !find_packed(names[1]) ? names[0] : names[1];
  auto idx = std::make_shared<Idx>(Idx{name, {}, read_packed(name), 4 + 4 * rank});
  const auto byte = [&](std::size_t at) { return static_cast<std::int64_t>(idx->bytes[at]); };
  if (idx->bytes.size() < idx->start)
    throw InputError(fmt::format("{} is truncated: it ends after {} bytes, in its header", name, idx->bytes.size()));
  if (byte(0) != 0 || byte(1) != 0 || byte(2) != 8 || byte(3) != static_cast<std::int64_t>(rank)) {
    throw InputError(fmt::format("{} is no IDX file of bytes with {} axes: it begins with {:02x} {:02x} {:02x} {:02x}, not 00 00 08 {:02x}",
                                 name, rank, byte(0), byte(1), byte(2), byte(3), rank));
  }
  for (std::size_t k = 0; k < rank; ++k) {
    const std::size_t at = 4 + 4 * k;
    idx->shape.push_back(byte(at) << 24 | byte(at + 1) << 16 | byte(at + 2) << 8 | byte(at + 3));
  }
  const std::int64_t wanted = element_count(idx->shape), there = static_cast<std::int64_t>(idx->bytes.size() - idx->start);
  if (there != wanted) {
    throw InputError(fmt::format("{} is {}: [{}] are {} bytes and {} are there", name, there < wanted ? "truncated" : "damaged",
                                 fmt::join(idx->shape, ", "), wanted, there));
  }
  return idx;
}

DataSet open(const ReaderArguments& arguments) {
  const std::string &folder = arguments.text("folder"), &split = arguments.text("split");
  check_split("mnist", split, {"train", "test"});
  const std::string prefix = split == "train" ? "train" : "t10k";
  const auto images = read_idx(folder, prefix, "images", 3), labels = read_idx(folder, prefix, "labels", 1);
  if (images->shape[0] != labels->shape[0]) {
    throw InputError(fmt::format("{} has {} images and {} has {} labels", images->path, images->shape[0], labels->path, labels->shape[0]));
  }
  DataSet data{fmt::format("mnist {}, {}", folder, split), images->shape[0]};
  check_not_empty(data);
  const std::int64_t height = images->shape[1], width = images->shape[2];
  data.columns = {
      {"image",
       {"f32", {height, width}},
       [images, size = height * width](std::int64_t row, std::byte* to) { scale_pixels(images->row(row, size), size, to); }},
      {"label", {"i32", {}}, [labels](std::int64_t row, std::byte* to) { widen_label(*labels->row(row, 1), to); }},
  };
  return data;
}

}  // namespace

Reader mnist_reader() {
  using Kind = ReaderArgument::Kind;
  return {"mnist",
          {{Kind::path, "folder", std::string(), true, "the folder with train-images-idx3-ubyte and its kin, plain, .gz or .xz"},
           {Kind::text, "split", std::string("train"), false, "train or test"}},
          "MNIST, Fashion-MNIST and other images in IDX files. Columns: image f32[28, 28] from 0 to 1, label i32; an input of another "
          "shape with as many "
          "elements (f32[B, 784], f32[B, 1, 28, 28]) takes the image too",
          open};
}

}  // namespace heed
