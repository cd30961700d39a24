#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace mlfs {

struct BackingFile;

/// A run of a mounted file. Either `file` is set and the bytes are [offset, offset + length) of it, or the bytes are
/// [offset, offset + length) of the layout's inline store.
struct Extent {
  BackingFile* file;
  uint64_t offset;
  uint64_t length;
};

/// What one inode is made of. Immutable once published.
class FileLayout {
 public:
  FileLayout(std::vector<Extent> extents, std::vector<uint8_t> inline_bytes);

  uint64_t size() const { return starts_.back(); }
  const std::vector<Extent>& extents() const { return extents_; }
  /// Index of the extent that holds byte `position`; `position` is below size().
  size_t extent_at(uint64_t position) const;
  uint64_t start_of(size_t index) const { return starts_[index]; }
  const uint8_t* inline_bytes() const { return inline_.data(); }

 private:
  std::vector<Extent> extents_;
  std::vector<uint64_t> starts_;  // one more than extents_: the last is the size
  std::vector<uint8_t> inline_;
};

/// nodeid → layout, published by pointer swap. Readers never wait: they announce the epoch they read in, and a layout
/// that was replaced is freed when no reader is left in an epoch that could have seen it.
class ExtentTable {
 public:
  explicit ExtentTable(size_t reader_count);
  ~ExtentTable();
  ExtentTable(const ExtentTable&) = delete;
  ExtentTable& operator=(const ExtentTable&) = delete;

  /// Largest nodeid + 1 that can be published.
  static constexpr uint64_t kCapacity = uint64_t{1} << 28;

  /// A reader's critical section. One at a time for each reader index.
  class ReadGuard {
   public:
    ReadGuard(ExtentTable& table, size_t reader);
    ~ReadGuard();
    ReadGuard(const ReadGuard&) = delete;
    ReadGuard& operator=(const ReadGuard&) = delete;
    /// The layout of `nodeid`, or null; valid while the guard lives.
    const FileLayout* find(uint64_t nodeid) const;

   private:
    ExtentTable& table_;
    size_t reader_;
  };

  /// Makes `layout` what readers of `nodeid` see from now on; null withdraws it. False if nodeid is out of range.
  bool publish(uint64_t nodeid, std::unique_ptr<const FileLayout> layout);

 private:
  static constexpr size_t kLeafBits = 12;
  static constexpr size_t kLeafSize = size_t{1} << kLeafBits;
  static constexpr size_t kRootSize = kCapacity >> kLeafBits;
  struct Leaf {
    std::atomic<const FileLayout*> slots[kLeafSize] = {};
  };
  struct Retired {
    uint64_t epoch;
    std::unique_ptr<const FileLayout> layout;
  };
  struct alignas(64) ReaderEpoch {
    std::atomic<uint64_t> epoch{0};  // 0: not reading
  };

  void reclaim();

  std::unique_ptr<std::atomic<Leaf*>[]> root_;
  std::vector<ReaderEpoch> readers_;
  std::atomic<uint64_t> epoch_{1};
  std::mutex writer_;  // guards retired_ and the creation of leaves
  std::vector<Retired> retired_;
};

}  // namespace mlfs
