#include "read_reply.h"

#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace mlfs {

namespace {

constexpr uint64_t kPage = 4096;
constexpr uint64_t kHugePage = 2 << 20;
/// Below this the copies are not what a read costs, and a thread that serves only small reads needs no huge page.
constexpr uint64_t kLarge = 256 << 10;

}  // namespace

ReadReply::ReadReply(int device, Counters& counters) : device_(device), counters_(counters) {}

void ReadReply::fill(const FileLayout& layout, uint64_t offset, uint64_t length) {
  is_read_ = begin(layout.size(), layout.room(), offset, length) && (length_ == 0 || read_all(layout, offset));
}

void ReadReply::fill(const InodeRow& row, uint64_t offset, uint64_t length) {
  is_read_ = begin(row.size, row.room, offset, length) &&
             (length_ == 0 || read_image(buffer_.get(), *row.file, row.offset + offset, length_));
}

bool ReadReply::begin(uint64_t size, uint8_t room, uint64_t offset, uint64_t length) {
  length_ = offset >= size ? 0 : std::min(length, size - offset);
  room_ = room;
  was_cached_ = true;
  return make_room(length_);
}

void ReadReply::send(uint64_t unique, ReadTally::Clock::time_point began) {
  bool sent = is_read_ && send_bytes(unique);
  if (!is_read_) send_error(unique, EIO);
  if (sent) {
    counters_.native_reads.add(room_, length_, ReadTally::Clock::now() - began);
  } else {
    counters_.native_read_errors.fetch_add(1, std::memory_order_relaxed);
  }
}

/// Huge pages: each byte is copied into the buffer and out of it, and the kernel looks up each small page for both. Reading 512 MiB took
/// the server 8 % less processor time with them.
bool ReadReply::make_room(uint64_t length) {
  if (length <= capacity_) return true;
  uint64_t page = length < kLarge ? kPage : kHugePage;
  capacity_ = (length + page - 1) / page * page;
  buffer_.reset();
  buffer_.reset(static_cast<uint8_t*>(aligned_alloc(page, capacity_)));
  if (buffer_ == nullptr) {
    capacity_ = 0;
    return false;
  }
  // Advice: a kernel without transparent huge pages refuses it, and small pages serve.
  if (page == kHugePage) madvise(buffer_.get(), capacity_, MADV_HUGEPAGE);
  return true;
}

bool ReadReply::read_all(const FileLayout& layout, uint64_t offset) {
  uint8_t* to = buffer_.get();
  uint64_t left = length_;
  for (size_t index = layout.extent_at(offset); left > 0; index++) {
    const Extent& extent = layout.extents()[index];
    uint64_t within = offset - layout.start_of(index);
    uint64_t take = std::min(left, extent.length - within);
    uint64_t at = extent.offset + within;
    if (extent.kind == Extent::Kind::kInline) {
      std::copy_n(layout.inline_bytes() + at, take, to);
    } else if (extent.kind != Extent::Kind::kImage || !read_image(to, *extent.file, at, take)) {
      return false;
    }
    to += take;
    offset += take;
    left -= take;
  }
  return true;
}

bool ReadReply::read_image(uint8_t* to, const BackingFile& image, uint64_t offset, uint64_t length) {
  while (length > 0) {
    Overlay::Run run = image.overlay.run_at(offset, length);
    if (!read_file(to, run.file == nullptr ? image : *run.file, run.offset, run.length)) return false;
    to += run.length;
    offset += run.length;
    length -= run.length;
  }
  return true;
}

bool ReadReply::read_file(uint8_t* to, const BackingFile& file, uint64_t offset, uint64_t length) {
  while (length > 0) {
    iovec piece = {to, length};
    // First reads only cached bytes, so that a wait for the disk is noticed; then reads the rest.
    ssize_t got = preadv2(file.fd.get(), &piece, 1, static_cast<off_t>(offset), was_cached_ ? RWF_NOWAIT : 0);
    if (got < 0 && errno == EINTR) continue;
    bool asked_cache_only = was_cached_;
    if (got < static_cast<ssize_t>(length)) was_cached_ = false;
    if (got < 0 && asked_cache_only && (errno == EAGAIN || errno == EOPNOTSUPP)) continue;
    if (got <= 0) return false;  // 0: the file was truncated
    to += got;
    offset += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
  }
  return true;
}

bool ReadReply::send_bytes(uint64_t unique) {
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof header + length_);
  header.unique = unique;
  iovec message[] = {{&header, sizeof header}, {buffer_.get(), length_}};
  // ENOENT: the request was aborted, so no reply is expected.
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
