#pragma once

#include <cstdint>
#include <vector>

#include "counters.h"
#include "extent_table.h"

namespace mlfs {

/// Answers READ requests from a layout: pread into this thread's buffer, then one writev of header and bytes. One for each
/// session thread.
///
/// Why not a mapping, or splice, or direct I/O: docs/ARCHITECTURE.md has the table. A file that was truncated meanwhile is
/// a short read here, exact to the byte, and never a signal.
class ReadReply {
 public:
  ReadReply(int device, Counters& counters);

  /// Sends the reply to request `unique` for [offset, offset + length) of `layout`, cut at its end; always sends one.
  /// False if it had to wait for a disk, as far as is known.
  bool send(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length);

 private:
  bool fill(uint8_t* to, const FileLayout& layout, uint64_t offset, uint64_t length);
  bool send_bytes(uint64_t unique, const uint8_t* bytes, uint64_t length);
  void send_error(uint64_t unique, int error);

  int device_;
  Counters& counters_;
  std::vector<uint8_t> buffer_;
  bool was_cached_ = true;
};

}  // namespace mlfs
