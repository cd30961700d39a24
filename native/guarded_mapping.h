#pragma once

#include <cstdint>
#include <utility>

namespace mlfs {

/// How the bytes will be read: what the kernel is advised to do.
enum class MappingIntent { kNormal, kSequential, kRandom, kWillNeed };

/// `kRead` is a shared, read-only mapping: writing to it is SIGSEGV. `kPrivateCopy` can be written: a page that is written becomes a copy in
/// this process's memory, and the file never changes.
enum class MappingAccess { kRead, kPrivateCopy };

struct MappingSlot;

/// A range of an open file in memory, that survives the truncation of the file.
///
/// Touching a page of a mapping whose file has become shorter raises SIGBUS, which ends the process. While a GuardedMapping is open, a handler
/// puts zeros in the place of the pages that are gone, and the mapping is *torn* from then on: what was computed from its bytes is worth
/// nothing. So the pattern is: open, compute, then ask `torn()` before the result is used.
///
///     GuardedMapping mapping;
///     if (int error = mapping.open(fd, offset, length, MappingIntent::kSequential); error != 0) return error;
///     const double sum = add(mapping.data(), mapping.size());
///     if (mapping.torn()) return EIO;
///
/// Any thread may read the bytes, unless it blocks SIGBUS. `open` and `close` of different mappings may run concurrently. No thread may touch
/// the bytes of a mapping while it is closed or after it, as with any memory. A system call that reads the bytes (write(2) from the mapping)
/// gets EFAULT where a page is gone. Errors of the disk are handled like pages that are gone.
///
/// The handler is installed by the first `open` of the process and never removed. Faults that concern no GuardedMapping go to the handler that was
/// there before, or to the default action. A handler that is installed later must hand on what it does not know, as this one does; each `open`
/// puts the guard in front of such a handler, at most eight times.
class GuardedMapping {
 public:
  GuardedMapping() = default;
  GuardedMapping(GuardedMapping&& other) noexcept { swap(other); }
  GuardedMapping& operator=(GuardedMapping&& other) noexcept {
    GuardedMapping taken(std::move(other));
    swap(taken);
    return *this;
  }
  ~GuardedMapping() { close(); }

  /// Maps [offset, offset + length) of a regular file, at any alignment; closes what was mapped before. The descriptor is duplicated, so the
  /// caller may close its own. Returns 0 or an errno: ENODATA if the file ends before the range does, EOVERFLOW if the range is beyond 2^63,
  /// ENODEV if it is not a regular file, EBADF, EACCES, EMFILE, ENOMEM. Length 0 maps nothing and succeeds.
  int open(int fd, uint64_t offset, uint64_t length, MappingIntent intent = MappingIntent::kNormal,
           MappingAccess access = MappingAccess::kRead);

  /// Releases the memory and the descriptor. Nothing happens if nothing is mapped.
  void close();

  /// The first byte of the range; null if nothing is mapped.
  const uint8_t* data() const { return data_; }
  /// In bytes, as given to `open`.
  uint64_t size() const { return size_; }

  /// Whether bytes of the range were gone at some time since `open`, as far as anybody noticed: a page that was touched and not there, or a
  /// file that is too short now. Costs one fstat(2). Once true, it stays true.
  bool torn() const;

 private:
  void swap(GuardedMapping& other) noexcept {
    std::swap(slot_, other.slot_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
  }

  MappingSlot* slot_ = nullptr;
  const uint8_t* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace mlfs
