#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mlfs {

/// The requests that session threads answered from the inode table, by opcode, how many of the answers are errors, and the files
/// that were opened and released, by room.
/// Monotonic counters with relaxed ordering.
class AnswerTally {
 public:
  static constexpr size_t kOpcodes = 64;
  static constexpr size_t kRooms = 16;

  void add(uint32_t opcode) { answers_[opcode % kOpcodes].fetch_add(1, std::memory_order_relaxed); }
  void refused() { refusals_.fetch_add(1, std::memory_order_relaxed); }
  void opened(uint8_t room) { opens_[room % kRooms].fetch_add(1, std::memory_order_relaxed); }
  void released(uint8_t room) { releases_[room % kRooms].fetch_add(1, std::memory_order_relaxed); }

  uint64_t answers(uint32_t opcode) const { return answers_[opcode % kOpcodes].load(std::memory_order_relaxed); }
  uint64_t refusals() const { return refusals_.load(std::memory_order_relaxed); }
  uint64_t opens(size_t room) const { return opens_[room].load(std::memory_order_relaxed); }
  uint64_t releases(size_t room) const { return releases_[room].load(std::memory_order_relaxed); }

 private:
  std::array<std::atomic<uint64_t>, kOpcodes> answers_{};
  std::atomic<uint64_t> refusals_{0};
  std::array<std::atomic<uint64_t>, kRooms> opens_{};
  std::array<std::atomic<uint64_t>, kRooms> releases_{};
};

}  // namespace mlfs
