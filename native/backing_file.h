#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "counters.h"
#include "descriptor.h"

namespace mlfs {

/// Bounds what is mapped by all files of a session, in bytes, and evicts by CLOCK.
class MappingBudget;

/// A window of a file, mapped read-only. User code never reads through `address`: it is handed to the kernel, which
/// reports a page that is gone as EFAULT where a load would be SIGBUS.
struct Window {
  void* address;
  uint64_t offset;  // in the file, a multiple of kWindowBytes
  size_t length;
  uint32_t pins = 0;
  bool referenced = true;
};

/// A file that extents point into: a descriptor and the windows that are mapped of it.
class BackingFile {
 public:
  BackingFile(Descriptor fd, uint64_t size, MappingBudget& budget);
  ~BackingFile();
  BackingFile(const BackingFile&) = delete;
  BackingFile& operator=(const BackingFile&) = delete;

  int fd() const { return fd_.get(); }
  uint64_t size() const { return size_; }

 private:
  friend class MappingBudget;

  Descriptor fd_;
  uint64_t size_;
  MappingBudget& budget_;
  std::unordered_map<uint64_t, std::unique_ptr<Window>> windows_;  // guarded by the budget's mutex
};

class MappingBudget {
 public:
  /// 16 MiB: 32 KiB of page tables when all of it is touched, and few enough mmap calls to vanish in a scan.
  static constexpr uint64_t kWindowBytes = uint64_t{16} << 20;

  MappingBudget(uint64_t budget_bytes, Counters& counters);

  /// Keeps a window mapped while it lives.
  class Pin {
   public:
    Pin() = default;
    Pin(MappingBudget* budget, Window* window) : budget_(budget), window_(window) {}
    Pin(Pin&& other) noexcept;
    Pin& operator=(Pin&& other) noexcept;
    ~Pin();
    explicit operator bool() const { return window_ != nullptr; }
    const Window* operator->() const { return window_; }

   private:
    MappingBudget* budget_ = nullptr;
    Window* window_ = nullptr;
  };

  /// Maps (or finds) the window of `file` that holds `offset`. An empty pin when mmap fails; errno says why.
  Pin pin(BackingFile& file, uint64_t offset);
  uint64_t mapped_bytes() const;

 private:
  friend class BackingFile;

  struct Held {
    BackingFile* file;
    Window* window;
  };

  void unpin(Window* window);
  /// Unmaps unpinned windows until `wanted` more bytes fit, giving a second chance to those used since the last round.
  void make_room(uint64_t wanted);
  void forget(BackingFile& file);

  mutable std::mutex mutex_;
  uint64_t budget_bytes_;
  uint64_t mapped_bytes_ = 0;
  std::list<Held> clock_;
  std::list<Held>::iterator hand_ = clock_.end();
  Counters& counters_;
};

}  // namespace mlfs
