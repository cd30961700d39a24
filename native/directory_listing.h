#pragma once

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

/// The names of one directory. Immutable once published, and one allocation: half of the folders of a model have a handful of entries.
///
/// Behind the object lie, in this order: the offsets (none if they are 3, 4, 5, …), the nodeids, where each name ends, the hash table (none
/// if there are few entries), and the bytes of the names.
class alignas(8) DirectoryListing {
 public:
  enum Flag : uint8_t {
    kComplete = 1,      ///< a name that is not here does not exist
    kAbsenceLasts = 2,  ///< and the kernel may remember that it does not
  };
  /// `.` and `..` have the offsets 1 and 2.
  static constexpr uint64_t kFirstOffset = 3;

  /// Null if the offsets do not ascend from kFirstOffset, or a number is too large. `entries` has `count` entries.
  static std::unique_ptr<const DirectoryListing> make(uint8_t flags, const ListedName* entries, size_t count);
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
  DirectoryListing(uint8_t flags, bool has_offsets, uint32_t count, uint32_t buckets)
      : count_(count), buckets_(buckets), flags_(flags), has_offsets_(has_offsets) {}

  static void* operator new(size_t own, size_t behind) { return ::operator new(own + behind); }

  void index_names();

  const uint64_t* offsets() const { return reinterpret_cast<const uint64_t*>(this + 1); }
  const uint32_t* nodeids() const { return reinterpret_cast<const uint32_t*>(offsets() + (has_offsets_ ? count_ : 0)); }
  const uint32_t* ends() const { return nodeids() + count_; }
  const uint32_t* table() const { return ends() + count_; }
  const char* names() const { return reinterpret_cast<const char*>(table() + buckets_); }

  const uint32_t count_;
  const uint32_t buckets_;  // 0, or a power of 2
  const uint8_t flags_;
  const bool has_offsets_;
};

}  // namespace mlfs
