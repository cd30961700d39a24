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

/// What was taken out of the table and waits for readers, in one retirement.
struct InodeTable::Removed {
  std::vector<std::unique_ptr<Leaf>> leaves;
  std::vector<std::unique_ptr<const InodeRow>> rows;
  std::vector<std::unique_ptr<const DirectoryListing>> listings;
};

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
  return of == nullptr ? nullptr : of->row.present();
}

const DirectoryListing* InodeTable::listing(uint64_t nodeid) const {
  const Slot* of = slot(nodeid);
  return of == nullptr || of->row.is_withdrawn() ? nullptr : of->listing.present();
}

bool InodeTable::add_reference(uint64_t nodeid, bool tells) {
  Slot* of = slot(nodeid);
  const InodeRow* row = of == nullptr ? nullptr : of->row.any();
  if (row == nullptr) return false;
  const bool is_first = tells && row->has(InodeRow::kTell)
                            ? news_->add_reference(static_cast<uint32_t>(nodeid), of->references)
                            : of->references.fetch_add(1, std::memory_order_seq_cst) == 0;
  if (is_first) referenced_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

bool InodeTable::drop_references(uint64_t nodeid, uint64_t count, bool tells) {
  Slot* of = slot(nodeid);
  const InodeRow* row = of == nullptr ? nullptr : of->row.any();
  if (row == nullptr) return false;
  uint64_t held = of->references.load(std::memory_order_relaxed);
  while (!of->references.compare_exchange_weak(held, held - std::min(held, count), std::memory_order_seq_cst)) {
  }
  const bool last = held > 0 && held <= count;
  if (last) referenced_.fetch_sub(1, std::memory_order_relaxed);
  if (!last || !tells) return true;
  const bool has_layout = layouts_ != nullptr && layouts_->find(nodeid) != nullptr;
  if (has_layout || row->has(InodeRow::kTell) || of->row.is_withdrawn()) {
    news_->last_reference(static_cast<uint32_t>(nodeid));
  }
  return true;
}

uint64_t InodeTable::references(uint64_t nodeid) const {
  const Slot* of = slot(nodeid);
  return of == nullptr ? 0 : of->references.load(std::memory_order_seq_cst);
}

void InodeTable::add(std::vector<NewRow> rows) {
  for (const NewRow& added : rows) slot_or_new(added.nodeid);
  auto replaced = std::make_unique<std::vector<NewRow>>(std::move(rows));
  for (NewRow& added : *replaced) added.row = slot(added.nodeid)->row.replace(std::move(added.row));
  epochs_.retire(std::move(replaced));
}

bool InodeTable::change(uint64_t nodeid, std::unique_ptr<const InodeChanges> changes) {
  Slot* of = slot(nodeid);
  const InodeRow* before = of == nullptr ? nullptr : of->row.any();
  if (before == nullptr) return false;
  auto row = copy_of(*before);
  row->changes = std::move(changes);
  epochs_.retire(of->row.revise(std::move(row)));
  return true;
}

void InodeTable::withdraw(uint64_t nodeid) {
  Slot* of = slot(nodeid);
  if (of != nullptr) of->row.withdraw();
}

void InodeTable::publish_listings(std::vector<NewListing> listings) {
  for (const NewListing& added : listings) slot_or_new(added.nodeid);
  auto replaced = std::make_unique<std::vector<NewListing>>(std::move(listings));
  for (NewListing& added : *replaced) added.listing = slot(added.nodeid)->listing.replace(std::move(added.listing));
  epochs_.retire(std::move(replaced));
}

void InodeTable::withdraw_listing(uint64_t nodeid) {
  Slot* of = slot(nodeid);
  if (of != nullptr) of->listing.withdraw();
}

void InodeTable::withdraw_all(uint64_t first, uint64_t count) {
  const uint64_t end = first + std::min(count, kCapacity - std::min(first, kCapacity));
  for (uint64_t nodeid = first; nodeid < end; nodeid++) {
    Slot* of = slot(nodeid);
    if (of == nullptr) {
      nodeid |= kLeafSize - 1;
      continue;
    }
    of->row.withdraw();
    of->listing.withdraw();
    if (of->references.exchange(0, std::memory_order_seq_cst) > 0) referenced_.fetch_sub(1, std::memory_order_relaxed);
  }
  try {
    epochs_.retire(remove(first, end));
  } catch (const std::bad_alloc&) {
    // What is withdrawn stays until the table ends.
  }
}

std::unique_ptr<InodeTable::Removed> InodeTable::remove(uint64_t first, uint64_t end) {
  auto removed = std::make_unique<Removed>();
  // Of the first leaf and of the last there may be a part, of all others everything.
  removed->leaves.reserve((end - std::min(first, end)) / kLeafSize);
  removed->rows.reserve(2 * kLeafSize);
  removed->listings.reserve(2 * kLeafSize);
  for (uint64_t nodeid = first; nodeid < end;) {
    std::atomic<Leaf*>& leaf = root_[nodeid >> kLeafBits];
    if (nodeid % kLeafSize == 0 && end - nodeid >= kLeafSize) {
      Leaf* whole = leaf.exchange(nullptr, std::memory_order_seq_cst);
      if (whole != nullptr) removed->leaves.emplace_back(whole);
      nodeid += kLeafSize;
    } else if (Slot* of = slot(nodeid)) {
      if (auto row = of->row.replace(nullptr)) removed->rows.push_back(std::move(row));
      if (auto listing = of->listing.replace(nullptr)) removed->listings.push_back(std::move(listing));
      nodeid++;
    } else {
      nodeid = (nodeid | (kLeafSize - 1)) + 1;
    }
  }
  return removed;
}

void InodeTable::set_defaults(std::unique_ptr<const TreeDefaults> defaults) {
  epochs_.retire(
      std::unique_ptr<const TreeDefaults>(defaults_.exchange(defaults.release(), std::memory_order_seq_cst)));
}

}  // namespace mlfs
