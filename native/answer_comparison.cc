#include "answer_comparison.h"

#include <linux/fuse.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace mlfs {

namespace {

/// More differences say no more.
constexpr size_t kMostDifferences = 20;
/// Replies to interrupted requests may never come.
constexpr size_t kMostExpected = 65536;

std::string hex(const uint8_t* bytes, size_t length) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (size_t i = 0; i < length; i++) {
    text += digits[bytes[i] >> 4];
    text += digits[bytes[i] & 15];
  }
  return text;
}

}  // namespace

void AnswerComparison::expect(uint32_t opcode, uint64_t unique, const uint8_t* reply, size_t length) {
  std::lock_guard lock(mutex_);
  if (expected_.size() >= kMostExpected) expected_.clear();
  expected_[unique] = {opcode, {reply, reply + length}};
}

void AnswerComparison::check(const uint8_t* reply, size_t length) {
  fuse_out_header header;
  if (length < sizeof header) return;
  memcpy(&header, reply, sizeof header);
  std::lock_guard lock(mutex_);
  const auto found = expected_.find(header.unique);
  if (found == expected_.end()) return;
  const auto [opcode, expected] = std::move(found->second);
  expected_.erase(found);
  totals_.compared++;
  if (std::equal(expected.begin(), expected.end(), reply, reply + length)) return;
  totals_.different++;
  if (differences_.size() == kMostDifferences) return;
  differences_.push_back("opcode " + std::to_string(opcode) + ": " + hex(expected.data(), expected.size()) +
                         " from the inode table, " + hex(reply, length) + " from JavaScript");
}

AnswerComparison::Totals AnswerComparison::totals() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

std::vector<std::string> AnswerComparison::take_differences() {
  std::lock_guard lock(mutex_);
  return std::exchange(differences_, {});
}

}  // namespace mlfs
