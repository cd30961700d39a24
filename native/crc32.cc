#include "crc32.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mlfs {

namespace {

constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables = {};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) ? 0xEDB88320u : 0);
    tables[0][byte] = value;
  }
  for (size_t table = 1; table < tables.size(); table++) {
    for (size_t byte = 0; byte < 256; byte++) {
      const uint32_t value = tables[table - 1][byte];
      tables[table][byte] = (value >> 8) ^ tables[0][value & 0xff];
    }
  }
  return tables;
}

constexpr auto kTables = make_tables();

uint64_t word_at(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

#if defined(__x86_64__)
constexpr size_t kFold = 64;

__attribute__((target("pclmul,sse4.1"))) inline __m128i difference_at(const uint8_t* before, const uint8_t* after) {
  return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(before)),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(after)));
}

__attribute__((target("pclmul,sse4.1"))) inline __m128i folded(__m128i sum, __m128i by, __m128i next) {
  return _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(sum, by, 0x00), _mm_clmulepi64_si128(sum, by, 0x11)), next);
}

/// Folds 64 bytes at a time by carry-less multiplication (Gopal and others, "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
/// Instruction", Intel 2009). `length` is a multiple of 16 and at least 64. The constants are powers of x modulo the polynomial, for the distances
/// of 64 and of 16 bytes; what is left of 16 bytes goes through the tables.
__attribute__((target("pclmul,sse4.1"))) uint32_t crc32_by_folding(const uint8_t* before, const uint8_t* after, size_t length) {
  const __m128i by64 = _mm_set_epi64x(0x1c6e41596, 0x154442bd4);
  const __m128i by16 = _mm_set_epi64x(0x0ccaa009e, 0x1751997d0);
  __m128i sums[4];
  for (size_t i = 0; i < 4; i++) sums[i] = difference_at(before + 16 * i, after + 16 * i);
  size_t at = kFold;
  for (; at + kFold <= length; at += kFold) {
    for (size_t i = 0; i < 4; i++) sums[i] = folded(sums[i], by64, difference_at(before + at + 16 * i, after + at + 16 * i));
  }
  __m128i sum = sums[0];
  for (size_t i = 1; i < 4; i++) sum = folded(sum, by16, sums[i]);
  for (; at + 16 <= length; at += 16) sum = folded(sum, by16, difference_at(before + at, after + at));
  alignas(16) uint8_t rest[16];
  alignas(16) static constexpr uint8_t kZeros[16] = {};
  _mm_store_si128(reinterpret_cast<__m128i*>(rest), sum);
  return crc32_difference_by_table(kZeros, rest, sizeof rest);
}
#endif

}  // namespace

uint32_t crc32_difference_by_table(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous) {
  uint32_t crc = previous;
  size_t at = 0;
  for (; at + 8 <= length; at += 8) {
    const uint64_t word = word_at(before + at) ^ word_at(after + at) ^ crc;
    crc = 0;
    for (size_t byte = 0; byte < 8; byte++) crc ^= kTables[7 - byte][(word >> (8 * byte)) & 0xff];
  }
  for (; at < length; at++) crc = (crc >> 8) ^ kTables[0][(crc ^ before[at] ^ after[at]) & 0xff];
  return crc;
}

uint32_t crc32_difference(const uint8_t* before, const uint8_t* after, size_t length) {
  size_t folded_bytes = 0;
  uint32_t crc = 0;
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  if (has_instruction && length >= kFold) {
    folded_bytes = length / 16 * 16;
    crc = crc32_by_folding(before, after, folded_bytes);
  }
#endif
  return crc32_difference_by_table(before + folded_bytes, after + folded_bytes, length - folded_bytes, crc);
}

}  // namespace mlfs
