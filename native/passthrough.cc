#include "passthrough.h"

#include <sys/ioctl.h>

#include <cerrno>
#include <cstdint>

namespace mlfs {

namespace {

/// struct fuse_backing_map and its requests of linux/fuse.h since 7.40, which older headers lack.
struct BackingMap {
  int32_t fd;
  uint32_t flags;
  uint64_t padding;
};
constexpr unsigned long kBackingOpen = _IOW(229, 1, BackingMap);
constexpr unsigned long kBackingClose = _IOW(229, 2, uint32_t);

}  // namespace

int open_backing_file(int device, int fd) {
  BackingMap map = {.fd = fd, .flags = 0, .padding = 0};
  int id = ioctl(device, kBackingOpen, &map);
  return id < 0 ? -errno : id;
}

void close_backing_file(int device, int id) {
  auto backing = static_cast<uint32_t>(id);
  ioctl(device, kBackingClose, &backing);
}

}  // namespace mlfs
