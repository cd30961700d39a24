// CRC-32C by instruction, by table and bit by bit, in one piece and in two.

#include "../../crc32c.h"
#include "fuzz_input.h"

namespace {

uint32_t bit_by_bit(const uint8_t* bytes, size_t length, uint32_t previous) {
  uint32_t crc = ~previous;
  for (size_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
  }
  return ~crc;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzInput input(bytes, size);
  const auto previous = static_cast<uint32_t>(input.number(4));
  const size_t cut = input.left() == 0 ? 0 : input.number(2) % (input.left() + 1);
  // At every alignment, without a byte to spare behind it.
  const std::vector<uint8_t> exact(input.rest(), input.rest() + input.left());
  const size_t begin = exact.empty() ? 0 : exact[0] % 16 % exact.size();
  const uint8_t* start = exact.data() + begin;
  const size_t length = exact.size() - begin;
  const size_t first = cut > length ? length : cut;
  const uint32_t expected = bit_by_bit(start, length, previous);
  HOLDS(mlfs::crc32c(start, length, previous) == expected);
  HOLDS(mlfs::crc32c_by_table(start, length, previous) == expected);
  HOLDS(mlfs::crc32c(start + first, length - first, mlfs::crc32c(start, first, previous)) == expected);
  return 0;
}
