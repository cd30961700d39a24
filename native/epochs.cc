#include "epochs.h"

#include <algorithm>
#include <iterator>

namespace mlfs {

Epochs::Epochs(size_t reader_count) : readers_(reader_count) {}

Epochs::Guard::Guard(Epochs& epochs, size_t reader) : announced_(epochs.readers_[reader].epoch) {
  announced_.store(epochs.epoch_.load(std::memory_order_seq_cst), std::memory_order_seq_cst);
}

Epochs::Guard::~Guard() { announced_.store(0, std::memory_order_release); }

void Epochs::retire_shared(std::shared_ptr<const void> object) {
  std::vector<Retired> freed;  // their destructors run without the lock
  std::lock_guard lock(mutex_);
  retired_.push_back({epoch_.fetch_add(1, std::memory_order_seq_cst), std::move(object)});
  uint64_t oldest = UINT64_MAX;
  for (const Reader& reader : readers_) {
    uint64_t epoch = reader.epoch.load(std::memory_order_seq_cst);
    if (epoch != 0) oldest = std::min(oldest, epoch);
  }
  auto kept = std::partition(retired_.begin(), retired_.end(),
                             [oldest](const Retired& retired) { return retired.epoch >= oldest; });
  std::move(kept, retired_.end(), std::back_inserter(freed));
  retired_.erase(kept, retired_.end());
}

}  // namespace mlfs
