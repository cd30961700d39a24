#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "elements.h"
#include "kernels.h"

namespace mlfs {

/**
 * How often each code of a format of at most 16 bits occurs. Everything that statistics say follows from these counts, exactly, and counting is
 * faster than computing with each element.
 */
class CodeCounts {
 public:
  /// Whether the codes of a type are few enough.
  static bool fits(ElementType type) { return !type.complex && format_size(type.format) <= 2; }

  explicit CodeCounts(Format format);

  /// Adds elements, fewer than 2^32 in all until `move_to`. `bytes` may be unaligned.
  void add(const uint8_t* bytes, size_t count);
  /// Adds the counts to `totals`, which has a place for each code, and forgets them.
  void move_to(std::vector<uint64_t>& totals);

  size_t codes() const { return codes_; }

 private:
  const size_t codes_;
  /// Two tables, so that equal neighbours need not wait for each other's count.
  std::vector<uint32_t> even_;
  std::vector<uint32_t> odd_;
};

/// The number that a code of a format of at most 16 bits stands for.
double value_of_code(Format format, uint32_t code);

}  // namespace mlfs
