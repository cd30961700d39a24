#include "non_finite.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "code_counts.h"
#include "kernels.h"

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
template <typename Word>
[[gnu::target("avx2"), gnu::optimize("O3")]] bool any_avx2(const uint8_t* bytes, size_t count, Word infinity) {
  return any_non_finite<Word>(bytes, count, infinity);
}
#endif

template <typename Word>
bool any(const uint8_t* bytes, size_t count, Word infinity) {
#if defined(__x86_64__)
  if (use_avx2(Kernels::kBest)) return any_avx2<Word>(bytes, count, infinity);
#endif
  return any_non_finite<Word>(bytes, count, infinity);
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
      return any<uint64_t>(bytes, numbers, 0x7ff0000000000000);
    case Format::kFloat32:
      return any<uint32_t>(bytes, numbers, 0x7f800000);
    case Format::kFloat16:
      return any<uint16_t>(bytes, numbers, 0x7c00);
    case Format::kBfloat16:
      return any<uint16_t>(bytes, numbers, 0x7f80);
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
