#include "block_source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mlfs {
namespace {

/// The kernel reads no more ahead for one advice than the device takes in one request.
constexpr size_t kAdvisedBytes = 512 * 1024;

/// Numbers have at most 8 bytes; a complex one is two of them.
constexpr uintptr_t kAlignment = 8;

static_assert(BlockSource::kWindowBytes % BlockSource::kPieceBytes == 0);

}  // namespace

const uint8_t* BlockSource::piece(size_t at, size_t length, std::vector<uint8_t>& buffer) {
  if (bytes_ != nullptr) {
    if (reinterpret_cast<uintptr_t>(bytes_ + at) % kAlignment == 0) return bytes_ + at;
    buffer.resize(kPieceBytes);
    memcpy(buffer.data(), bytes_ + at, length);
    return buffer.data();
  }
  if (reading_ == Reading::kUndecided) {
    const bool in_place = offset_ % kAlignment == 0 && length_ >= kWorthMappingBytes;
    reading_ = in_place ? Reading::kMapped : Reading::kCopied;
    if (!in_place) read_ahead(0, length_);
  }
  if (reading_ == Reading::kMapped) {
    const bool open = at >= window_at_ && at + length <= window_at_ + window_.size();
    if (!open && !open_window(at)) return nullptr;
  }
  // The first window decides: `open_window` falls back to reading where a file cannot be mapped.
  if (reading_ == Reading::kCopied) return read(at, length, buffer);
  return window_.data() + (at - window_at_);
}

bool BlockSource::open_window(size_t at) {
  if (!finish()) return false;
  const size_t length = std::min(kWindowBytes, length_ - at);
  read_ahead(at, length);
  // Without advice: MADV_SEQUENTIAL makes the kernel read less ahead for mappings than it does by itself.
  const int error = window_.open(fd_, offset_ + at, length);
  window_at_ = at;
  if (error == 0) return true;
  error_ = 0;
  if (error == ENODATA) return false;
  // Not every file system maps files, and a process has a limited number of mappings and descriptors. Reading says whether there is another reason.
  reading_ = Reading::kCopied;
  return true;
}

bool BlockSource::finish() {
  const bool torn = window_.torn();
  window_.close();
  if (!torn) return true;
  // A page that is there and cannot be read is an error of the disk.
  struct stat now;
  const bool whole = fstat(fd_, &now) == 0 && static_cast<uint64_t>(now.st_size) >= offset_ + length_;
  error_ = whole ? EIO : 0;
  return false;
}

const uint8_t* BlockSource::read(size_t at, size_t length, std::vector<uint8_t>& buffer) {
  buffer.resize(kPieceBytes);
  for (size_t got = 0; got < length;) {
    const ssize_t more = pread(fd_, buffer.data() + got, length - got, static_cast<off_t>(offset_ + at + got));
    if (more < 0 && errno == EINTR) continue;
    if (more <= 0) {
      error_ = more < 0 ? errno : 0;
      return nullptr;
    }
    got += static_cast<size_t>(more);
  }
  return buffer.data();
}

void BlockSource::read_ahead(size_t at, size_t length) const {
  uint8_t first;
  iovec one = {&first, 1};
  if (preadv2(fd_, &one, 1, static_cast<off_t>(offset_ + at), RWF_NOWAIT) >= 0) return;
  for (size_t done = 0; done < length; done += kAdvisedBytes) {
    posix_fadvise(fd_, static_cast<off_t>(offset_ + at + done), static_cast<off_t>(std::min(kAdvisedBytes, length - done)),
                  POSIX_FADV_WILLNEED);
  }
}

}  // namespace mlfs
