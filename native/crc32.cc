#include "crc32.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mlfs {

namespace {

constexpr uint32_t kPolynomial = 0xEDB88320;

using Tables = std::array<std::array<uint32_t, 256>, 8>;

/// Table k advances the remainder of one byte past k more bytes.
constexpr Tables make_tables() {
  Tables tables = {};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) ? kPolynomial : 0);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < tables.size(); k++) {
    for (uint32_t byte = 0; byte < 256; byte++) {
      const uint32_t value = tables[k - 1][byte];
      tables[k][byte] = (value >> 8) ^ tables[0][value & 0xff];
    }
  }
  return tables;
}

constexpr Tables kTables = make_tables();

/// Product of two polynomials modulo the CRC's. The highest bit is the lowest power.
constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t mask = 0x80000000; mask != 0; mask >>= 1) {
    if (a & mask) product ^= b;
    b = (b >> 1) ^ ((b & 1) ? kPolynomial : 0);
  }
  return product;
}

/// x^(8 * 2^k).
constexpr std::array<uint32_t, 64> make_squares() {
  std::array<uint32_t, 64> squares = {};
  uint32_t square = 0x00800000;  // x^8
  for (uint32_t& entry : squares) {
    entry = square;
    square = multiply(square, square);
  }
  return squares;
}

constexpr std::array<uint32_t, 64> kSquares = make_squares();

uint64_t load_difference(const uint8_t* before, const uint8_t* after) {
  uint64_t a, b;
  memcpy(&a, before, sizeof a);
  memcpy(&b, after, sizeof b);
  return a ^ b;
}

#if defined(__x86_64__)

#define MLFS_CLMUL __attribute__((target("pclmul,sse4.1")))

MLFS_CLMUL inline __m128i difference_at(const uint8_t* before, const uint8_t* after, size_t at) {
  return _mm_xor_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(before + at)),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(after + at)));
}

/// Moves a remainder of 128 bits past the distance of `constants` and adds the bytes that are there.
MLFS_CLMUL inline __m128i fold(__m128i remainder, __m128i constants, __m128i bytes) {
  const __m128i low = _mm_clmulepi64_si128(remainder, constants, 0x00);
  const __m128i high = _mm_clmulepi64_si128(remainder, constants, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), bytes);
}

/// Folds by carry-less multiplication. `length` is a multiple of 16, and at least 64. The constants are those of Intel's paper "Fast CRC
/// Computation for Generic Polynomials Using PCLMULQDQ Instruction" for this polynomial, bits reversed.
MLFS_CLMUL uint32_t difference_by_folding(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous) {
  const __m128i by_64_bytes = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by_16_bytes = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  const __m128i by_4_bytes = _mm_set_epi64x(0, 0x0163cd6124);
  const __m128i polynomial = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  const __m128i low_32_bits = _mm_setr_epi32(~0, 0, ~0, 0);

  __m128i a = _mm_xor_si128(difference_at(before, after, 0), _mm_cvtsi32_si128(static_cast<int>(previous)));
  __m128i b = difference_at(before, after, 16);
  __m128i c = difference_at(before, after, 32);
  __m128i d = difference_at(before, after, 48);
  size_t at = 64;
  for (; at + 64 <= length; at += 64) {
    a = fold(a, by_64_bytes, difference_at(before, after, at));
    b = fold(b, by_64_bytes, difference_at(before, after, at + 16));
    c = fold(c, by_64_bytes, difference_at(before, after, at + 32));
    d = fold(d, by_64_bytes, difference_at(before, after, at + 48));
  }
  a = fold(a, by_16_bytes, b);
  a = fold(a, by_16_bytes, c);
  a = fold(a, by_16_bytes, d);
  for (; at + 16 <= length; at += 16) a = fold(a, by_16_bytes, difference_at(before, after, at));

  // From 128 bits to 64, and by Barrett's reduction to 32.
  a = _mm_xor_si128(_mm_srli_si128(a, 8), _mm_clmulepi64_si128(a, by_16_bytes, 0x10));
  a = _mm_xor_si128(_mm_srli_si128(a, 4), _mm_clmulepi64_si128(_mm_and_si128(a, low_32_bits), by_4_bytes, 0x00));
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(a, low_32_bits), polynomial, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, low_32_bits), polynomial, 0x00);
  return static_cast<uint32_t>(_mm_extract_epi32(_mm_xor_si128(a, quotient), 1));
}

#endif

}  // namespace

uint32_t crc32_difference_by_tables(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous) {
  uint32_t crc = previous;
  for (; length >= 8; before += 8, after += 8, length -= 8) {
    const uint64_t word = load_difference(before, after) ^ crc;
    crc = 0;
    for (size_t byte = 0; byte < 8; byte++) crc ^= kTables[7 - byte][(word >> (8 * byte)) & 0xff];
  }
  for (; length > 0; before++, after++, length--) crc = (crc >> 8) ^ kTables[0][(crc ^ *before ^ *after) & 0xff];
  return crc;
}

uint32_t crc32_shift(uint32_t remainder, uint64_t bytes) {
  if (remainder == 0) return 0;
  for (size_t bit = 0; bytes > 0; bytes >>= 1, bit++) {
    if (bytes & 1) remainder = multiply(kSquares[bit], remainder);
  }
  return remainder;
}

uint32_t crc32_difference(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous) {
#if defined(__x86_64__)
  static const bool can_fold = __builtin_cpu_supports("pclmul") && __builtin_cpu_supports("sse4.1");
  if (can_fold && length >= 64) {
    const size_t whole = length & ~size_t{15};
    previous = difference_by_folding(before, after, whole, previous);
    before += whole;
    after += whole;
    length -= whole;
  }
#endif
  return crc32_difference_by_tables(before, after, length, previous);
}

}  // namespace mlfs
