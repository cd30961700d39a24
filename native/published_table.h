#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>

#include "epochs.h"

namespace mlfs {

/// A table of numbers and immutable values, published by pointer swap and found without a lock. A found value is valid while the reader's
/// Epochs::Guard lives.
template <class Value>
class PublishedTable {
 public:
  /// Largest number + 1.
  static constexpr uint64_t kCapacity = uint64_t{1} << 28;

  explicit PublishedTable(Epochs& epochs)
      : epochs_(epochs), root_(std::make_unique<std::atomic<Leaf*>[]>(kRootSize)) {}

  ~PublishedTable() {
    for (size_t i = 0; i < kRootSize; i++) {
      Leaf* leaf = root_[i].load(std::memory_order_relaxed);
      if (leaf == nullptr) continue;
      for (auto& slot : leaf->slots) delete slot.load(std::memory_order_relaxed);
      delete leaf;
    }
  }
  PublishedTable(const PublishedTable&) = delete;
  PublishedTable& operator=(const PublishedTable&) = delete;

  /// The value of `number`, or null.
  const Value* find(uint64_t number) const {
    if (number >= kCapacity) return nullptr;
    Leaf* leaf = root_[number >> kLeafBits].load(std::memory_order_acquire);
    if (leaf == nullptr) return nullptr;
    // seq_cst pairs with the swap in publish: a reader that announced itself after the swap sees the new pointer.
    return leaf->slots[number & (kLeafSize - 1)].load(std::memory_order_seq_cst);
  }

  /// Publishes `value` under `number`; null withdraws it. False if the number is out of range.
  bool publish(uint64_t number, std::unique_ptr<const Value> value) {
    if (number >= kCapacity) return false;
    std::lock_guard lock(writer_);
    std::atomic<Leaf*>& leaf_slot = root_[number >> kLeafBits];
    Leaf* leaf = leaf_slot.load(std::memory_order_relaxed);
    if (leaf == nullptr) {
      if (value == nullptr) return true;
      leaf = new Leaf();
      leaf_slot.store(leaf, std::memory_order_release);
    }
    auto& slot = leaf->slots[number & (kLeafSize - 1)];
    epochs_.retire(std::unique_ptr<const Value>(slot.exchange(value.release(), std::memory_order_seq_cst)));
    return true;
  }

 private:
  static constexpr size_t kLeafBits = 12;
  static constexpr size_t kLeafSize = size_t{1} << kLeafBits;
  static constexpr size_t kRootSize = kCapacity >> kLeafBits;
  struct Leaf {
    std::atomic<const Value*> slots[kLeafSize] = {};
  };

  Epochs& epochs_;
  std::unique_ptr<std::atomic<Leaf*>[]> root_;
  std::mutex writer_;  // guards the creation of leaves
};

}  // namespace mlfs
