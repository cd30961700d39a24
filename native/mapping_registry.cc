#include "mapping_registry.h"

#include <mutex>
#include <new>

namespace mlfs {
namespace {

constexpr size_t kSlotsOfBlock = 128;

struct Block {
  MappingSlot slots[kSlotsOfBlock];
  std::atomic<Block*> next{nullptr};
  size_t used = 0;  // guarded by the mutex
};

// Without destructors: threads may still read mappings while the process exits.
constinit Block first_block;
constinit std::mutex mutex;
constinit MappingSlot* free_slots = nullptr;
constinit Block* last_block = &first_block;

/// The mutex is held.
MappingSlot* take_slot() {
  if (MappingSlot* slot = free_slots; slot != nullptr) {
    free_slots = slot->next_free;
    return slot;
  }
  if (last_block->used == kSlotsOfBlock) {
    auto* block = new (std::nothrow) Block;
    if (block == nullptr) return nullptr;
    last_block->next.store(block);
    last_block = block;
  }
  return &last_block->slots[last_block->used++];
}

void fill(MappingSlot& slot, const MappedRange& range) {
  slot.version.fetch_add(1);
  slot.begin.store(range.begin);
  slot.end.store(range.end);
  slot.file_offset.store(range.file_offset);
  slot.file_end.store(range.file_end);
  slot.fd.store(range.fd);
  slot.writable.store(range.writable);
  slot.torn.store(false);
  slot.version.fetch_add(1);
}

/// False if the slot was changed meanwhile: then it is not the mapping of a thread that is touching it.
bool read_slot(const MappingSlot& slot, MappedRange& range) {
  const uint64_t version = slot.version.load();
  if (version % 2 != 0) return false;
  range = {.begin = slot.begin.load(),
           .end = slot.end.load(),
           .file_offset = slot.file_offset.load(),
           .file_end = slot.file_end.load(),
           .fd = slot.fd.load(),
           .writable = slot.writable.load()};
  return slot.version.load() == version;
}

}  // namespace

MappingSlot* register_mapping(const MappedRange& range) {
  std::lock_guard lock(mutex);
  MappingSlot* slot = take_slot();
  if (slot != nullptr) fill(*slot, range);
  return slot;
}

void unregister_mapping(MappingSlot* slot) {
  std::lock_guard lock(mutex);
  fill(*slot, {.begin = 0, .end = 0, .file_offset = 0, .file_end = 0, .fd = -1, .writable = false});
  slot->next_free = free_slots;
  free_slots = slot;
}

MappingSlot* find_mapping(uintptr_t address, MappedRange& range) {
  for (Block* block = &first_block; block != nullptr; block = block->next.load()) {
    for (MappingSlot& slot : block->slots) {
      if (read_slot(slot, range) && range.begin <= address && address < range.end) return &slot;
    }
  }
  return nullptr;
}

}  // namespace mlfs
