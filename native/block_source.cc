#include "block_source.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mlfs {
namespace {

/// The kernel reads no more ahead for one advice than the device takes in one request.
constexpr size_t kAdvisedBytes = 512 * 1024;

}  // namespace

const uint8_t* BlockSource::piece(size_t at, size_t length, std::vector<uint8_t>& buffer) {
  if (bytes_ != nullptr && reinterpret_cast<uintptr_t>(bytes_ + at) % 16 == 0) return bytes_ + at;
  buffer.resize(kPieceBytes);
  if (bytes_ != nullptr) {
    memcpy(buffer.data(), bytes_ + at, length);
    return buffer.data();
  }
  if (at == 0) read_ahead(buffer.data(), length);
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

void BlockSource::read_ahead(uint8_t* to, size_t length) {
  iovec first = {to, std::min<size_t>(length, 4096)};
  if (preadv2(fd_, &first, 1, static_cast<off_t>(offset_), RWF_NOWAIT) >= 0) return;
  for (size_t at = 0; at < length_; at += kAdvisedBytes) {
    posix_fadvise(fd_, static_cast<off_t>(offset_ + at), static_cast<off_t>(std::min(kAdvisedBytes, length_ - at)),
                  POSIX_FADV_WILLNEED);
  }
}

}  // namespace mlfs
