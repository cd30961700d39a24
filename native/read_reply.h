#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "backing_file.h"
#include "counters.h"
#include "descriptor.h"
#include "extent_table.h"

namespace mlfs {

/// How bytes get from a backing file into a reply. kAuto takes what won on the table in docs/ARCHITECTURE.md.
enum class ReadWay { kAuto, kMap, kMapPopulate, kPread, kSplice, kDirect };

/// Answers READ requests from a layout. One for each session thread: it owns that thread's buffers.
class ReadReply {
 public:
  ReadReply(int device, MappingBudget& budget, Counters& counters, ReadWay way);
  ~ReadReply();
  ReadReply(const ReadReply&) = delete;
  ReadReply& operator=(const ReadReply&) = delete;

  /// Sends the reply to request `unique` for [offset, offset + length) of `layout`, cut at its end; always sends one.
  void send(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length);

 private:
  bool send_mapped(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length, bool populate);
  bool send_copied(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length, bool direct);
  bool send_spliced(uint64_t unique, const FileLayout& layout, uint64_t offset, uint64_t length);
  void send_error(uint64_t unique, int error);
  bool send_vector(uint64_t unique, uint64_t length, size_t pieces);
  uint8_t* buffer(uint64_t length);

  int device_;
  MappingBudget& budget_;
  Counters& counters_;
  ReadWay way_;
  std::vector<iovec> vector_;
  std::vector<MappingBudget::Pin> pins_;
  void* buffer_ = nullptr;
  uint64_t buffer_bytes_ = 0;
  Descriptor pipe_read_;
  Descriptor pipe_write_;
};

}  // namespace mlfs
