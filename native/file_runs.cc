#include "file_runs.h"

#include <algorithm>

#include "crc32.h"
#include "whole_io.h"

namespace mlfs {

namespace {

/// Fits the processor's second-level cache. A larger buffer copies no faster.
constexpr uint64_t kPieceBytes = 256 * 1024;

/// Calls `piece` with the offset in the run and the length of each piece, until it returns an errno.
template <typename Piece>
int for_each_piece(const FileRun& run, Piece piece) {
  for (uint64_t done = 0; done < run.length; done += kPieceBytes) {
    const int error = piece(done, static_cast<size_t>(std::min(kPieceBytes, run.length - done)));
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace

int copy_runs(int to, const std::vector<FileRun>& runs) {
  std::vector<uint8_t> buffer(kPieceBytes);
  for (const FileRun& run : runs) {
    const int error = for_each_piece(run, [&](uint64_t at, size_t length) {
      const int unread = read_whole(run.from, buffer.data(), length, run.from_offset + at);
      return unread != 0 ? unread : write_whole(to, buffer.data(), length, run.to_offset + at);
    });
    if (error != 0) return error;
  }
  return 0;
}

int crc32_differences(int to, const std::vector<FileRun>& runs, const std::vector<double>& groups,
                      std::vector<uint32_t>& differences) {
  std::vector<uint8_t> before(kPieceBytes);
  std::vector<uint8_t> after(kPieceBytes);
  for (size_t i = 0; i < runs.size(); i++) {
    const FileRun& run = runs[i];
    if (i == 0 || groups[i] != groups[i - 1]) {
      differences.push_back(0);
    } else {
      const FileRun& last = runs[i - 1];
      differences.back() = crc32_shift(differences.back(), run.to_offset - (last.to_offset + last.length));
    }
    const int error = for_each_piece(run, [&](uint64_t at, size_t length) {
      int unread = read_whole(run.from, after.data(), length, run.from_offset + at);
      if (unread == 0) unread = read_whole(to, before.data(), length, run.to_offset + at);
      if (unread == 0) differences.back() = crc32_difference(before.data(), after.data(), length, differences.back());
      return unread;
    });
    if (error != 0) return error;
  }
  return 0;
}

}  // namespace mlfs
