#include "write_lane.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "crc32.h"

namespace mlfs {

namespace {

/// Equal bytes between two differing runs are journalled with them up to the size of a record's header, which a separate record would cost.
constexpr size_t kGapBytes = kRecordHeaderBytes;
/// How many writes queue up behind the one that is running; further ones go to the control plane, which counts their bytes by user.
constexpr size_t kMostWaiting = 16;
/// A chunk with more pieces is joined by the control plane first: each write copies the pieces of its chunks.
constexpr size_t kMostPieces = 8192;
/// With more writes and runs in the log, the next write goes to the control plane, which takes the log first. It takes all of it in one turn of the
/// event loop, at 5 to 20 us for each.
constexpr size_t kMostLogged = size_t{1} << 13;
/// IOV_MAX of Linux.
constexpr size_t kMostVectors = 1024;

bool pread_all(int fd, uint8_t* to, uint64_t offset, size_t length) {
  while (length > 0) {
    const ssize_t got = pread(fd, to, length, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<size_t>(got);
  }
  return true;
}

bool pwritev_all(int fd, std::vector<iovec>& pieces, uint64_t offset) {
  for (size_t first = 0; first < pieces.size();) {
    const auto count = static_cast<int>(std::min(kMostVectors, pieces.size() - first));
    const ssize_t wrote = pwritev(fd, pieces.data() + first, count, static_cast<off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return false;
    offset += static_cast<uint64_t>(wrote);
    auto left = static_cast<size_t>(wrote);
    for (; first < pieces.size() && left >= pieces[first].iov_len; first++) left -= pieces[first].iov_len;
    if (left > 0) {
      pieces[first].iov_base = static_cast<uint8_t*>(pieces[first].iov_base) + left;
      pieces[first].iov_len -= left;
    }
  }
  return true;
}

int64_t now_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace

bool WriteLane::serve(size_t reader, const uint8_t* message, size_t length, const std::shared_ptr<const WriteGrant>& grant) {
  const auto& write_in = *reinterpret_cast<const fuse_write_in*>(message + sizeof(fuse_in_header));
  const auto& header = *reinterpret_cast<const fuse_in_header*>(message);
  // The control plane knows the right refusal for what is malformed, or goes beyond the end.
  if (header.len != length || write_in.size == 0 || write_in.size > length - sizeof header - sizeof write_in) return false;
  if (write_in.offset > grant->size || write_in.size > grant->size - write_in.offset) return false;
  {
    std::lock_guard lock(mutex_);
    if (!open_) return false;
    if (running_) {
      if (queue_.size() >= kMostWaiting) return false;
      queue_.push_back({{message, message + length}, grant});
      return true;
    }
    running_ = true;
  }
  carry_out(reader, message, length, *grant);
  for (;;) {
    Waiting next;
    std::function<void()> idle;
    {
      std::lock_guard lock(mutex_);
      if (queue_.empty()) {
        running_ = false;
        idle = std::exchange(idle_, nullptr);
      } else {
        next = std::move(queue_.front());
        queue_.pop_front();
      }
    }
    if (next.grant == nullptr) {
      if (idle) idle();
      return true;
    }
    carry_out(reader, next.message.data(), next.message.size(), *next.grant);
  }
}

void WriteLane::carry_out(size_t reader, const uint8_t* message, size_t length, const WriteGrant& grant) {
  const auto& header = *reinterpret_cast<const fuse_in_header*>(message);
  const auto& write_in = *reinterpret_cast<const fuse_write_in*>(message + sizeof header);
  const uint8_t* bytes = message + sizeof header + sizeof write_in;
  if (write(reader, grant.offset + write_in.offset, bytes, write_in.size) == Outcome::kForward) {
    connection_.forward({message, message + length});
    return;
  }
  bool first = false;
  {
    std::lock_guard lock(mutex_);
    log_.writes.push_back({grant.nodeid, write_in.size, now_ms(), static_cast<uint32_t>(runs_.size())});
    log_.runs.insert(log_.runs.end(), runs_.begin(), runs_.end());
    first = log_.writes.size() == 1;
    if (!runs_.empty()) pending_.store(true, std::memory_order_seq_cst);
  }
  if (runs_.empty() || connection_.is_alone(grant)) {
    connection_.answer(header.unique, write_in.size);
  } else {
    connection_.hand_over(header.unique, grant.nodeid, write_in.size);
  }
  if (first) connection_.logged();
}

WriteLane::Outcome WriteLane::write(size_t reader, uint64_t offset, const uint8_t* bytes, size_t length) {
  {
    std::lock_guard lock(mutex_);
    if (!open_ || log_.writes.size() + log_.runs.size() > kMostLogged) return Outcome::kForward;
  }
  if (!read_before(reader, offset, length)) return Outcome::kForward;
  differing_runs(before_.data(), bytes, length, kGapBytes, differing_);
  runs_.clear();
  if (differing_.empty()) return Outcome::kDone;
  for (uint64_t chunk = offset / Overlay::kChunkBytes; chunk * Overlay::kChunkBytes < offset + length; chunk++) {
    const OverlayChunk* present = image_.overlay.chunk(chunk);
    if (present != nullptr && present->pieces.size() > kMostPieces) return Outcome::kForward;
  }
  uint64_t size = 0;
  for (const ByteRun& run : differing_) size += kRecordHeaderBytes + (run.end - run.start);
  if (size > journal_.room) return Outcome::kForward;
  if (!append(offset, bytes)) return Outcome::kForward;
  publish(offset);
  return Outcome::kDone;
}

bool WriteLane::read_before(size_t reader, uint64_t offset, size_t length) {
  if (before_.size() < length) before_.resize(length);
  Epochs::Guard guard(connection_.epochs, reader);
  for (size_t done = 0; done < length;) {
    const Overlay::Run run = image_.overlay.run_at(offset + done, length - done);
    const BackingFile& file = run.file == nullptr ? image_ : *run.file;
    if (!pread_all(file.fd.get(), before_.data() + done, run.offset, run.length)) return false;
    done += run.length;
  }
  return true;
}

/// Appends a record for each differing run. On failure the lane is closed, and what lies behind the last record is to be cut off.
bool WriteLane::append(uint64_t offset, const uint8_t* bytes) {
  headers_.resize(differing_.size());
  std::vector<iovec> pieces;
  pieces.reserve(2 * differing_.size());
  uint64_t at = journal_.position;
  uint64_t sequence = journal_.sequence;
  const uint64_t durable = std::min(durable_.load(std::memory_order_relaxed), journal_.sequence - 1);
  for (size_t index = 0; index < differing_.size(); index++) {
    const auto [start, end] = differing_[index];
    const size_t run_bytes = end - start;
    encode_write_record(headers_[index].data(), sequence++, offset + start, bytes + start, static_cast<uint32_t>(run_bytes), durable);
    pieces.push_back({headers_[index].data(), kRecordHeaderBytes});
    pieces.push_back({const_cast<uint8_t*>(bytes) + start, run_bytes});
    at += kRecordHeaderBytes;
    runs_.push_back({offset + start, offset + end, at, crc32_difference(before_.data() + start, bytes + start, run_bytes)});
    at += run_bytes;
  }
  // Nothing is acknowledged that was written into a folder that was removed or swapped.
  if (!pwritev_all(journal_.segment->fd.get(), pieces, journal_.position) || !all_in_place(journal_.place)) {
    std::lock_guard lock(mutex_);
    open_ = false;
    log_.torn = true;
    pending_.store(true, std::memory_order_seq_cst);
    return false;
  }
  journal_.room -= at - journal_.position;
  journal_.position = at;
  journal_.sequence = sequence;
  return true;
}

/// Puts the runs into the overlay, cut at the borders of chunks.
void WriteLane::publish(uint64_t offset) {
  std::vector<ChunkChange> changes;
  std::vector<Piece> above;
  size_t next = 0;
  uint64_t from = runs_.front().start;
  for (uint64_t chunk = offset / Overlay::kChunkBytes; next < runs_.size(); chunk++) {
    const uint64_t end = (chunk + 1) * Overlay::kChunkBytes;
    above.clear();
    while (next < runs_.size() && from < end) {
      const Run& run = runs_[next];
      const uint64_t to = std::min(run.end, end);
      above.push_back({from, to, journal_.segment, run.offset + (from - run.start)});
      from = to;
      if (to < run.end) break;
      next++;
      if (next < runs_.size()) from = runs_[next].start;
    }
    if (above.empty()) continue;
    const OverlayChunk* present = image_.overlay.chunk(chunk);
    auto after = std::make_unique<OverlayChunk>();
    after->pieces = present == nullptr ? above : laid_over(present->pieces, above);
    changes.push_back({chunk, std::move(after)});
  }
  connection_.switch_overlay(image_, std::move(changes));
}

void WriteLane::open(Journal journal) {
  durable_.store(journal.durable, std::memory_order_relaxed);
  std::lock_guard lock(mutex_);
  journal_ = std::move(journal);
  open_ = true;
}

bool WriteLane::close(std::function<void()> idle) {
  std::lock_guard lock(mutex_);
  open_ = false;
  if (!running_) return true;
  idle_ = std::move(idle);
  return false;
}

WriteLane::Taken WriteLane::take() {
  std::lock_guard lock(mutex_);
  return std::exchange(log_, {});
}

void WriteLane::applied() {
  std::lock_guard lock(mutex_);
  if (log_.writes.empty() && !log_.torn) pending_.store(false, std::memory_order_seq_cst);
}

}  // namespace mlfs
