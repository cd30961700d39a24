#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

namespace mlfs {

/// An entry of a directory as the control plane publishes it.
struct ListedName {
  uint64_t nodeid;
  uint64_t offset;  // where a listing goes on after the entry
  std::string_view name;
};

/// The names of one directory. Immutable once published, and one allocation: most folders of a model have a handful of entries.
///
/// Behind the object lie, in this order: the offsets (none if they are 3, 4, 5, …), the nodeids, where each name ends, and the bytes of the
/// names. Where there are many names, the first reader that looks for one makes a hash table: the writer, which is the event loop's thread,
/// does not wait for that.
class DirectoryListing {
 public:
  enum Flag : uint8_t {
    kComplete = 1,      ///< a name that is not here does not exist
    kAbsenceLasts = 2,  ///< and the kernel may remember that it does not
  };
  /// `.` and `..` have the offsets 1 and 2.
  static constexpr uint64_t kFirstOffset = 3;

  /// Null if the offsets do not ascend from kFirstOffset, or a number is too large. `entries` has `count` entries.
  static std::unique_ptr<const DirectoryListing> make(uint8_t flags, const ListedName* entries, size_t count);
  ~DirectoryListing() { delete[] buckets_.load(std::memory_order_relaxed); }
  DirectoryListing(const DirectoryListing&) = delete;
  DirectoryListing& operator=(const DirectoryListing&) = delete;
  static void operator delete(void* listing) { ::operator delete(listing); }

  bool has(Flag flag) const { return (flags_ & flag) != 0; }
  size_t size() const { return count_; }
  uint32_t nodeid(size_t index) const { return nodeids()[index]; }
  uint64_t offset(size_t index) const { return has_offsets_ ? offsets()[index] : kFirstOffset + index; }
  std::string_view name(size_t index) const {
    const uint32_t start = index == 0 ? 0 : ends()[index - 1];
    return {names() + start, ends()[index] - start};
  }

  /// Index of a name.
  std::optional<size_t> find(std::string_view name) const;
  /// Index of the first entry whose offset is above `offset`; size() if there is none.
  size_t first_after(uint64_t offset) const;

 private:
  DirectoryListing(uint8_t flags, bool has_offsets, uint32_t count)
      : count_(count), flags_(flags), has_offsets_(has_offsets) {}

  static void* operator new(size_t own, size_t behind) { return ::operator new(own + behind); }

  /// A power of 2; at most two thirds of the buckets are used.
  size_t bucket_count() const { return std::bit_ceil(size_t{count_} + count_ / 2); }
  const uint32_t* buckets() const;

  const uint64_t* offsets() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  const uint32_t* nodeids() const { return reinterpret_cast<const uint32_t*>(offsets() + (has_offsets_ ? count_ : 0)); }
  const uint32_t* ends() const { return nodeids() + count_; }
  const char* names() const { return reinterpret_cast<const char*>(ends() + count_); }

  mutable std::atomic<const uint32_t*> buckets_{nullptr};  // each the index of a name, or none
  const uint32_t count_;
  const uint8_t flags_;
  const bool has_offsets_;
};

}  // namespace mlfs
