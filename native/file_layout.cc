#include "file_layout.h"

#include <algorithm>

namespace mlfs {

FileLayout::FileLayout(std::vector<Extent> extents, std::vector<uint8_t> inline_bytes, uint8_t room)
    : extents_(std::move(extents)), inline_(std::move(inline_bytes)), room_(room) {
  starts_.reserve(extents_.size() + 1);
  uint64_t start = 0;
  for (size_t index = 0; index < extents_.size(); index++) {
    starts_.push_back(start);
    start += extents_[index].length;
    if (extents_[index].kind == Extent::Kind::kComputed) computed_.push_back(index);
  }
  starts_.push_back(start);
}

size_t FileLayout::extent_at(uint64_t position) const {
  // upper_bound skips empty extents: the last start that is not above the position.
  auto after = std::upper_bound(starts_.begin(), starts_.end() - 1, position);
  return static_cast<size_t>(after - starts_.begin()) - 1;
}

bool FileLayout::is_native(uint64_t offset, uint64_t length) const {
  if (computed_.empty() || offset >= size() || length == 0) return true;
  auto next = std::lower_bound(computed_.begin(), computed_.end(), extent_at(offset));
  return next == computed_.end() || starts_[*next] >= offset + std::min(length, size() - offset);
}

}  // namespace mlfs
