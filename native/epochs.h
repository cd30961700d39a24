#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace mlfs {

/// Decides when memory that readers may still use can be freed. Readers never wait: they announce the epoch in which they read, and a
/// withdrawn object is freed when no reader is left in an epoch that could have seen it.
class Epochs {
 public:
  explicit Epochs(size_t reader_count);
  ~Epochs();
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

  /// Takes an object that no reader can find any more. Never fails: without memory to remember the object, the caller waits until the readers
  /// that could have seen it are gone. Must not be called within a Guard.
  template <class T>
  void retire(std::unique_ptr<T> unreachable) noexcept {
    if (unreachable == nullptr) return;
    auto* retired = new (std::nothrow) RetiredObject<T>();
    if (retired == nullptr) return wait_for_readers();
    retired->object = std::move(unreachable);
    retire(static_cast<Retired*>(retired));
  }

  /// Retirements that wait for a reader.
  size_t waiting();

 private:
  struct Retired {
    virtual ~Retired() = default;
    uint64_t epoch = 0;
    Retired* next = nullptr;
  };
  template <class T>
  struct RetiredObject final : Retired {
    std::unique_ptr<T> object;
  };
  struct alignas(64) Reader {
    std::atomic<uint64_t> epoch{0};  // 0: not reading
  };

  void retire(Retired* retired) noexcept;
  void wait_for_readers() noexcept;
  /// The epoch of the reader that began first; UINT64_MAX if nobody reads.
  uint64_t oldest_reader() const;

  std::vector<Reader> readers_;
  std::atomic<uint64_t> epoch_{1};
  std::mutex mutex_;  // guards the list
  /// In the order of their epochs, so that a retirement looks only at those that it frees.
  Retired* first_ = nullptr;
  Retired* last_ = nullptr;
};

}  // namespace mlfs
