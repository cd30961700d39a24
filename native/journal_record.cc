#include "journal_record.h"

#include <algorithm>
#include <cstring>

#include "crc32c.h"

namespace mlfs {

namespace {

/// Every machine that Node runs on with Linux is little-endian.
template <class Number>
void put(uint8_t* header, size_t at, Number number) {
  memcpy(header + at, &number, sizeof number);
}

constexpr size_t kCheckedFrom = 8;

}  // namespace

void encode_write_record(uint8_t header[kRecordHeaderBytes], uint64_t sequence, uint64_t offset, const uint8_t* payload, uint32_t length,
                         uint64_t durable) {
  memset(header, 0, kRecordHeaderBytes);
  memcpy(header, "MLFR", 4);
  put<uint32_t>(header, 8, length);
  header[12] = 1;
  put<uint64_t>(header, 16, sequence);
  put<uint64_t>(header, 24, offset);
  put<uint32_t>(header, 36, static_cast<uint32_t>(std::min<uint64_t>(sequence - 1 - durable, UINT32_MAX)));
  const uint32_t crc = crc32c(header + kCheckedFrom, kRecordHeaderBytes - kCheckedFrom, 0);
  put<uint32_t>(header, 4, crc32c(payload, length, crc));
}

}  // namespace mlfs
