#include "code_counts.h"

#include <cstring>
#include <utility>

#include "run_sums.h"

namespace mlfs {

CodeCounts::CodeCounts(Format format)
    : codes_(size_t{1} << (8 * format_size(format))), even_(codes_), odd_(codes_) {}

void CodeCounts::add(const uint8_t* bytes, size_t count) {
  const size_t size = codes_ == 256 ? 1 : 2;
  const size_t length = count * size;
  uint32_t* const even = even_.data();
  uint32_t* const odd = odd_.data();
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    uint64_t word;
    memcpy(&word, bytes + at, sizeof word);
    if (size == 1) {
      for (int byte = 0; byte < 8; byte += 2) {
        even[word >> (8 * byte) & 0xff]++;
        odd[word >> (8 * byte + 8) & 0xff]++;
      }
    } else {
      even[word & 0xffff]++;
      odd[word >> 16 & 0xffff]++;
      even[word >> 32 & 0xffff]++;
      odd[word >> 48]++;
    }
  }
  for (; at < length; at += size) {
    uint16_t code = 0;
    memcpy(&code, bytes + at, size);
    even[code]++;
  }
}

void CodeCounts::move_to(std::vector<uint64_t>& totals) {
  for (size_t code = 0; code < codes_; code++) {
    totals[code] += uint64_t{even_[code]} + odd_[code];
  }
  even_.assign(codes_, 0);
  odd_.assign(codes_, 0);
}

double value_of_code(Format format, uint32_t code) {
  switch (format) {
    case Format::kFloat16:
      return half_to_float(static_cast<uint16_t>(code));
    case Format::kBfloat16:
      return bfloat_to_float(static_cast<uint16_t>(code));
    case Format::kInt8:
      return static_cast<int8_t>(code);
    case Format::kInt16:
      return static_cast<int16_t>(code);
    case Format::kUint8:
    case Format::kUint16:
      return code;
    case Format::kBool:
      return code == 0 ? 0 : 1;
    case Format::kFloat8E8m0fnu:
      return decode_e8m0(static_cast<uint8_t>(code));
    default:
      return decode_small(*small_float(format), code);
  }
}

}  // namespace mlfs
