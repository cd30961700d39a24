#include "loop_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <cstring>

namespace mlfs {

namespace {

/// How many times another process may be faster.
constexpr int kAttempts = 64;
/// The smallest block that a loop device has: the shifts are finer than a page.
constexpr uint32_t kBlockBytes = 512;
constexpr char kControl[] = "/dev/loop-control";
/// `losetup` shows it in place of a path.
constexpr char kName[] = "mlfs";

}  // namespace

Failure attach_loop(int fd, uint64_t offset, LoopDevice& attached) {
  Descriptor control(open(kControl, O_RDWR | O_CLOEXEC));
  if (!control) return {errno, std::string("opening ") + kControl};
  for (int attempt = 0; attempt < kAttempts; attempt++) {
    int number = ioctl(control.get(), LOOP_CTL_GET_FREE);
    if (number < 0) return {errno, "finding a free loop device"};
    std::string path = "/dev/loop" + std::to_string(number);
    Descriptor device(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!device) return {errno, "opening " + path};
    loop_config config = {};
    config.fd = static_cast<uint32_t>(fd);
    config.block_size = kBlockBytes;
    config.info.lo_offset = offset;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    memcpy(config.info.lo_file_name, kName, sizeof kName);
    if (ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) {
      attached.device = std::move(device);
      attached.path = std::move(path);
      return {};
    }
    if (errno != EBUSY) return {errno, "configuring " + path};
  }
  return {EBUSY, "taking a free loop device"};
}

}  // namespace mlfs
