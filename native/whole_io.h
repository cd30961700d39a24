#pragma once

#include <cstddef>
#include <cstdint>

namespace mlfs {

/// Reads exactly `length` bytes. Returns 0, an errno, or ENODATA when the file ends before.
int read_whole(int fd, uint8_t* to, size_t length, uint64_t offset);

/// Writes exactly `length` bytes. Returns 0 or an errno.
int write_whole(int fd, const uint8_t* from, size_t length, uint64_t offset);

}  // namespace mlfs
