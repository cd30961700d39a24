#pragma once

#include <cstdint>
#include <vector>

namespace mlfs {

/// Bytes of one file that belong at a place of another file.
struct FileRun {
  int from;
  uint64_t from_offset;
  uint64_t to_offset;
  uint64_t length;
};

/// Copies the runs into `to`, one after the other, through a buffer of 256 KiB. Returns 0 or an errno; then some of them may be copied.
int copy_runs(int to, const std::vector<FileRun>& runs);

/// The XOR of the CRC-32 of a range of `to` and of the same range with runs in their places. Ascending runs of one group share a range, which
/// extends from the first of them to the last; `groups` has a number for each run, and equal ones that follow each other are a group. Returns 0
/// or an errno.
int crc32_differences(int to, const std::vector<FileRun>& runs, const std::vector<double>& groups,
                      std::vector<uint32_t>& differences);

}  // namespace mlfs
