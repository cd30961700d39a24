#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "backing_file.h"
#include "byte_differences.h"
#include "epochs.h"
#include "file_place.h"
#include "journal_record.h"
#include "overlay.h"
#include "write_grants.h"

namespace mlfs {

/// Carries out WRITEs on session threads, without the control plane: compares with the bytes that are there, journals what differs, and publishes
/// the new pieces of the overlay. One for each image that is written to.
///
/// Invariants:
/// - Only while the lane is open may a session thread change the journal or the overlay, and then nobody else may. The control plane opens it
///   after an update of its own, and closes it before the next one, before it ends a segment, and before it repairs the journal.
/// - Writes are carried out one at a time; those that arrive meanwhile queue up behind the thread that is writing.
/// - A write is answered after its records are in the file and in the log, which the control plane takes before it looks at the journal or at
///   the overlay. While the log has changes, nothing natively known of attributes is answered (`pending`).
/// - Where anything is unusual (no room, an error of the medium, a segment that is not at its path), the message goes to the control plane
///   unanswered, and its bytes behind the last whole record count for nothing.
class WriteLane {
 public:
  /// One write that was carried out: its runs are the next `runs` of `Taken::runs`. Without runs no byte differed.
  struct Written {
    uint64_t nodeid;
    uint64_t bytes;
    int64_t at_ms;
    uint32_t runs;
  };
  struct Run {
    uint64_t start;  // in the image
    uint64_t end;
    uint64_t offset;      // of the bytes in the segment
    uint32_t difference;  // crc32(before) ^ crc32(after)
  };
  struct Taken {
    std::vector<Written> writes;
    std::vector<Run> runs;
    /// A write failed: the segment has bytes behind its last record.
    bool torn = false;
  };
  /// Where the next record goes.
  struct Journal {
    BackingFile* segment = nullptr;
    std::vector<PlacedName> place;
    uint64_t position = 0;
    uint64_t sequence = 0;
    uint64_t durable = 0;
    /// How many bytes the segment and the journal's limit leave.
    uint64_t room = 0;
  };
  struct Connection {
    Epochs& epochs;
    /// Sends the reply of a WRITE of so many bytes.
    std::function<void(uint64_t unique, uint32_t bytes)> answer;
    /// The write is done, and the control plane answers it after it has told the kernel what changed.
    std::function<void(uint64_t unique, uint64_t nodeid, uint32_t bytes)> hand_over;
    /// For the control plane, as if it had come here first.
    std::function<void(std::vector<uint8_t> message)> forward;
    /// Switches chunks of the image's overlay, all of them in one step for every reader.
    std::function<void(BackingFile& image, std::vector<ChunkChange> changes)> switch_overlay;
    /// Whether nothing but the grant's own inode may be kept by the kernel.
    std::function<bool(const WriteGrant& grant)> is_alone;
    /// The log has its first change. Must not block.
    std::function<void()> logged;
  };

  WriteLane(BackingFile& image, Connection connection) : image_(image), connection_(std::move(connection)) {}

  /// Takes a WRITE, or leaves it to the control plane and returns false. `reader` is the calling thread's number among the epochs' readers.
  bool serve(size_t reader, const uint8_t* message, size_t length, const std::shared_ptr<const WriteGrant>& grant);

  /// Called by the control plane only, when the lane is closed.
  void open(Journal journal);
  /// No write begins any more. Returns true if none is running; otherwise `idle` is called when the running one is over.
  bool close(std::function<void()> idle);
  /// Every record up to this one is durable.
  void set_durable(uint64_t sequence) { durable_.store(sequence, std::memory_order_relaxed); }
  Taken take();
  /// What was taken is in effect everywhere.
  void applied();
  bool pending() const { return pending_.load(std::memory_order_seq_cst); }

 private:
  struct Waiting {
    std::vector<uint8_t> message;
    std::shared_ptr<const WriteGrant> grant;
  };
  enum class Outcome { kDone, kForward };

  void carry_out(size_t reader, const uint8_t* message, size_t length, const WriteGrant& grant);
  Outcome write(size_t reader, uint64_t offset, const uint8_t* bytes, size_t length);
  bool read_before(size_t reader, uint64_t offset, size_t length);
  bool append(uint64_t offset, const uint8_t* bytes);
  void publish(uint64_t offset);

  BackingFile& image_;
  const Connection connection_;
  std::atomic<bool> pending_{false};
  std::atomic<uint64_t> durable_{0};

  std::mutex mutex_;  // guards what follows
  bool open_ = false;
  bool running_ = false;
  std::function<void()> idle_;
  std::deque<Waiting> queue_;
  Taken log_;

  // Used by the thread that is writing; by the control plane while the lane is closed and nothing is running.
  Journal journal_;
  std::vector<uint8_t> before_;
  std::vector<ByteRun> differing_;
  std::vector<Run> runs_;
  std::vector<std::array<uint8_t, kRecordHeaderBytes>> headers_;
};

}  // namespace mlfs
