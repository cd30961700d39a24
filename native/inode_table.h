#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "directory_listing.h"
#include "epochs.h"
#include "file_layout.h"
#include "inode_row.h"
#include "published_table.h"
#include "reference_news.h"
#include "tree_defaults.h"
#include "withdrawable.h"

namespace mlfs {

/// The inodes of the tree as both planes see them: what each inode is, the names in each folder, and how many references the kernel holds.
///
/// Invariants:
/// - One thread writes, the control plane's. Session threads read within an Epochs::Guard and never wait: each value is immutable, and
///   replaced as a whole.
/// - References are counted here for every inode that has or had a row, by whichever plane gives or takes them.
/// - What is not here, or was withdrawn, is the control plane's to answer.
/// - Whatever needs memory throws std::bad_alloc before it changes anything. Withdrawing never fails.
class InodeTable {
 public:
  /// Largest nodeid + 1. Scratch files and joined file systems have higher nodeids.
  static constexpr uint64_t kCapacity = uint64_t{1} << 28;

  /// `layouts`: the last reference of an inode that has one is reported, too, so that it can be withdrawn.
  explicit InodeTable(Epochs& epochs, const PublishedTable<FileLayout>* layouts = nullptr);
  ~InodeTable();
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;

  // For readers.

  /// Null for an inode that is not here or was withdrawn.
  const InodeRow* find(uint64_t nodeid) const;
  /// The same for the names of a folder, which are withdrawn with it.
  const DirectoryListing* listing(uint64_t nodeid) const;
  /// Null until they are known.
  const TreeDefaults* defaults() const { return defaults_.load(std::memory_order_seq_cst); }

  // References: for readers and for the writer.

  /// False if the inode never had a row: the caller counts the reference. `tells` reports a first reference.
  bool add_reference(uint64_t nodeid, bool tells);
  /// The same for references that the kernel dropped. `tells` reports the last one of inodes that are told, that were
  /// withdrawn, or that have a layout.
  bool drop_references(uint64_t nodeid, uint64_t count, bool tells);
  uint64_t references(uint64_t nodeid) const;
  /// How many inodes have references that are counted here. For people and graphs, never for decisions.
  uint64_t referenced() const { return referenced_.load(std::memory_order_relaxed); }
  const std::shared_ptr<ReferenceNews>& news() const { return news_; }

  // For the writer.

  struct NewRow {
    uint64_t nodeid;
    std::unique_ptr<const InodeRow> row;
  };
  /// Adds rows or replaces them, with their changes. Every nodeid must be below kCapacity.
  void add(std::vector<NewRow> rows);
  /// False if there is no row.
  bool change(uint64_t nodeid, std::unique_ptr<const InodeChanges> changes);
  void withdraw(uint64_t nodeid);
  struct NewListing {
    uint64_t nodeid;
    std::unique_ptr<const DirectoryListing> listing;
  };
  /// Adds listings or replaces them. Every nodeid must be below kCapacity.
  void publish_listings(std::vector<NewListing> listings);
  void withdraw_listing(uint64_t nodeid);
  /// Withdraws rows and listings, and forgets the references of the inodes. Frees their memory, unless there is none to do that with.
  void withdraw_all(uint64_t first, uint64_t count);
  void set_defaults(std::unique_ptr<const TreeDefaults> defaults);

 private:
  static constexpr size_t kLeafBits = 12;
  static constexpr size_t kLeafSize = size_t{1} << kLeafBits;
  static constexpr size_t kRootSize = kCapacity >> kLeafBits;

  struct Slot {
    Withdrawable<InodeRow> row;
    Withdrawable<DirectoryListing> listing;
    std::atomic<uint64_t> references{0};
  };
  struct Leaf {
    Slot slots[kLeafSize];
  };

  Slot* slot(uint64_t nodeid) const;
  Slot& slot_or_new(uint64_t nodeid);
  /// Takes everything in a range out of the table. Throws std::bad_alloc before the first of it is taken.
  struct Removed;
  std::unique_ptr<Removed> remove(uint64_t first, uint64_t end);

  Epochs& epochs_;
  const PublishedTable<FileLayout>* layouts_;
  /// Zeroed by calloc, so that the parts that are never used take no memory.
  std::atomic<Leaf*>* root_;
  std::atomic<const TreeDefaults*> defaults_{nullptr};
  std::atomic<uint64_t> referenced_{0};
  std::shared_ptr<ReferenceNews> news_ = std::make_shared<ReferenceNews>();
};

}  // namespace mlfs
