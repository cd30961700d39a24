#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace mlfs {

/// What a signal handler must know about a mapping. The fields of a mapping that is open never change, except `torn`. A slot is used again
/// after its mapping was closed: `version` is odd while that happens, and different afterwards.
struct MappingSlot {
  std::atomic<uint64_t> version{0};
  /// The mapped pages; both 0 in a free slot.
  std::atomic<uintptr_t> begin{0};
  std::atomic<uintptr_t> end{0};
  /// The byte of the file that `begin` shows, and the end of the range that was asked for.
  std::atomic<uint64_t> file_offset{0};
  std::atomic<uint64_t> file_end{0};
  std::atomic<int> fd{-1};
  std::atomic<bool> writable{false};
  std::atomic<bool> torn{false};
  /// Guarded by the registry's mutex.
  MappingSlot* next_free = nullptr;
};

struct MappedRange {
  uintptr_t begin;
  uintptr_t end;
  uint64_t file_offset;
  uint64_t file_end;
  int fd;
  bool writable;
};

// There is one list for the whole process, whatever threads and JavaScript environments use it. Slots are never freed, so a signal handler can
// walk them at any time, without a lock.

/// Returns the slot of a mapping that nobody has touched yet, or null without memory.
MappingSlot* register_mapping(const MappedRange& range);

/// Afterwards no signal handler finds the mapping; it is to be called before munmap.
void unregister_mapping(MappingSlot* slot);

/// The mapping with this address, or null. Async-signal-safe. `range` gets what was true of it.
MappingSlot* find_mapping(uintptr_t address, MappedRange& range);

}  // namespace mlfs
