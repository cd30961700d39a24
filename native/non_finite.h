#pragma once

#include <cstddef>
#include <cstdint>

#include "elements.h"

namespace mlfs {

struct NonFinite {
  uint64_t nans = 0;
  uint64_t infs = 0;
};

/// Adds how many of `count` elements, which are aligned for their type, are NaN or infinite. A complex number with an infinite part is infinite,
/// as its absolute value is.
void count_non_finite(ElementType type, const uint8_t* bytes, size_t count, NonFinite& found);

}  // namespace mlfs
