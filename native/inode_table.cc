#include "inode_table.h"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace mlfs {

namespace {

std::unique_ptr<InodeRow> copy_of(const InodeRow& row) {
  auto changes = row.changes == nullptr ? nullptr : std::make_unique<const InodeChanges>(*row.changes);
  return std::unique_ptr<InodeRow>(new InodeRow{.size = row.size,
                                                .mtime_seconds = row.mtime_seconds,
                                                .offset = row.offset,
                                                .file = row.file,
                                                .changes = std::move(changes),
                                                .mtime_nanoseconds = row.mtime_nanoseconds,
                                                .nlink = row.nlink,
                                                .parent = row.parent,
                                                .mode = row.mode,
                                                .flags = row.flags,
                                                .room = row.room});
}

}  // namespace

InodeTable::Leaf::~Leaf() {
  for (Slot& slot : slots) {
    delete slot.row.load(std::memory_order_relaxed);
    delete slot.listing.load(std::memory_order_relaxed);
  }
}

InodeTable::InodeTable(Epochs& epochs, const PublishedTable<FileLayout>* layouts)
    : epochs_(epochs),
      layouts_(layouts),
      root_(static_cast<std::atomic<Leaf*>*>(calloc(kRootSize, sizeof(std::atomic<Leaf*>)))) {
  if (root_ == nullptr) throw std::bad_alloc();
}

InodeTable::~InodeTable() {
  for (size_t i = 0; i < kRootSize; i++) delete root_[i].load(std::memory_order_relaxed);
  delete defaults_.load(std::memory_order_relaxed);
  free(root_);
}

InodeTable::Slot* InodeTable::slot(uint64_t nodeid) const {
  if (nodeid >= kCapacity) return nullptr;
  // seq_cst in this file pairs with the swaps: a reader that announced itself after a swap sees the new pointer.
  Leaf* leaf = root_[nodeid >> kLeafBits].load(std::memory_order_seq_cst);
  return leaf == nullptr ? nullptr : &leaf->slots[nodeid & (kLeafSize - 1)];
}

InodeTable::Slot& InodeTable::slot_or_new(uint64_t nodeid) {
  std::atomic<Leaf*>& leaf = root_[nodeid >> kLeafBits];
  if (leaf.load(std::memory_order_relaxed) == nullptr) leaf.store(new Leaf(), std::memory_order_seq_cst);
  return *slot(nodeid);
}

const InodeRow* InodeTable::find(uint64_t nodeid) const {
  const Slot* of = slot(nodeid);
  const InodeRow* row = of == nullptr ? nullptr : of->row.load(std::memory_order_seq_cst);
  return row == nullptr || row->has(InodeRow::kWithdrawn) ? nullptr : row;
}

const DirectoryListing* InodeTable::listing(uint64_t nodeid) const {
  const Slot* of = slot(nodeid);
  const InodeRow* row = of == nullptr ? nullptr : of->row.load(std::memory_order_seq_cst);
  if (of == nullptr || (row != nullptr && row->has(InodeRow::kWithdrawn))) return nullptr;
  return of->listing.load(std::memory_order_seq_cst);
}

bool InodeTable::add_reference(uint64_t nodeid, bool tells) {
  Slot* of = slot(nodeid);
  const InodeRow* row = of == nullptr ? nullptr : of->row.load(std::memory_order_seq_cst);
  if (row == nullptr) return false;
  if (tells && row->has(InodeRow::kTell)) {
    news_->add_reference(static_cast<uint32_t>(nodeid), of->references);
  } else {
    of->references.fetch_add(1, std::memory_order_seq_cst);
  }
  return true;
}

bool InodeTable::drop_references(uint64_t nodeid, uint64_t count, bool tells) {
  Slot* of = slot(nodeid);
  const InodeRow* row = of == nullptr ? nullptr : of->row.load(std::memory_order_seq_cst);
  if (row == nullptr) return false;
  uint64_t held = of->references.load(std::memory_order_relaxed);
  while (!of->references.compare_exchange_weak(held, held - std::min(held, count), std::memory_order_seq_cst)) {
  }
  const bool last = held > 0 && held <= count;
  if (!last || !tells) return true;
  const bool has_layout = layouts_ != nullptr && layouts_->find(nodeid) != nullptr;
  if (has_layout || row->has(InodeRow::kTell) || row->has(InodeRow::kWithdrawn)) {
    news_->last_reference(static_cast<uint32_t>(nodeid));
  }
  return true;
}

uint64_t InodeTable::references(uint64_t nodeid) const {
  const Slot* of = slot(nodeid);
  return of == nullptr ? 0 : of->references.load(std::memory_order_seq_cst);
}

void InodeTable::add(std::vector<NewRow> rows) {
  // The replaced rows are retired together: each retirement looks through all that wait.
  auto replaced = std::make_unique<std::vector<std::unique_ptr<const InodeRow>>>();
  for (NewRow& added : rows) {
    const InodeRow* before = slot_or_new(added.nodeid).row.exchange(added.row.release(), std::memory_order_seq_cst);
    if (before != nullptr) replaced->emplace_back(before);
  }
  if (!replaced->empty()) epochs_.retire(std::move(replaced));
}

bool InodeTable::change(uint64_t nodeid, std::unique_ptr<const InodeChanges> changes) {
  Slot* of = slot(nodeid);
  const InodeRow* before = of == nullptr ? nullptr : of->row.load(std::memory_order_relaxed);
  if (before == nullptr) return false;
  auto row = copy_of(*before);
  row->changes = std::move(changes);
  replace_row(*of, std::move(row));
  return true;
}

void InodeTable::withdraw(const std::vector<uint64_t>& nodeids) {
  // As in `add`.
  auto replaced = std::make_unique<std::vector<std::unique_ptr<const InodeRow>>>();
  replaced->reserve(nodeids.size());
  for (const uint64_t nodeid : nodeids) {
    Slot* of = slot(nodeid);
    const InodeRow* before = of == nullptr ? nullptr : of->row.load(std::memory_order_relaxed);
    if (before == nullptr || before->has(InodeRow::kWithdrawn)) continue;
    auto row = copy_of(*before);
    row->flags |= InodeRow::kWithdrawn;
    row->file = nullptr;
    replaced->emplace_back(of->row.exchange(row.release(), std::memory_order_seq_cst));
  }
  if (!replaced->empty()) epochs_.retire(std::move(replaced));
}

void InodeTable::replace_row(Slot& of, std::unique_ptr<const InodeRow> row) {
  epochs_.retire(std::unique_ptr<const InodeRow>(of.row.exchange(row.release(), std::memory_order_seq_cst)));
}

bool InodeTable::publish_listing(uint64_t nodeid, std::unique_ptr<const DirectoryListing> listing) {
  if (nodeid >= kCapacity) return false;
  if (listing == nullptr && slot(nodeid) == nullptr) return true;
  auto& published = slot_or_new(nodeid).listing;
  epochs_.retire(
      std::unique_ptr<const DirectoryListing>(published.exchange(listing.release(), std::memory_order_seq_cst)));
  return true;
}

void InodeTable::withdraw_all(uint64_t first, uint64_t count) {
  const uint64_t end = std::min(first + count, kCapacity);
  auto gone = std::make_unique<Leaf>();
  size_t used = 0;
  for (uint64_t nodeid = first; nodeid < end;) {
    std::atomic<Leaf*>& leaf = root_[nodeid >> kLeafBits];
    const bool is_whole = nodeid % kLeafSize == 0 && end - nodeid >= kLeafSize;
    if (is_whole || leaf.load(std::memory_order_relaxed) == nullptr) {
      if (is_whole) epochs_.retire(std::unique_ptr<Leaf>(leaf.exchange(nullptr, std::memory_order_seq_cst)));
      nodeid = (nodeid / kLeafSize + 1) * kLeafSize;
      continue;
    }
    // The rows of the first and of the last leaf move to one that is retired.
    if (used == kLeafSize) {
      epochs_.retire(std::move(gone));
      gone = std::make_unique<Leaf>();
      used = 0;
    }
    Slot& of = leaf.load(std::memory_order_relaxed)->slots[nodeid % kLeafSize];
    gone->slots[used].row = of.row.exchange(nullptr, std::memory_order_seq_cst);
    gone->slots[used].listing = of.listing.exchange(nullptr, std::memory_order_seq_cst);
    of.references.store(0, std::memory_order_seq_cst);
    used++;
    nodeid++;
  }
  if (used > 0) epochs_.retire(std::move(gone));
}

void InodeTable::set_defaults(std::unique_ptr<const TreeDefaults> defaults) {
  epochs_.retire(
      std::unique_ptr<const TreeDefaults>(defaults_.exchange(defaults.release(), std::memory_order_seq_cst)));
}

}  // namespace mlfs
