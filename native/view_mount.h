#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "descriptor.h"
#include "loop_device.h"

namespace mlfs {

/// Bytes of the checkpoint that the image itself holds.
struct ViewCopy {
  uint64_t image_offset;
  uint64_t file_offset;
  uint64_t length;
};

/// An EROFS image whose files are ranges of the checkpoint (src/kernel-view/erofs-image.ts builds it).
struct ViewImage {
  const uint8_t* bytes = nullptr;
  size_t length = 0;
  std::vector<ViewCopy> copies;
  /// Size of the checkpoint when the image was built.
  uint64_t checkpoint_bytes = 0;
  /// Offset in the checkpoint at which each extra device begins, in the image's order.
  std::vector<uint64_t> begins;
};

/// Mounts the image, attached to no path: `root` is an O_PATH descriptor of its root directory. The mount and its loop devices end when the
/// last descriptor of the root or of a file in it is closed, so a process that is killed leaves nothing. Needs CAP_SYS_ADMIN.
Failure mount_view(const ViewImage& image, int checkpoint, Descriptor& root);

}  // namespace mlfs
