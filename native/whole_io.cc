#include "whole_io.h"

#include <unistd.h>

#include <cerrno>

namespace mlfs {

int read_whole(int fd, uint8_t* to, size_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t count = pread(fd, to, length, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : ENODATA;
    to += count;
    offset += static_cast<uint64_t>(count);
    length -= static_cast<size_t>(count);
  }
  return 0;
}

int write_whole(int fd, const uint8_t* from, size_t length, uint64_t offset) {
  while (length > 0) {
    const ssize_t count = pwrite(fd, from, length, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return count < 0 ? errno : EIO;
    from += count;
    offset += static_cast<uint64_t>(count);
    length -= static_cast<size_t>(count);
  }
  return 0;
}

}  // namespace mlfs
