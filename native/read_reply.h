#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "backing_file.h"
#include "counters.h"
#include "file_layout.h"
#include "inode_row.h"

namespace mlfs {

/// Answers READ requests from a layout: pread into this thread's buffer, then one writev of header and bytes. One for each
/// session thread. `fill` is called within an Epochs::Guard, `send` need not be.
///
/// Why not a mapping, or splice, or direct I/O: docs/ARCHITECTURE.md has the table. A file that was truncated meanwhile is
/// a short read here, exact to the byte, and never a signal.
class ReadReply {
 public:
  ReadReply(int device, Counters& counters);

  /// Reads [offset, offset + length) of `layout`, cut at its end.
  void fill(const FileLayout& layout, uint64_t offset, uint64_t length);
  /// The same of an inode whose bytes are one run of a file.
  void fill(const InodeRow& row, uint64_t offset, uint64_t length);
  /// Replies to request `unique`, which arrived at `began`, with the bytes read, or with EIO if reading failed.
  void send(uint64_t unique, ReadTally::Clock::time_point began);
  /// False if the last `fill` is known to have waited for a disk.
  bool was_cached() const { return was_cached_; }

 private:
  /// False if there is no memory for the bytes.
  bool begin(uint64_t size, uint8_t room, uint64_t offset, uint64_t length);
  struct Free {
    void operator()(uint8_t* bytes) const { free(bytes); }
  };

  bool make_room(uint64_t length);
  bool read_all(const FileLayout& layout, uint64_t offset);
  bool read_image(uint8_t* to, const BackingFile& image, uint64_t offset, uint64_t length);
  bool read_file(uint8_t* to, const BackingFile& file, uint64_t offset, uint64_t length);
  bool send_bytes(uint64_t unique);
  void send_error(uint64_t unique, int error);

  int device_;
  Counters& counters_;
  std::unique_ptr<uint8_t[], Free> buffer_;
  uint64_t capacity_ = 0;
  uint64_t length_ = 0;
  uint8_t room_ = 0;
  bool is_read_ = false;
  bool was_cached_ = true;
};

}  // namespace mlfs
