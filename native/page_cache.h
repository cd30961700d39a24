#pragma once

#include <cstdint>

namespace mlfs {

/// Drops the clean pages of [offset, offset + length) of an open file from the kernel's page cache (length 0: to the
/// end). For measuring cold reads of one file without touching anybody else's pages. Returns 0 or an errno.
int evict_from_page_cache(int fd, uint64_t offset, uint64_t length);

}  // namespace mlfs
