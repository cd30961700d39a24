#pragma once

#include <cstddef>
#include <cstdint>

namespace mlfs {

/// The CRC-32 of zip (polynomial 0xEDB88320) without its two inversions, of the bytes in which `before` and `after` differ (their XOR),
/// continuing from `previous`, which is 0 at the beginning. For the whole it is crc32(before) ^ crc32(after).
uint32_t crc32_difference(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous = 0);

/// Computes the same without the processor's instruction.
uint32_t crc32_difference_by_tables(const uint8_t* before, const uint8_t* after, size_t length, uint32_t previous = 0);

/// What such a remainder becomes when `bytes` zero bytes follow: where `before` and `after` are equal again.
uint32_t crc32_shift(uint32_t remainder, uint64_t bytes);

}  // namespace mlfs
