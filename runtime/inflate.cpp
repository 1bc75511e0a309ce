// Unpacks what zlib packs.
#include "runtime/inflate.h"

#include <zlib.h>

#include <algorithm>

#include "input_error.h"

namespace heed {

Inflated inflate(std::span<const std::byte> packed, Packing packing, const std::string& name, std::size_t most) {
  constexpr int largest_window = 15, with_gzip_header = 16;
  constexpr std::size_t at_once = std::size_t{1} << 30, least = std::size_t{1} << 16;
  z_stream stream{};
  if (inflateInit2(&stream, packing == Packing::gzip ? largest_window + with_gzip_header : -largest_window) != Z_OK)
    throw InputError(name + ": no memory to unpack it");
  Bytes out(std::min(most, packed.size() * 4));
  std::size_t used = 0, taken = 0;
  int status = Z_OK;
  while (status == Z_OK) {
    if (used == out.size()) out.resize(std::min(most, std::max(out.size() * 2, least)));
    const auto in_now = static_cast<uInt>(std::min(packed.size() - taken, at_once));
    const auto out_now = static_cast<uInt>(std::min(out.size() - used, at_once));
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data() + taken));
    stream.avail_in = in_now;
    stream.next_out = reinterpret_cast<Bytef*>(out.data() + used);
    stream.avail_out = out_now;
    status = ::inflate(&stream, Z_NO_FLUSH);  // Z_BUF_ERROR when it can do nothing more: the end is missing.
    taken += in_now - stream.avail_in;
    used += out_now - stream.avail_out;
    const bool another =
        packing == Packing::gzip && packed.size() - taken >= 2 && packed[taken] == std::byte{0x1f} && packed[taken + 1] == std::byte{0x8b};
    if (status == Z_STREAM_END && another) status = inflateReset(&stream);
  }
  inflateEnd(&stream);
  out.resize(used);
  const auto end = status == Z_STREAM_END  ? Inflated::End::whole
                   : status == Z_BUF_ERROR ? Inflated::End::truncated
                                           : Inflated::End::damaged;
  return {end, std::move(out)};
}

}  // namespace heed
