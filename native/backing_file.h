#pragma once

#include <cstdint>

#include "descriptor.h"
#include "overlay.h"

namespace mlfs {

/// A file into which extents or pieces point: the base of an image, with the overlay over it, or a journal segment.
class BackingFile {
 public:
  BackingFile(Descriptor descriptor, uint64_t size_when_opened, Epochs& epochs)
      : fd(std::move(descriptor)), size(size_when_opened), overlay(epochs) {}

  const Descriptor fd;
  const uint64_t size;
  Overlay overlay;
};

}  // namespace mlfs
