#include "page_cache.h"

#include <fcntl.h>

namespace mlfs {

int evict_from_page_cache(int fd, uint64_t offset, uint64_t length) {
  return posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_DONTNEED);
}

}  // namespace mlfs
