#pragma once

#include <cstddef>
#include <cstdint>

#include "elements.h"
#include "kernels.h"

namespace mlfs {

/**
 * How far two runs of elements are apart, as src/numbers/distance.ts says it. The sums are kept in the machine's widest type, in which squares of
 * doubles neither overflow nor underflow.
 */
struct Distance {
  uint64_t elements = 0;
  uint64_t bytes = 0;
  uint64_t became_non_finite = 0;
  uint64_t became_finite = 0;
  uint64_t stayed_non_finite = 0;
  uint64_t beyond_double = 0;
  /// Elements that differ and have a distance.
  uint64_t measured = 0;
  double max = 0;
  /// The largest distance of 64-bit integers.
  uint64_t max_integer = 0;
  long double sum = 0;
  long double squares = 0;
  /// The sum of squares of the first tensor's finite numbers.
  long double own_squares = 0;

  void join(const Distance& other);
};

/// Adds the distance of `count` elements, which are aligned for their type.
void add_distance(ElementType type, const uint8_t* a, const uint8_t* b, size_t count, Kernels kernels, Distance& distance);

}  // namespace mlfs
