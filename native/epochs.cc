#include "epochs.h"

#include <algorithm>
#include <thread>

namespace mlfs {

Epochs::Epochs(size_t reader_count) : readers_(reader_count) {}

Epochs::~Epochs() {
  for (Retired* retired = first_; retired != nullptr;) delete std::exchange(retired, retired->next);
}

Epochs::Guard::Guard(Epochs& epochs, size_t reader) : announced_(epochs.readers_[reader].epoch) {
  announced_.store(epochs.epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
}

Epochs::Guard::~Guard() { announced_.store(0, std::memory_order_release); }

uint64_t Epochs::oldest_reader() const {
  uint64_t oldest = UINT64_MAX;
  for (const Reader& reader : readers_) {
    const uint64_t epoch = reader.epoch.load(std::memory_order_seq_cst);
    if (epoch != 0) oldest = std::min(oldest, epoch);
  }
  return oldest;
}

void Epochs::retire(Retired* retired) noexcept {
  Retired* freed = nullptr;
  {
    std::lock_guard lock(mutex_);
    retired->epoch = epoch_.fetch_add(1, std::memory_order_seq_cst);
    (last_ == nullptr ? first_ : last_->next) = retired;
    last_ = retired;
    const uint64_t oldest = oldest_reader();
    Retired** end = &first_;
    while (*end != nullptr && (*end)->epoch < oldest) end = &(*end)->next;
    if (end == &first_) return;
    freed = std::exchange(first_, *end);
    *end = nullptr;
    if (first_ == nullptr) last_ = nullptr;
  }
  // The destructors run without the lock.
  while (freed != nullptr) delete std::exchange(freed, freed->next);
}

void Epochs::wait_for_readers() noexcept {
  const uint64_t epoch = epoch_.fetch_add(1, std::memory_order_seq_cst);
  while (oldest_reader() <= epoch) std::this_thread::yield();
}

size_t Epochs::waiting() {
  std::lock_guard lock(mutex_);
  size_t count = 0;
  for (const Retired* retired = first_; retired != nullptr; retired = retired->next) count++;
  return count;
}

}  // namespace mlfs
