#pragma once

#include <cstdint>

#include "descriptor.h"

namespace mlfs {

/// A file that extents point into, and its size when it was opened.
struct BackingFile {
  Descriptor fd;
  uint64_t size;
};

}  // namespace mlfs
