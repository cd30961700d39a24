#pragma once

#include <sched.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>

#include "counters.h"

namespace mlfs {

/// Serves a lone reader of small blocks from the reader's own processor.
///
/// A small read is one hand-over to the server and one back. When the two sit on different processors that are otherwise
/// idle, each hand-over wakes a sleeping processor, which on a virtual machine costs ten times the read itself. Pinning a
/// session thread beside the reader does not help: the scheduler sees a busy processor and wakes the reader elsewhere.
/// So there is a thread of policy SCHED_IDLE: pinned to the reader's processor it polls the device, which costs the reader
/// nothing, since it runs only while the reader sleeps; and because a processor that runs only SCHED_IDLE threads counts as
/// idle, the reader is woken right where it was. Meanwhile the ordinary session threads stay away from the device.
///
/// States: off (session threads read the device, this thread sleeps) and on (the reverse). On begins after a run
/// of small reads by one thread in quick succession. Off begins when the requests stop, when another reader or a large
/// read comes, when the bytes come from a disk (then the scheduler places reader and server better, by the disk's interrupts), or when the polling thread gets no processor time: a watching session thread notices within two
/// periods, lifts it to SCHED_OTHER so that it finishes what it holds, and takes over.
class NearServer {
 public:
  /// `serve_one` reads and serves one message; false when the device had none (it is non-blocking while on).
  NearServer(int device, Counters& counters, std::function<bool()> serve_one);
  ~NearServer();
  NearServer(const NearServer&) = delete;
  NearServer& operator=(const NearServer&) = delete;

  /// Reports the sender and size of a READ, and whether the bytes were cached. The thread that serves a READ calls it.
  void observe(uint32_t requester_tid, uint64_t length, bool cached);
  /// Keeps a session thread away from the device while this is on; the thread watches the poller in that time.
  void stay_away();
  void stop();

 private:
  using Clock = std::chrono::steady_clock;

  bool may_return_from_idle();
  void run();
  void turn_on(uint32_t tid);
  void turn_off();
  bool follow(uint32_t tid);

  int device_;
  Counters& counters_;
  std::function<bool()> serve_one_;
  cpu_set_t allowed_;

  std::atomic<bool> on_{false};
  std::atomic<bool> stopping_{false};
  std::atomic<uint64_t> heartbeat_{0};
  std::atomic<uint32_t> last_tid_{0};
  std::atomic<uint32_t> streak_{0};
  std::atomic<int64_t> last_read_ns_{0};
  std::atomic<uint32_t> empty_polls_{0};  // since the last message

  std::mutex mutex_;  // guards the change of state
  std::condition_variable turned_on_;
  std::condition_variable turned_off_;
  int processor_ = -1;
  std::thread thread_;
};

}  // namespace mlfs
