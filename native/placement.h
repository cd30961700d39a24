#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>

#include "counters.h"

namespace mlfs {

/// Where the session threads run. A small read is one hand-over to the server and one back; when the two sit on different
/// processors that are otherwise idle, each hand-over wakes a sleeping processor, which on a virtual machine costs ten
/// times the read itself. So when one thread is the only reader and its reads are small, the session threads move to
/// its processor, and when that changes they may run anywhere again.
class Placement {
 public:
  Placement(bool enabled, Counters& counters);

  /// Says who sent a READ of how much. Called by every session thread.
  void observe(uint32_t requester_tid, uint64_t length);

  /// Moves the calling session thread to where it should wait. `current` is its own memory of where it is.
  void settle(int& current);

  static constexpr int kAnywhere = -1;

 private:
  void follow(uint32_t tid);

  bool enabled_;
  cpu_set_t allowed_;  // what the process may use, as found at start
  std::atomic<uint32_t> last_tid_{0};
  std::atomic<uint32_t> streak_{0};
  std::atomic<int> target_{kAnywhere};
  Counters& counters_;
};

}  // namespace mlfs
