#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlfs {

/// Numbers of each record in `ScannedRecords::rows`: payload size, kind, sequence, offset, batch, durable, as in src/storage/journal/record.ts.
inline constexpr size_t kScannedFields = 6;

struct ScanLimits {
  size_t records;
  /// The last record of a scan may extend beyond it.
  uint64_t bytes;
  /// The scan ends where the record with this sequence number is to come.
  double stop_sequence;
};

struct ScannedRecords {
  std::vector<double> rows;
  /// Offset after the last record of `rows`.
  uint64_t end;
};

/// The whole records of a journal segment that follow each other from `from` on, before `to`: marker, fields and CRC-32C are right. Ends before
/// the first that is not whole, or cannot be read; the caller looks why. Trusts nothing in the file.
ScannedRecords scan_records(int fd, uint64_t from, uint64_t to, const ScanLimits& limits);

}  // namespace mlfs
