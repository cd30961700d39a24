#include "directory_listing.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "name_hash.h"

namespace mlfs {

namespace {

/// Up to this many names are compared one by one.
constexpr size_t kUnindexed = 8;
/// An unused bucket of the hash table.
constexpr uint32_t kNone = UINT32_MAX;

}  // namespace

std::unique_ptr<const DirectoryListing> DirectoryListing::make(uint8_t flags, const ListedName* entries, size_t count) {
  bool has_offsets = false;
  uint64_t names_bytes = 0;
  uint64_t least = kFirstOffset;
  for (size_t i = 0; i < count; i++) {
    const ListedName& entry = entries[i];
    if (entry.offset < least || entry.nodeid > UINT32_MAX) return nullptr;
    least = entry.offset + 1;
    has_offsets = has_offsets || entry.offset != kFirstOffset + i;
    names_bytes += entry.name.size();
  }
  if (count > UINT32_MAX / 2 || names_bytes > UINT32_MAX) return nullptr;
  const size_t buckets = count <= kUnindexed ? 0 : std::bit_ceil(count + count / 2);
  const size_t behind =
      (has_offsets ? count * sizeof(uint64_t) : 0) + (2 * count + buckets) * sizeof(uint32_t) + names_bytes;
  std::unique_ptr<DirectoryListing> listing(
      new (behind) DirectoryListing(flags, has_offsets, static_cast<uint32_t>(count), static_cast<uint32_t>(buckets)));
  auto* offsets = const_cast<uint64_t*>(listing->offsets());
  auto* nodeids = const_cast<uint32_t*>(listing->nodeids());
  auto* ends = const_cast<uint32_t*>(listing->ends());
  auto* names = const_cast<char*>(listing->names());
  uint32_t end = 0;
  for (size_t i = 0; i < count; i++) {
    if (has_offsets) offsets[i] = entries[i].offset;
    nodeids[i] = static_cast<uint32_t>(entries[i].nodeid);
    if (!entries[i].name.empty()) memcpy(names + end, entries[i].name.data(), entries[i].name.size());
    end += static_cast<uint32_t>(entries[i].name.size());
    ends[i] = end;
  }
  listing->index_names();
  return listing;
}

/// Linear probing; at most two thirds of the buckets are used.
void DirectoryListing::index_names() {
  if (buckets_ == 0) return;
  auto* buckets = const_cast<uint32_t*>(table());
  std::fill_n(buckets, buckets_, kNone);
  for (uint32_t i = 0; i < count_; i++) {
    size_t bucket = name_hash(name(i)) & (buckets_ - 1);
    while (buckets[bucket] != kNone) bucket = (bucket + 1) & (buckets_ - 1);
    buckets[bucket] = i;
  }
}

std::optional<size_t> DirectoryListing::find(std::string_view wanted) const {
  if (buckets_ == 0) {
    for (size_t i = 0; i < count_; i++) {
      if (name(i) == wanted) return i;
    }
    return std::nullopt;
  }
  for (size_t bucket = name_hash(wanted) & (buckets_ - 1);; bucket = (bucket + 1) & (buckets_ - 1)) {
    const uint32_t index = table()[bucket];
    if (index == kNone) return std::nullopt;
    if (name(index) == wanted) return index;
  }
}

size_t DirectoryListing::first_after(uint64_t offset) const {
  if (offset < kFirstOffset) return 0;
  if (!has_offsets_) return std::min<uint64_t>(offset - kFirstOffset + 1, count_);
  return static_cast<size_t>(std::upper_bound(offsets(), offsets() + count_, offset) - offsets());
}

}  // namespace mlfs
