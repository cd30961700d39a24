#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlfs {

/// The bytes of one block of a tensor: in memory, or a run of a file that is read piece by piece.
class BlockSource {
 public:
  /// Whole elements of every type. Two pieces and their tables fit the second-level cache.
  static constexpr size_t kPieceBytes = 128 * 1024;

  explicit BlockSource(const uint8_t* bytes) : bytes_(bytes) {}
  /// The descriptor must stay open.
  BlockSource(int fd, uint64_t offset, size_t length) : fd_(fd), offset_(offset), length_(length) {}

  /// The bytes [at, at + length) of the block, aligned for every type; null if they cannot be read. `length` is at most kPieceBytes. They are
  /// valid until the next call with the same buffer.
  const uint8_t* piece(size_t at, size_t length, std::vector<uint8_t>& buffer);

  /// Why `piece` returned null: an errno, or 0 if the file ends before the block does.
  int error() const { return error_; }

 private:
  /// Starts to read the whole block from the disk, if it is not in the page cache.
  void read_ahead(uint8_t* to, size_t length);

  const uint8_t* bytes_ = nullptr;
  int fd_ = -1;
  uint64_t offset_ = 0;
  size_t length_ = 0;
  int error_ = 0;
};

}  // namespace mlfs
