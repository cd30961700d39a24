#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace mlfs {

/// The READs answered natively, by room: bytes, and a histogram of durations. Monotonic counters with relaxed ordering: for people and
/// graphs, never for decisions.
class ReadTally {
 public:
  using Clock = std::chrono::steady_clock;

  /// Rooms are only numbers here; the control plane knows their meaning.
  static constexpr size_t kRooms = 16;
  /// Upper bounds of the classes of duration. One more class holds longer ones.
  static constexpr std::array<uint64_t, 11> kBoundsNanoseconds = {
      4'000,      16'000,     64'000,      256'000,       1'000'000,    4'000'000,
      16'000'000, 64'000'000, 256'000'000, 1'000'000'000, 4'000'000'000};

  struct Room {
    std::atomic<uint64_t> bytes{0};
    std::atomic<uint64_t> nanoseconds{0};
    std::array<std::atomic<uint64_t>, kBoundsNanoseconds.size() + 1> durations{};
  };

  void add(uint8_t room, uint64_t bytes, Clock::duration took) {
    Room& of = rooms_[room % kRooms];
    auto nanoseconds = static_cast<uint64_t>(std::chrono::nanoseconds(took).count());
    size_t index = 0;
    while (index < kBoundsNanoseconds.size() && nanoseconds > kBoundsNanoseconds[index]) index++;
    of.durations[index].fetch_add(1, std::memory_order_relaxed);
    of.bytes.fetch_add(bytes, std::memory_order_relaxed);
    of.nanoseconds.fetch_add(nanoseconds, std::memory_order_relaxed);
  }

  const std::array<Room, kRooms>& rooms() const { return rooms_; }
  uint64_t reads() const {
    uint64_t sum = 0;
    for (const Room& room : rooms_) {
      for (const auto& count : room.durations) sum += count.load(std::memory_order_relaxed);
    }
    return sum;
  }
  uint64_t bytes() const {
    uint64_t sum = 0;
    for (const Room& room : rooms_) sum += room.bytes.load(std::memory_order_relaxed);
    return sum;
  }

 private:
  std::array<Room, kRooms> rooms_;
};

}  // namespace mlfs
