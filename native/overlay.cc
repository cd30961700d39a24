#include "overlay.h"

#include <algorithm>

namespace mlfs {

Overlay::~Overlay() { delete table_.load(std::memory_order_relaxed); }

Overlay::Run Overlay::run_at(uint64_t position, uint64_t length) const {
  const Table* table = table_.load(std::memory_order_acquire);
  if (table == nullptr) return {nullptr, position, length};
  const uint64_t end = position + length;
  // Clean chunks in a row are one run.
  for (uint64_t at = position; at < end; at = (at / kChunkBytes + 1) * kChunkBytes) {
    const OverlayChunk* chunk = table->find(at / kChunkBytes);
    if (chunk == nullptr) continue;
    auto piece = std::upper_bound(chunk->pieces.begin(), chunk->pieces.end(), at,
                                  [](uint64_t wanted, const Piece& candidate) { return wanted < candidate.end; });
    if (piece == chunk->pieces.end()) continue;
    if (piece->start > position) return {nullptr, position, std::min(end, piece->start) - position};
    return {piece->file, piece->offset + (position - piece->start), std::min(end, piece->end) - position};
  }
  return {nullptr, position, length};
}

bool Overlay::publish(uint64_t chunk_index, std::unique_ptr<const OverlayChunk> chunk) {
  Table* table = table_.load(std::memory_order_relaxed);
  if (table == nullptr) {
    if (chunk == nullptr) return chunk_index < Table::kCapacity;
    table = new Table(epochs_);
    table_.store(table, std::memory_order_release);
  }
  return table->publish(chunk_index, std::move(chunk));
}

}  // namespace mlfs
