#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "elements.h"
#include "kernels.h"

namespace mlfs {

__extension__ using Int128 = __int128;

/**
 * Summarizes the finite elements of one run, one block, or all blocks; the others are only counted.
 *
 * Mean and squares are kept in the machine's widest type, in which squares of doubles neither overflow nor underflow. The mean of 64-bit integers is
 * kept as the distance from an integer, so that a spread of 1 among values near 2^64 is not lost.
 */
struct Summary {
  uint64_t count = 0;
  uint64_t zeros = 0;
  uint64_t nans = 0;
  uint64_t infs = 0;
  double min = 0;
  double max = 0;
  /// The exact extremes of 64-bit integers.
  Int128 least = 0;
  Int128 greatest = 0;
  /// Added to `mean`; it is 0 except for 64-bit integers.
  Int128 origin = 0;
  long double mean = 0;
  /// Sum of the squared distances from the mean.
  long double squares = 0;

  uint64_t finite() const { return count - nans - infs; }
  long double whole_mean() const { return static_cast<long double>(origin) + mean; }
  /// Standard deviation of the population.
  double deviation() const;
  /// Infinite when it exceeds every double.
  double sum() const;
  double sum_of_squares() const;
  /// The square root of the sum of squares.
  double norm() const;
  /// Combines two summaries with the formula of Chan, Golub and LeVeque.
  void join(const Summary& other);

 private:
  long double wide_sum_of_squares() const;
};

struct Bucket {
  double from;
  double to;
  uint64_t count;
};

/// Statistics of a tensor whose blocks are added by any threads in any order. The result does not depend on the order.
class Statistics {
  class Tally;

 public:
  /// One block while one thread works on it. Its destructor adds it to the result.
  class Block {
   public:
    /// `number` is its place in the tensor's order, `count` the number of elements that are to be added.
    Block(Statistics& all, size_t number, size_t count);
    ~Block();
    Block(const Block&) = delete;
    Block& operator=(const Block&) = delete;

    /// The next elements of the block, fewer than 2^32 in all, aligned for their type.
    void add(const uint8_t* bytes, size_t count);

   private:
    Statistics& all_;
    const size_t number_;
    std::unique_ptr<Tally> tally_;
  };

  explicit Statistics(ElementType type, Kernels kernels = Kernels::kBest);
  ~Statistics();

  ElementType type() const { return type_; }

  /// Call this only while no block exists.
  Summary summary() const;
  /// The non-empty buckets in ascending order. Call this only while no block exists.
  std::vector<Bucket> histogram() const;

 private:
  /// Number of buckets: one per sign, exponent and two highest bits of the mantissa of a double.
  static constexpr size_t kBuckets = size_t{1} << 14;
  using Histogram = std::array<uint64_t, kBuckets>;

  /// Of the elements whose codes were counted.
  Summary summary_of_codes() const;

  const ElementType type_;
  const Kernels kernels_;
  mutable std::mutex mutex_;
  std::vector<Summary> blocks_;
  /// How often each code was counted, for a type of at most 16 bits.
  std::vector<uint64_t> codes_;
  /// Unused tallies; there is room for all of them.
  std::vector<std::unique_ptr<Tally>> tallies_;
  /// As many as there were concurrent blocks.
  size_t tally_count_ = 0;
};

}  // namespace mlfs
