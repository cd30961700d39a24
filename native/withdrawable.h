#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

namespace mlfs {

/// A published pointer to an immutable value, which one thread replaces and any thread reads within an Epochs::Guard. A withdrawal is a mark in
/// the pointer's lowest bit: it needs no memory, so it cannot fail, and the value stays until it is replaced.
template <class Value>
class Withdrawable {
 public:
  Withdrawable() = default;
  ~Withdrawable() { delete any(); }
  Withdrawable(const Withdrawable&) = delete;
  Withdrawable& operator=(const Withdrawable&) = delete;

  // For readers. seq_cst pairs with the swaps: a reader that announced itself after a swap sees the new pointer.

  /// The value; null if there is none or it was withdrawn.
  const Value* present() const {
    const uintptr_t bits = bits_.load(std::memory_order_seq_cst);
    return (bits & kWithdrawn) != 0 ? nullptr : pointer(bits);
  }
  /// The value, even if it was withdrawn.
  const Value* any() const { return pointer(bits_.load(std::memory_order_seq_cst)); }
  bool is_withdrawn() const { return (bits_.load(std::memory_order_seq_cst) & kWithdrawn) != 0; }

  // For the writer.

  /// Publishes `value`, or nothing, and returns what readers may still see.
  [[nodiscard]] std::unique_ptr<const Value> replace(std::unique_ptr<const Value> value) {
    return swap(reinterpret_cast<uintptr_t>(value.release()));
  }
  /// The same for a value that is withdrawn if the one before it was.
  [[nodiscard]] std::unique_ptr<const Value> revise(std::unique_ptr<const Value> value) {
    return swap(reinterpret_cast<uintptr_t>(value.release()) | (bits_.load(std::memory_order_relaxed) & kWithdrawn));
  }
  void withdraw() {
    const uintptr_t bits = bits_.load(std::memory_order_relaxed);
    if (bits != 0) bits_.store(bits | kWithdrawn, std::memory_order_seq_cst);
  }

 private:
  static_assert(alignof(Value) > 1);
  static constexpr uintptr_t kWithdrawn = 1;

  static const Value* pointer(uintptr_t bits) { return reinterpret_cast<const Value*>(bits & ~kWithdrawn); }
  std::unique_ptr<const Value> swap(uintptr_t bits) {
    return std::unique_ptr<const Value>(pointer(bits_.exchange(bits, std::memory_order_seq_cst)));
  }

  std::atomic<uintptr_t> bits_{0};
};

}  // namespace mlfs
