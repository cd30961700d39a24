#include "file_copy.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>

namespace mlfs {

int clone_file(int from, int to) { return ioctl(to, FICLONE, from) == 0 ? 0 : errno; }

int64_t copy_file_bytes(int from, int to, uint64_t offset, uint64_t length) {
  for (;;) {
    auto read_at = static_cast<off_t>(offset);
    auto write_at = static_cast<off_t>(offset);
    const ssize_t copied = copy_file_range(from, &read_at, to, &write_at, length, 0);
    if (copied >= 0) return copied;
    if (errno != EINTR) return -errno;
  }
}

}  // namespace mlfs
