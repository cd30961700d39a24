#include "extent_table.h"

#include <algorithm>

namespace mlfs {

FileLayout::FileLayout(std::vector<Extent> extents, std::vector<uint8_t> inline_bytes)
    : extents_(std::move(extents)), inline_(std::move(inline_bytes)) {
  starts_.reserve(extents_.size() + 1);
  uint64_t start = 0;
  for (const Extent& extent : extents_) {
    starts_.push_back(start);
    start += extent.length;
  }
  starts_.push_back(start);
}

size_t FileLayout::extent_at(uint64_t position) const {
  // upper_bound skips empty extents: the last start that is not above the position.
  auto after = std::upper_bound(starts_.begin(), starts_.end() - 1, position);
  return static_cast<size_t>(after - starts_.begin()) - 1;
}

ExtentTable::ExtentTable(size_t reader_count)
    : root_(std::make_unique<std::atomic<Leaf*>[]>(kRootSize)), readers_(reader_count) {}

ExtentTable::~ExtentTable() {
  for (size_t i = 0; i < kRootSize; i++) {
    Leaf* leaf = root_[i].load(std::memory_order_relaxed);
    if (leaf == nullptr) continue;
    for (auto& slot : leaf->slots) delete slot.load(std::memory_order_relaxed);
    delete leaf;
  }
}

ExtentTable::ReadGuard::ReadGuard(ExtentTable& table, size_t reader) : table_(table), reader_(reader) {
  table_.readers_[reader_].epoch.store(table_.epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
}

ExtentTable::ReadGuard::~ReadGuard() { table_.readers_[reader_].epoch.store(0, std::memory_order_release); }

const FileLayout* ExtentTable::ReadGuard::find(uint64_t nodeid) const {
  if (nodeid >= kCapacity) return nullptr;
  Leaf* leaf = table_.root_[nodeid >> kLeafBits].load(std::memory_order_acquire);
  if (leaf == nullptr) return nullptr;
  // seq_cst pairs with the swap in publish: a reader that announced itself after the swap sees the new pointer.
  return leaf->slots[nodeid & (kLeafSize - 1)].load(std::memory_order_seq_cst);
}

bool ExtentTable::publish(uint64_t nodeid, std::unique_ptr<const FileLayout> layout) {
  if (nodeid >= kCapacity) return false;
  std::lock_guard lock(writer_);
  std::atomic<Leaf*>& leaf_slot = root_[nodeid >> kLeafBits];
  Leaf* leaf = leaf_slot.load(std::memory_order_relaxed);
  if (leaf == nullptr) {
    if (layout == nullptr) return true;
    leaf = new Leaf();
    leaf_slot.store(leaf, std::memory_order_release);
  }
  const FileLayout* old = leaf->slots[nodeid & (kLeafSize - 1)].exchange(layout.release(), std::memory_order_seq_cst);
  if (old != nullptr) {
    uint64_t retired_in = epoch_.fetch_add(1, std::memory_order_seq_cst);
    retired_.push_back({retired_in, std::unique_ptr<const FileLayout>(old)});
  }
  reclaim();
  return true;
}

void ExtentTable::reclaim() {
  uint64_t oldest = UINT64_MAX;
  for (const ReaderEpoch& reader : readers_) {
    uint64_t epoch = reader.epoch.load(std::memory_order_seq_cst);
    if (epoch != 0) oldest = std::min(oldest, epoch);
  }
  std::erase_if(retired_, [oldest](const Retired& retired) { return retired.epoch < oldest; });
}

}  // namespace mlfs
