#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mlfs {

/// A run of bytes, end excluded.
struct ByteRun {
  size_t start;
  size_t end;
};

/// Where two byte strings of equal length differ: ascending runs that begin and end with a differing byte. Equal stretches of up to `gap`
/// bytes stay inside a run. src/storage/differing-runs.ts finds the same runs.
void differing_runs(const uint8_t* before, const uint8_t* after, size_t length, size_t gap, std::vector<ByteRun>& runs);

}  // namespace mlfs
