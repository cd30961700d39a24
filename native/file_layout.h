#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlfs {

class BackingFile;

/// A range of a mounted file: bytes of an image, of the layout's inline store, or bytes that only the control plane knows.
struct Extent {
  enum class Kind : uint8_t { kImage, kInline, kComputed };
  Kind kind;
  BackingFile* file;  // of kImage
  uint64_t offset;    // in the image, or in the inline store
  uint64_t length;
};

/// The extents of one inode. Immutable once published.
class FileLayout {
 public:
  /// Reads of this inode are counted under `room`.
  FileLayout(std::vector<Extent> extents, std::vector<uint8_t> inline_bytes, uint8_t room = 0);

  uint64_t size() const { return starts_.back(); }
  const std::vector<Extent>& extents() const { return extents_; }
  /// Index of the extent that holds byte `position`; `position` is below size().
  size_t extent_at(uint64_t position) const;
  uint64_t start_of(size_t index) const { return starts_[index]; }
  const uint8_t* inline_bytes() const { return inline_.data(); }
  uint8_t room() const { return room_; }
  /// Whether [offset, offset + length), cut at the end, can be read without the control plane.
  bool is_native(uint64_t offset, uint64_t length) const;

 private:
  std::vector<Extent> extents_;
  std::vector<uint64_t> starts_;    // one more than extents_: the last is the size
  std::vector<uint64_t> computed_;  // indexes of computed extents, ascending
  std::vector<uint8_t> inline_;
  uint8_t room_;
};

}  // namespace mlfs
