#include "read_reply.h"

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>

namespace mlfs {

namespace {

/// Up to here one copy through a buffer costs less than faulting the pages of a mapping in.
constexpr uint64_t kCopyUpTo = 64 << 10;
/// IOV_MAX is 1024; the header takes one. A layout of more pieces in one request goes through the buffer.
constexpr size_t kMaxPieces = 1000;

}  // namespace


namespace {

template <typename Visit>
bool for_each_piece(const FileLayout& layout, uint64_t offset, uint64_t length, Visit visit) {
  size_t index = layout.extent_at(offset);
  while (length > 0) {
    const Extent& extent = layout.extents()[index];
    uint64_t within = offset - layout.start_of(index);
    uint64_t take = std::min(length, extent.length - within);
    if (take > 0 && !visit(extent, extent.offset + within, take)) return false;
    offset += take;
    length -= take;
    index++;
  }
  return true;
}

/// Whether the file still has the bytes up to `end`. A mapping would show the rest of a truncated file's last page as
/// zeros.
bool still_reaches(const BackingFile& file, uint64_t end) {
  struct stat status;
  return fstat(file.fd(), &status) == 0 && static_cast<uint64_t>(status.st_size) >= end;
}

}  // namespace

ReadReply::ReadReply(int device, MappingBudget& budget, Counters& counters, ReadWay way)
    : device_(device), budget_(budget), counters_(counters), way_(way) {
  vector_.resize(kMaxPieces + 1);
}

ReadReply::~ReadReply() {
  if (buffer_ != nullptr) munmap(buffer_, buffer_bytes_);
}

void ReadReply::send(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length) {
  counters_.native_reads.fetch_add(1, std::memory_order_relaxed);
  length = offset >= layout.size() ? 0 : std::min(length, layout.size() - offset);
  bool sent = false;
  if (length == 0) {
    sent = send_vector(unique, 0, 0);
  } else {
    switch (way_) {
      case ReadWay::kAuto:
        sent = length <= kCopyUpTo ? send_copied(unique, layout, offset, length, false)
                                   : send_mapped(unique, layout, offset, length, false);
        break;
      case ReadWay::kMap:
        sent = send_mapped(unique, layout, offset, length, false);
        break;
      case ReadWay::kMapPopulate:
        sent = send_mapped(unique, layout, offset, length, true);
        break;
      case ReadWay::kPread:
        sent = send_copied(unique, layout, offset, length, false);
        break;
      case ReadWay::kDirect:
        sent = send_copied(unique, layout, offset, length, true);
        break;
      case ReadWay::kSplice:
        sent = send_spliced(unique, layout, offset, length);
        break;
    }
  }
  if (sent) {
    counters_.native_read_bytes.fetch_add(length, std::memory_order_relaxed);
  } else {
    counters_.native_read_errors.fetch_add(1, std::memory_order_relaxed);
  }
}

bool ReadReply::send_mapped(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length,
                            bool populate) {
  size_t pieces = 0;
  int error = 0;
  bool fits = for_each_piece(layout, offset, length, [&](const Extent& extent, uint64_t at, uint64_t take) {
    if (extent.file == nullptr) {
      if (pieces == kMaxPieces) return false;
      vector_[++pieces] = {const_cast<uint8_t*>(layout.inline_bytes() + at), take};
      return true;
    }
    if (!still_reaches(*extent.file, at + take)) {
      error = EIO;
      return false;
    }
    while (take > 0) {
      if (pieces == kMaxPieces) return false;
      MappingBudget::Pin pin = budget_.pin(*extent.file, at);
      if (!pin) {
        error = EIO;
        return false;
      }
      uint64_t within = at - pin->offset;
      uint64_t here = std::min<uint64_t>(take, pin->length - within);
      auto* address = static_cast<uint8_t*>(pin->address) + within;
      if (populate) {
        auto page = reinterpret_cast<uintptr_t>(address) & ~uintptr_t{4095};
        madvise(reinterpret_cast<void*>(page), reinterpret_cast<uintptr_t>(address) + here - page,
                MADV_POPULATE_READ);
      }
      vector_[++pieces] = {address, here};
      pins_.push_back(std::move(pin));
      at += here;
      take -= here;
    }
    return true;
  });
  bool sent = false;
  if (error != 0) {
    send_error(unique, error);
  } else if (!fits) {
    sent = send_copied(unique, layout, offset, length, false);
  } else {
    // A page that vanished is EFAULT here, and the kernel has then ended the request with EIO by itself.
    sent = send_vector(unique, length, pieces);
  }
  pins_.clear();
  return sent;
}

bool ReadReply::send_copied(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length,
                            bool direct) {
  constexpr uint64_t kBlock = 4096;
  uint8_t* base = buffer(length + 2 * kBlock);
  if (base == nullptr) {
    send_error(unique, ENOMEM);
    return false;
  }
  uint8_t* to = base + (direct ? kBlock : 0);
  uint8_t* start = to;
  bool read = for_each_piece(layout, offset, length, [&](const Extent& extent, uint64_t at, uint64_t take) {
    if (extent.file == nullptr) {
      std::copy_n(layout.inline_bytes() + at, take, to);
      to += take;
      return true;
    }
    if (direct) {
      // The descriptor was opened with O_DIRECT: whole blocks around the range, into an aligned buffer.
      uint64_t from = at - at % kBlock;
      uint64_t span = (at + take - from + kBlock - 1) / kBlock * kBlock;
      ssize_t got = pread(extent.file->fd(), base, span, static_cast<off_t>(from));
      if (got < static_cast<ssize_t>(at + take - from)) return false;
      start = base + (at - from);
      return take == length;  // the trial serves single extents only
    }
    while (take > 0) {
      ssize_t got = pread(extent.file->fd(), to, take, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return false;
      to += got;
      at += static_cast<uint64_t>(got);
      take -= static_cast<uint64_t>(got);
    }
    return true;
  });
  if (!read) {
    send_error(unique, EIO);
    return false;
  }
  vector_[1] = {start, length};
  return send_vector(unique, length, 1);
}

bool ReadReply::send_spliced(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length) {
  if (!pipe_read_) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return send_copied(unique, layout, offset, length, false);
    pipe_read_ = Descriptor(ends[0]);
    pipe_write_ = Descriptor(ends[1]);
    fcntl(ends[0], F_SETPIPE_SZ, 1 << 20);
  }
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof header + length);
  header.unique = unique;
  iovec head = {&header, sizeof header};
  bool whole = vmsplice(pipe_write_.get(), &head, 1, 0) == static_cast<ssize_t>(sizeof header);
  whole = whole && for_each_piece(layout, offset, length, [&](const Extent& extent, uint64_t at, uint64_t take) {
    if (extent.file == nullptr) return false;
    while (take > 0) {
      loff_t from = static_cast<loff_t>(at);
      ssize_t moved = splice(extent.file->fd(), &from, pipe_write_.get(), nullptr, take, SPLICE_F_NONBLOCK);
      if (moved <= 0) return false;
      at += static_cast<uint64_t>(moved);
      take -= static_cast<uint64_t>(moved);
    }
    return true;
  });
  if (whole && splice(pipe_read_.get(), nullptr, device_, nullptr, sizeof header + length, 0) > 0) return true;
  // The pipe may hold a part of a reply: a new one is the simplest way to empty it.
  pipe_read_.reset();
  pipe_write_.reset();
  return send_copied(unique, layout, offset, length, false);
}

void ReadReply::send_error(uint64_t unique, int error) {
  fuse_out_header header = {};
  header.len = sizeof header;
  header.error = -error;
  header.unique = unique;
  // ENOENT: the request was aborted or ended already; nobody waits for this answer.
  [[maybe_unused]] ssize_t written = write(device_, &header, sizeof header);
}

bool ReadReply::send_vector(uint64_t unique, uint64_t length, size_t pieces) {
  fuse_out_header header = {};
  header.len = static_cast<uint32_t>(sizeof header + length);
  header.unique = unique;
  vector_[0] = {&header, sizeof header};
  ssize_t written = writev(device_, vector_.data(), static_cast<int>(pieces + 1));
  if (written >= 0) return true;
  if (errno != ENOENT) send_error(unique, EIO);
  return false;
}

uint8_t* ReadReply::buffer(uint64_t length) {
  if (length > buffer_bytes_) {
    if (buffer_ != nullptr) munmap(buffer_, buffer_bytes_);
    uint64_t rounded = (length + 4095) / 4096 * 4096;
    buffer_ = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer_ == MAP_FAILED) {
      buffer_ = nullptr;
      buffer_bytes_ = 0;
      return nullptr;
    }
    buffer_bytes_ = rounded;
  }
  return static_cast<uint8_t*>(buffer_);
}

}  // namespace mlfs
