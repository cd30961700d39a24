#pragma once

#include <cstddef>
#include <cstdint>

namespace mlfs {

/// crc32(before) ^ crc32(after) of two byte strings of equal length, with the CRC-32 of zip files (reflected polynomial 0xEDB88320). The CRC is
/// linear, so this is the remainder of before ^ after, and one pass is enough.
uint32_t crc32_difference(const uint8_t* before, const uint8_t* after, size_t length);
/// The portable way.
uint32_t crc32_difference_by_table(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous = 0);

}  // namespace mlfs
