#pragma once

#include <sys/types.h>

#include <cstdint>

namespace mlfs {

/// Drops the clean pages of [offset, offset + length) of an open file from the kernel's page cache (length 0: to the
/// end). For measuring cold reads of one file without touching anybody else's pages. Returns 0 or an errno.
int evict_from_page_cache(int fd, uint64_t offset, uint64_t length);

/// Reads up to `length` bytes at `offset` if they are cached: what was read, or -1 when it would have to wait for the disk (or cannot be told).
ssize_t read_if_cached(int fd, uint8_t* to, uint64_t length, uint64_t offset);

}  // namespace mlfs
