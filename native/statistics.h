#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "elements.h"

namespace mlfs {

/// Of the finite elements of one block, or of all; the others are counted.
struct Summary {
  uint64_t count = 0;
  uint64_t zeros = 0;
  uint64_t nans = 0;
  uint64_t infs = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
  /// Sum of the squared distances from the mean.
  double squares = 0;

  uint64_t finite() const { return count - nans - infs; }
  /// Chan, Golub and LeVeque's way to join two of them.
  void join(const Summary& other);
};

struct Bucket {
  double from;
  double to;
  uint64_t count;
};

/// Statistics of a tensor that is handed over block by block, by any threads in any order. The result does not depend on the order.
class Statistics {
 public:
  explicit Statistics(ElementType type) : type_(type) {}

  ElementType type() const { return type_; }

  /// `block` numbers the blocks in the tensor's order; `bytes` are whole elements, aligned as malloc aligns.
  void add(size_t block, const uint8_t* bytes, size_t count);

  Summary summary() const;
  /// The buckets that are not empty, ascending. Call when nothing is added any more.
  std::vector<Bucket> histogram() const;

 private:
  /// By sign, exponent and the two highest bits of the mantissa of a double.
  static constexpr size_t kBuckets = size_t{1} << 14;
  using Histogram = std::array<uint64_t, kBuckets>;
  class Block;

  const ElementType type_;
  mutable std::mutex mutex_;
  std::vector<Summary> blocks_;
  std::unique_ptr<Histogram> histogram_ = std::make_unique<Histogram>();
};

}  // namespace mlfs
