#include "guarded_mapping.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>

#include "descriptor.h"
#include "mapping_guard.h"
#include "mapping_registry.h"

namespace mlfs {
namespace {

int advice_of(MappingIntent intent) {
  switch (intent) {
    case MappingIntent::kSequential: return MADV_SEQUENTIAL;
    case MappingIntent::kRandom: return MADV_RANDOM;
    case MappingIntent::kWillNeed: return MADV_WILLNEED;
    case MappingIntent::kNormal: break;
  }
  return MADV_NORMAL;
}

}  // namespace

int GuardedMapping::open(int fd, uint64_t offset, uint64_t length, MappingIntent intent, MappingAccess access) {
  close();
  constexpr uint64_t kMaxOffset = std::numeric_limits<off_t>::max();
  if (offset > kMaxOffset || length > kMaxOffset - offset) return EOVERFLOW;
  Descriptor own(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!own) return errno;
  struct stat now;
  if (fstat(own.get(), &now) != 0) return errno;
  if (!S_ISREG(now.st_mode)) return ENODEV;
  if (offset + length > static_cast<uint64_t>(now.st_size)) return ENODATA;
  if (length == 0) return 0;
  if (int error = guard_mappings(); error != 0) return error;

  const auto page_size = static_cast<uint64_t>(getpagesize());
  const uint64_t delta = offset % page_size;
  // The kernel checks what follows it for overflow; whole pages.
  const uint64_t mapped = (delta + length + page_size - 1) / page_size * page_size;
  const bool writable = access == MappingAccess::kPrivateCopy;
  // Without MAP_NORESERVE a private mapping that is larger than the memory would be refused, though hardly a page of it is ever written.
  void* start = writable ? mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, own.get(), static_cast<off_t>(offset - delta))
                         : mmap(nullptr, mapped, PROT_READ, MAP_SHARED, own.get(), static_cast<off_t>(offset - delta));
  if (start == MAP_FAILED) return errno;
  // Advice: where the kernel takes none, the bytes are the same.
  if (intent != MappingIntent::kNormal) madvise(start, mapped, advice_of(intent));

  const auto begin = reinterpret_cast<uintptr_t>(start);
  slot_ = register_mapping({.begin = begin,
                            .end = begin + mapped,
                            .file_offset = offset - delta,
                            .file_end = offset + length,
                            .fd = own.get(),
                            .writable = writable});
  if (slot_ == nullptr) {
    munmap(start, mapped);
    return ENOMEM;
  }
  own.release();
  data_ = static_cast<const uint8_t*>(start) + delta;
  size_ = length;
  return 0;
}

void GuardedMapping::close() {
  if (slot_ != nullptr) {
    const uintptr_t begin = slot_->begin.load();
    const uintptr_t end = slot_->end.load();
    Descriptor own(slot_->fd.load());
    // In this order: an address that was given back may belong to another mapping at once.
    unregister_mapping(slot_);
    munmap(reinterpret_cast<void*>(begin), end - begin);
  }
  slot_ = nullptr;
  data_ = nullptr;
  size_ = 0;
}

bool GuardedMapping::torn() const {
  if (slot_ == nullptr) return false;
  if (slot_->torn.load()) return true;
  struct stat now;
  const bool whole = fstat(slot_->fd.load(), &now) == 0 && static_cast<uint64_t>(now.st_size) >= slot_->file_end.load();
  if (!whole) slot_->torn.store(true);
  return !whole;
}

}  // namespace mlfs
