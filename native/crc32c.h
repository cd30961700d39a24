#pragma once

#include <cstddef>
#include <cstdint>

namespace mlfs {

/// CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) of bytes, continuing from the CRC of the bytes before them, which is 0 at the beginning.
uint32_t crc32c(const uint8_t* bytes, size_t length, uint32_t previous);
/// The same with a table, on any processor.
uint32_t crc32c_by_table(const uint8_t* bytes, size_t length, uint32_t previous);

}  // namespace mlfs
