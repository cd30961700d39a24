#include "page_cache.h"

#include <fcntl.h>
#include <sys/uio.h>

namespace mlfs {

int evict_from_page_cache(int fd, uint64_t offset, uint64_t length) {
  return posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(length), POSIX_FADV_DONTNEED);
}

ssize_t read_if_cached(int fd, uint8_t* to, uint64_t length, uint64_t offset) {
  iovec piece = {to, length};
  return preadv2(fd, &piece, 1, static_cast<off_t>(offset), RWF_NOWAIT);
}

}  // namespace mlfs
