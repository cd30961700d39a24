#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace mlfs {

/// Decides when memory that readers may still use can be freed. Readers never wait: they announce the epoch in which they read, and a
/// withdrawn object is freed when no reader is left in an epoch that could have seen it.
class Epochs {
 public:
  explicit Epochs(size_t reader_count);
  Epochs(const Epochs&) = delete;
  Epochs& operator=(const Epochs&) = delete;

  /// A reader's critical section. A reader index may have one at a time.
  class Guard {
   public:
    Guard(Epochs& epochs, size_t reader);
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    std::atomic<uint64_t>& announced_;
  };

  /// Takes an object that no reader can find any more.
  template <class T>
  void retire(std::unique_ptr<T> unreachable) {
    if (unreachable != nullptr) retire_shared(std::shared_ptr<T>(std::move(unreachable)));
  }

  /// Retirements that wait for a reader.
  size_t waiting() {
    std::lock_guard lock(mutex_);
    return retired_.size();
  }

 private:
  struct Retired {
    uint64_t epoch;
    std::shared_ptr<const void> object;
  };
  struct alignas(64) Reader {
    std::atomic<uint64_t> epoch{0};  // 0: not reading
  };

  void retire_shared(std::shared_ptr<const void> object);

  std::vector<Reader> readers_;
  std::atomic<uint64_t> epoch_{1};
  std::mutex mutex_;  // guards retired_
  std::vector<Retired> retired_;
};

}  // namespace mlfs
