#pragma once

#include <sys/types.h>

#include <cstdint>

namespace mlfs {

/// Drops the clean pages of [offset, offset + length) of an open file from the kernel's page cache (length 0: to the
/// end). It serves to measure cold reads of one file without dropping other pages. Returns 0 or an errno.
int evict_from_page_cache(int fd, uint64_t offset, uint64_t length);

/// Reads up to `length` bytes at `offset` if they are cached. Returns the number of bytes, or -1 when the read would wait for the disk or the
/// kernel cannot tell.
ssize_t read_if_cached(int fd, uint8_t* to, uint64_t length, uint64_t offset);

}  // namespace mlfs
