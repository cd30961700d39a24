#include "crc32c.h"

#include <array>
#include <cstring>

namespace mlfs {

namespace {

constexpr std::array<uint32_t, 256> make_table() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ ((value & 1) ? 0x82F63B78u : 0);
    table[byte] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> kTable = make_table();

#if defined(__x86_64__)
/// Uses the SSE 4.2 instruction, eight bytes at a time.
__attribute__((target("sse4.2"))) uint32_t crc32c_by_instruction(const uint8_t* bytes, size_t length, uint32_t previous) {
  uint64_t crc = ~previous;
  for (; length >= sizeof(uint64_t); bytes += sizeof(uint64_t), length -= sizeof(uint64_t)) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    crc = __builtin_ia32_crc32di(crc, word);
  }
  auto narrow = static_cast<uint32_t>(crc);
  for (; length > 0; bytes++, length--) narrow = __builtin_ia32_crc32qi(narrow, *bytes);
  return ~narrow;
}
#endif

}  // namespace

uint32_t crc32c_by_table(const uint8_t* bytes, size_t length, uint32_t previous) {
  uint32_t crc = ~previous;
  for (size_t i = 0; i < length; i++) crc = (crc >> 8) ^ kTable[(crc ^ bytes[i]) & 0xff];
  return ~crc;
}

uint32_t crc32c(const uint8_t* bytes, size_t length, uint32_t previous) {
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return crc32c_by_instruction(bytes, length, previous);
#endif
  return crc32c_by_table(bytes, length, previous);
}

}  // namespace mlfs
