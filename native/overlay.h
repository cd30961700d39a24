#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "published_table.h"

namespace mlfs {

class BackingFile;

/// Dirty bytes [start, end) of an image, at `offset` of a journal segment.
struct Piece {
  uint64_t start;
  uint64_t end;
  BackingFile* file;
  uint64_t offset;
};

/// Pieces of one chunk of an image: sorted, without overlap, inside the chunk.
struct OverlayChunk {
  std::vector<Piece> pieces;
};

/// What a chunk becomes.
struct ChunkChange {
  uint64_t index;
  std::unique_ptr<const OverlayChunk> chunk;  // null: clean
};

/// The result of laying `above` over `below`; both are sorted and without overlap.
std::vector<Piece> laid_over(const std::vector<Piece>& below, const std::vector<Piece>& above);

/// The dirty bytes of an image and their places; src/storage/overlay.ts has the same chunks. A clean image costs only a
/// null pointer.
class Overlay {
 public:
  static constexpr uint64_t kChunkBytes = uint64_t{1} << 20;

  explicit Overlay(Epochs& epochs) : epochs_(epochs) {}
  ~Overlay();
  Overlay(const Overlay&) = delete;
  Overlay& operator=(const Overlay&) = delete;

  /// Bytes that lie together: of a journal segment, or of the base when `file` is null.
  struct Run {
    BackingFile* file;
    uint64_t offset;
    uint64_t length;
  };

  /// The run that begins at `position` of the image, at most `length` bytes; for readers within an Epochs::Guard.
  Run run_at(uint64_t position, uint64_t length) const;

  /// The pieces of a chunk, or null if it is clean; for readers within an Epochs::Guard, and for the writer.
  const OverlayChunk* chunk(uint64_t chunk_index) const;

  /// Only one writer at a time may call this. Null makes the chunk clean. False if the index is out of range.
  bool publish(uint64_t chunk_index, std::unique_ptr<const OverlayChunk> chunk);

 private:
  using Table = PublishedTable<OverlayChunk>;
  Epochs& epochs_;
  std::atomic<Table*> table_{nullptr};
};

}  // namespace mlfs
