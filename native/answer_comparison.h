#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

namespace mlfs {

/// For finding mistakes (MLFS_INODE_TABLE=compare): what session threads would have answered is kept until the control plane's reply comes,
/// and both are compared. An edit that comes between the two is a difference, too.
class AnswerComparison {
 public:
  void expect(uint32_t opcode, uint64_t unique, const uint8_t* reply, size_t length);
  /// The control plane replies.
  void check(const uint8_t* reply, size_t length);

  struct Totals {
    uint64_t compared = 0;
    uint64_t different = 0;
  };
  Totals totals() const;
  /// Sentences about the first differences since the last call.
  std::vector<std::string> take_differences();

 private:
  struct Expected {
    uint32_t opcode;
    std::vector<uint8_t> reply;
  };

  mutable std::mutex mutex_;  // guards what follows
  std::unordered_map<uint64_t, Expected> expected_;
  Totals totals_;
  std::vector<std::string> differences_;
};

}  // namespace mlfs
