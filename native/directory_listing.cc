#include "directory_listing.h"

#include <algorithm>
#include <cstring>
#include <new>

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
  const size_t behind = count * ((has_offsets ? sizeof(uint64_t) : 0) + 2 * sizeof(uint32_t)) + names_bytes;
  std::unique_ptr<DirectoryListing> listing(
      new (behind) DirectoryListing(flags, has_offsets, static_cast<uint32_t>(count)));
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
  return listing;
}

/// Two readers that come first both make the table, and one is kept. Null without memory for it.
const uint32_t* DirectoryListing::buckets() const {
  const uint32_t* there = buckets_.load(std::memory_order_acquire);
  if (there != nullptr) return there;
  const size_t mask = bucket_count() - 1;
  std::unique_ptr<uint32_t[]> made(new (std::nothrow) uint32_t[mask + 1]);
  if (made == nullptr) return nullptr;
  std::fill_n(made.get(), mask + 1, kNone);
  for (uint32_t i = 0; i < count_; i++) {
    size_t bucket = name_hash(name(i)) & mask;
    while (made[bucket] != kNone) bucket = (bucket + 1) & mask;
    made[bucket] = i;
  }
  if (buckets_.compare_exchange_strong(there, made.get(), std::memory_order_acq_rel)) return made.release();
  return there;
}

std::optional<size_t> DirectoryListing::find(std::string_view wanted) const {
  const uint32_t* table = count_ <= kUnindexed ? nullptr : buckets();
  if (table == nullptr) {
    for (size_t i = 0; i < count_; i++) {
      if (name(i) == wanted) return i;
    }
    return std::nullopt;
  }
  const size_t mask = bucket_count() - 1;
  for (size_t bucket = name_hash(wanted) & mask;; bucket = (bucket + 1) & mask) {
    const uint32_t index = table[bucket];
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
