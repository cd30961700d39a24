#pragma once

#include <linux/fuse.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "answer_tally.h"
#include "inode_table.h"
#include "tree_reply.h"

namespace mlfs {

/// Answers requests about inodes of the table with exactly the bytes that the control plane would send (src/fuse/handlers). One for each
/// session thread. A message's numbers are never believed: whatever is not a plain question about what the table has goes to the control
/// plane, which also knows the right refusal for what is malformed.
class TreeRequests {
 public:
  TreeRequests(InodeTable& table, AnswerTally& tally) : table_(table), tally_(tally) {}

  enum class Outcome {
    kForward,   ///< for the control plane
    kReply,     ///< `reply` is to be sent
    kFinished,  ///< there is nothing to send
  };

  /// Serves one message. Of a BATCH_FORGET the part that is for the control plane stays in `message`, which becomes shorter. This and what
  /// follows must be called within one Epochs::Guard.
  Outcome serve(uint8_t* message, size_t& length);
  const TreeReply& reply() const { return reply_; }
  /// The reply is about to be sent. The references that it gives are counted already, each before the row was read: so whoever changes an
  /// inode and sees no reference knows that a later reply has the new attributes.
  void count();
  /// The kernel does not get the reply.
  void take_back_references();

 private:
  Outcome dispatch(uint8_t* message, size_t& length);
  Outcome lookup();
  Outcome getattr();
  Outcome statx();
  Outcome access();
  Outcome open();
  Outcome release();
  Outcome opendir();
  Outcome readdir(bool plus);
  Outcome statfs();
  Outcome getxattr();
  Outcome listxattr();
  Outcome forget();
  Outcome forget_batch(uint8_t* message, size_t& length);

  /// The number at byte `at` of the body. Requires that it is there.
  template <class Number>
  Number field(size_t at) const;
  /// The NUL-terminated name at byte `at` of the body; none if it has no end or is too long.
  std::optional<std::string_view> name(size_t at) const;

  Outcome empty();
  Outcome error(int error);
  template <class Body>
  Outcome with(const Body& body);

  InodeTable& table_;
  AnswerTally& tally_;
  TreeReply reply_;
  std::vector<uint32_t> referenced_;

  // Of the present request.
  fuse_in_header header_ = {};
  const uint8_t* body_ = nullptr;
  size_t body_bytes_ = 0;
  const TreeDefaults* defaults_ = nullptr;
  const InodeRow* row_ = nullptr;
};

}  // namespace mlfs
