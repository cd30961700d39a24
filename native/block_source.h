#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "guarded_mapping.h"

namespace mlfs {

/// The bytes of one block of a tensor: in memory, or a run of a file. A run is mapped window by window, which spares the copy that pread makes; a
/// short run, and one that cannot be used in place, is read piece by piece.
///
/// A mapped file can become shorter while its bytes are computed with. Then they are zeros, and the result is worth nothing: `finish` says so.
class BlockSource {
 public:
  /// Whole elements of every type. Two pieces and their tables fit the second-level cache.
  static constexpr size_t kPieceBytes = 128 * 1024;
  /// Mapped at a time: bounds the resident memory. Whole pieces.
  static constexpr size_t kWindowBytes = 4 * 1024 * 1024;
  /// Mapping and unmapping a shorter run costs as much as reading it.
  static constexpr size_t kWorthMappingBytes = 256 * 1024;

  explicit BlockSource(const uint8_t* bytes) : bytes_(bytes) {}
  /// The descriptor must stay open.
  BlockSource(int fd, uint64_t offset, size_t length) : fd_(fd), offset_(offset), length_(length) {}

  /// The bytes [at, at + length) of the block, aligned for every type; null if they cannot be read. `at` is a multiple of kPieceBytes, and `length` at
  /// most kPieceBytes. They are valid until the next call of this source, or with the same buffer.
  const uint8_t* piece(size_t at, size_t length, std::vector<uint8_t>& buffer);

  /// Call it after the last piece was used. False if what was computed from the pieces is worth nothing; `error` says why.
  bool finish();

  /// Why `piece` returned null or `finish` false: an errno, or 0 if the file ends before the block does.
  int error() const { return error_; }

 private:
  enum class Reading { kUndecided, kMapped, kCopied };

  /// Maps the window that begins at `at`. Returns false, with `error_` set, if the bytes are not there.
  bool open_window(size_t at);
  const uint8_t* read(size_t at, size_t length, std::vector<uint8_t>& buffer);
  /// Starts to read [at, at + length) of the block from the disk, if its first byte is not in the page cache.
  void read_ahead(size_t at, size_t length) const;

  const uint8_t* bytes_ = nullptr;
  int fd_ = -1;
  uint64_t offset_ = 0;
  size_t length_ = 0;
  Reading reading_ = Reading::kUndecided;
  GuardedMapping window_;
  size_t window_at_ = 0;
  int error_ = 0;
};

}  // namespace mlfs
