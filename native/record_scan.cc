#include "record_scan.h"

#include <algorithm>
#include <cstring>
#include <optional>

#include "crc32c.h"
#include "whole_io.h"

namespace mlfs {

namespace {

constexpr size_t kHeaderBytes = 40;
constexpr size_t kCheckedFrom = 8;
constexpr uint32_t kMarker = 0x52464c4d;  // "MLFR", little-endian
constexpr uint8_t kFirstKind = 1;
constexpr uint8_t kLastKind = 4;
constexpr uint32_t kUnknown = 0xffffffff;
/// Numbers above it are not exact in a double.
constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;
/// Fits the processor's second-level cache.
constexpr size_t kWindowBytes = 256 * 1024;

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);

template <typename T>
T load(const uint8_t* bytes) {
  T value;
  memcpy(&value, bytes, sizeof value);
  return value;
}

struct Header {
  uint32_t crc;
  uint32_t length;
  uint8_t kind;
  uint64_t sequence;
  uint64_t offset;
  uint32_t batch_records;
  uint32_t not_durable;
};

std::optional<Header> decode(const uint8_t* bytes) {
  if (load<uint32_t>(bytes) != kMarker) return std::nullopt;
  const Header header = {load<uint32_t>(bytes + 4),  load<uint32_t>(bytes + 8),  bytes[12],
                         load<uint64_t>(bytes + 16), load<uint64_t>(bytes + 24), load<uint32_t>(bytes + 32),
                         load<uint32_t>(bytes + 36)};
  if (header.kind < kFirstKind || header.kind > kLastKind) return std::nullopt;
  // Flags and target.
  if (bytes[13] != 0 || load<uint16_t>(bytes + 14) != 0) return std::nullopt;
  if (header.sequence > kMaxSafeInteger || header.offset > kMaxSafeInteger) return std::nullopt;
  return header;
}

/// The part of a file, before `end`, that is in memory.
class Window {
 public:
  Window(int fd, uint64_t end) : fd_(fd), end_(end), bytes_(kWindowBytes) {}

  /// At least `length` bytes at `at`, or null where they cannot be read.
  const uint8_t* at(uint64_t at, size_t length) { return has(at, length) || fill(at, length) ? bytes_.data() + (at - from_) : nullptr; }

  /// How many bytes are there from `at` on, which must be in the window.
  size_t rest(uint64_t at) const { return size_ - static_cast<size_t>(at - from_); }

 private:
  bool has(uint64_t at, size_t length) const { return at >= from_ && at - from_ <= size_ && length <= size_ - (at - from_); }

  bool fill(uint64_t at, size_t length) {
    if (at > end_ || length > end_ - at) return false;
    from_ = at;
    size_ = static_cast<size_t>(std::min<uint64_t>(kWindowBytes, end_ - at));
    if (read_whole(fd_, bytes_.data(), size_, at) == 0) return true;
    size_ = 0;
    return false;
  }

  const int fd_;
  const uint64_t end_;
  std::vector<uint8_t> bytes_;
  uint64_t from_ = 0;
  size_t size_ = 0;
};

bool is_right(Window& window, uint64_t at, const Header& header) {
  const uint64_t end = at + kHeaderBytes + header.length;
  uint32_t crc = 0;
  for (uint64_t checked = at + kCheckedFrom; checked < end;) {
    const uint8_t* bytes = window.at(checked, 1);
    if (bytes == nullptr) return false;
    const size_t length = static_cast<size_t>(std::min<uint64_t>(window.rest(checked), end - checked));
    crc = crc32c(bytes, length, crc);
    checked += length;
  }
  return crc == header.crc;
}

}  // namespace

ScannedRecords scan_records(int fd, uint64_t from, uint64_t to, const ScanLimits& limits) {
  Window window(fd, to);
  ScannedRecords found = {{}, from};
  for (size_t count = 0; count < limits.records && found.end < to && found.end - from < limits.bytes; count++) {
    const uint64_t at = found.end;
    const uint8_t* bytes = window.at(at, kHeaderBytes);
    const auto header = bytes == nullptr ? std::nullopt : decode(bytes);
    if (!header || header->length > to - at - kHeaderBytes || !is_right(window, at, *header)) return found;
    const auto sequence = static_cast<double>(header->sequence);
    const double batch = header->batch_records == 0 ? 0 : sequence - header->batch_records + 1;
    const double durable = header->not_durable == kUnknown ? 0 : std::max(0.0, sequence - 1 - header->not_durable);
    found.rows.insert(found.rows.end(), {static_cast<double>(header->length), static_cast<double>(header->kind), sequence,
                                         static_cast<double>(header->offset), batch, durable});
    found.end = at + kHeaderBytes + header->length;
    if (sequence + 1 >= limits.stop_sequence) return found;
  }
  return found;
}

}  // namespace mlfs
