#pragma once

#include <cstdint>
#include <string>

#include "descriptor.h"

namespace mlfs {

/// A loop device over a file from `offset` on. It ends by itself (LO_FLAGS_AUTOCLEAR) when nothing has it open or mounted any more, so a
/// process that is killed leaves none.
struct LoopDevice {
  /// Keeps the device until something else uses it.
  Descriptor device;
  std::string path;
};

/// The outcome of a step that may fail: an errno and what was being done, such as "opening /dev/loop-control".
struct Failure {
  int error = 0;
  std::string step;
  explicit operator bool() const { return error != 0; }
};

/// Attaches a free loop device read-only to the file of `fd`. Another process may take a free device first: then the next one is tried.
Failure attach_loop(int fd, uint64_t offset, LoopDevice& attached);

}  // namespace mlfs
