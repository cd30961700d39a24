#include "overlay.h"

#include <algorithm>

namespace mlfs {

std::vector<Piece> laid_over(const std::vector<Piece>& below, const std::vector<Piece>& above) {
  std::vector<Piece> result;
  result.reserve(below.size() + 2 * above.size());
  auto next = below.begin();
  // Where the uncovered part of *next begins.
  uint64_t from = next == below.end() ? 0 : next->start;
  auto advance = [&] {
    ++next;
    from = next == below.end() ? 0 : next->start;
  };
  auto keep = [&](uint64_t end) { result.push_back({from, end, next->file, next->offset + (from - next->start)}); };
  for (const Piece& piece : above) {
    for (; next != below.end() && next->end <= piece.start; advance()) keep(next->end);
    if (next != below.end() && from < piece.start) keep(piece.start);
    result.push_back(piece);
    while (next != below.end() && next->end <= piece.end) advance();
    from = std::max(from, piece.end);
  }
  for (; next != below.end(); advance()) {
    from = std::max(from, next->start);
    keep(next->end);
  }
  return result;
}

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

const OverlayChunk* Overlay::chunk(uint64_t chunk_index) const {
  const Table* table = table_.load(std::memory_order_acquire);
  return table == nullptr ? nullptr : table->find(chunk_index);
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
