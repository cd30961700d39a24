#include "non_finite.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "code_counts.h"

namespace mlfs {
namespace {

/// Elements that are looked at before it is decided whether they must be counted.
constexpr size_t kRun = 4096;

/// Whether any word of a run of an IEEE format has all bits of the exponent.
template <typename Word>
[[gnu::always_inline]] inline bool any_non_finite(const uint8_t* bytes, size_t count, Word infinity) {
  Word any = 0;
  for (size_t i = 0; i < count; i++) {
    Word word;
    memcpy(&word, bytes + i * sizeof word, sizeof word);
    any |= static_cast<Word>((word & infinity) == infinity ? 1 : 0);
  }
  return any != 0;
}

#if defined(__x86_64__)
#define MLFS_VECTORS [[gnu::target_clones("avx2", "default"), gnu::optimize("O3")]]
#else
#define MLFS_VECTORS [[gnu::optimize("O3")]]
#endif

MLFS_VECTORS bool any_in_64(const uint8_t* bytes, size_t count) { return any_non_finite<uint64_t>(bytes, count, 0x7ff0000000000000); }
MLFS_VECTORS bool any_in_32(const uint8_t* bytes, size_t count) { return any_non_finite<uint32_t>(bytes, count, 0x7f800000); }
MLFS_VECTORS bool any_in_16(const uint8_t* bytes, size_t count, uint16_t infinity) {
  return any_non_finite<uint16_t>(bytes, count, infinity);
}

double number_at(Format format, const uint8_t* at) {
  if (format == Format::kFloat64) {
    double value;
    memcpy(&value, at, sizeof value);
    return value;
  }
  if (format == Format::kFloat32) {
    float value;
    memcpy(&value, at, sizeof value);
    return value;
  }
  uint16_t code = 0;
  memcpy(&code, at, format_size(format));
  return value_of_code(format, code);
}

bool maybe_non_finite(Format format, const uint8_t* bytes, size_t numbers) {
  switch (format) {
    case Format::kFloat64:
      return any_in_64(bytes, numbers);
    case Format::kFloat32:
      return any_in_32(bytes, numbers);
    case Format::kFloat16:
      return any_in_16(bytes, numbers, 0x7c00);
    case Format::kBfloat16:
      return any_in_16(bytes, numbers, 0x7f80);
    default:
      return true;
  }
}

void count_bytes(Format format, const uint8_t* bytes, size_t count, NonFinite& found) {
  CodeCounts counts(format);
  std::vector<uint64_t> totals(256);
  counts.add(bytes, count);
  counts.move_to(totals);
  for (uint32_t code = 0; code < 256; code++) {
    if (totals[code] == 0) continue;
    const double value = value_of_code(format, code);
    if (std::isnan(value)) found.nans += totals[code];
    if (std::isinf(value)) found.infs += totals[code];
  }
}

}  // namespace

void count_non_finite(ElementType type, const uint8_t* bytes, size_t count, NonFinite& found) {
  const bool floats = type.format == Format::kFloat64 || type.format == Format::kFloat32 || small_float(type.format).has_value() ||
                      type.format == Format::kFloat8E8m0fnu;
  if (!floats) return;
  if (type.size() == 1) return count_bytes(type.format, bytes, count, found);
  const size_t parts = type.complex ? 2 : 1;
  const size_t size = type.size();
  for (size_t done = 0; done < count; done += kRun) {
    const size_t length = std::min(kRun, count - done);
    const uint8_t* run = bytes + done * size;
    if (!maybe_non_finite(type.format, run, length * parts)) continue;
    for (size_t i = 0; i < length; i++) {
      const double real = number_at(type.format, run + i * size);
      const double imaginary = parts == 2 ? number_at(type.format, run + i * size + size / 2) : 0;
      if (std::isinf(real) || std::isinf(imaginary)) found.infs++;
      else if (std::isnan(real) || std::isnan(imaginary)) found.nans++;
    }
  }
}

}  // namespace mlfs
