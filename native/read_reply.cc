#include "read_reply.h"

#include <linux/fuse.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "backing_file.h"

namespace mlfs {

ReadReply::ReadReply(int device, Counters& counters) : device_(device), counters_(counters) {}

bool ReadReply::send(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length) {
  counters_.native_reads.fetch_add(1, std::memory_order_relaxed);
  length = offset >= layout.size() ? 0 : std::min(length, layout.size() - offset);
  was_cached_ = true;
  if (length > buffer_.size()) buffer_.resize(length);
  bool sent = false;
  if (length == 0 || fill(buffer_.data(), layout, offset, length)) {
    sent = send_bytes(unique, buffer_.data(), length);
  } else {
    send_error(unique, EIO);
  }
  if (sent) {
    counters_.native_read_bytes.fetch_add(length, std::memory_order_relaxed);
  } else {
    counters_.native_read_errors.fetch_add(1, std::memory_order_relaxed);
  }
  return was_cached_;
}

bool ReadReply::fill(uint8_t* to, const FileLayout& layout, uint64_t offset, uint64_t length) {
  for (size_t index = layout.extent_at(offset); length > 0; index++) {
    const Extent& extent = layout.extents()[index];
    uint64_t within = offset - layout.start_of(index);
    uint64_t take = std::min(length, extent.length - within);
    uint64_t at = extent.offset + within;
    offset += take;
    length -= take;
    if (extent.file == nullptr) {
      to = std::copy_n(layout.inline_bytes() + at, take, to);
      continue;
    }
    while (take > 0) {
      iovec piece = {to, take};
      // First what is cached, so that waiting for a disk is noticed; then whatever it takes.
      ssize_t got = preadv2(extent.file->fd.get(), &piece, 1, static_cast<off_t>(at), was_cached_ ? RWF_NOWAIT : 0);
      if (got < 0 && errno == EINTR) continue;
      bool asked_cache_only = was_cached_;
      if (got < static_cast<ssize_t>(take)) was_cached_ = false;
      if (got < 0 && asked_cache_only && (errno == EAGAIN || errno == EOPNOTSUPP)) continue;
      if (got <= 0) return false;  // 0: the file was truncated
      to += got;
      at += static_cast<uint64_t>(got);
      take -= static_cast<uint64_t>(got);
    }
  }
  return true;
}

bool ReadReply::send_bytes(uint64_t unique, const uint8_t* bytes, uint64_t length) {
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof header + length);
  header.unique = unique;
  iovec message[] = {{&header, sizeof header}, {const_cast<uint8_t*>(bytes), length}};
  // ENOENT: the request was aborted meanwhile; nobody waits for an answer.
  return writev(device_, message, 2) >= 0 || errno == ENOENT;
}

void ReadReply::send_error(uint64_t unique, int error) {
  fuse_out_header header = {};
  header.len = sizeof header;
  header.error = -error;
  header.unique = unique;
  [[maybe_unused]] ssize_t written = write(device_, &header, sizeof header);
}

}  // namespace mlfs
