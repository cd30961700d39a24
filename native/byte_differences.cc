#include "byte_differences.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace mlfs {

namespace {

uint64_t word_at(const uint8_t* bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

/// The first differing position from `from` on, or the length.
size_t next_difference(const uint8_t* before, const uint8_t* after, size_t from, size_t length) {
  size_t at = from;
  for (; at + 64 <= length && memcmp(before + at, after + at, 64) == 0;) at += 64;
  for (; at + sizeof(uint64_t) <= length; at += sizeof(uint64_t)) {
    const uint64_t difference = word_at(before + at) ^ word_at(after + at);
    if (difference != 0) return at + static_cast<size_t>(std::countr_zero(difference)) / 8;
  }
  while (at < length && before[at] == after[at]) at++;
  return at;
}

}  // namespace

void differing_runs(const uint8_t* before, const uint8_t* after, size_t length, size_t gap, std::vector<ByteRun>& runs) {
  runs.clear();
  for (size_t start = next_difference(before, after, 0, length); start < length;) {
    size_t last = start;
    for (;;) {
      // Looking back from its far end finds a stretch of more than `gap` equal bytes after `last`.
      size_t probe = std::min(length - 1, last + gap + 1);
      while (probe > last && before[probe] == after[probe]) probe--;
      if (probe == last) break;
      last = probe;
    }
    runs.push_back({start, last + 1});
    start = next_difference(before, after, last + 1, length);
  }
}

}  // namespace mlfs
