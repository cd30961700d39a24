#include "placement.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "descriptor.h"

namespace mlfs {

namespace {

/// Reads up to this size are dominated by the hand-over, larger ones by the copy.
constexpr uint64_t kSmallRead = 64 << 10;
/// So many small reads in a row from one thread make it the only reader.
constexpr uint32_t kFollowAfter = 32;
/// The scheduler may move the requester: look again after so many reads.
constexpr uint32_t kLookAgainEvery = 4096;

/// The processor that thread `tid` ran on last: field 39 of /proc/TID/stat (proc_pid_stat(5)). -1 if unknown.
int processor_of(uint32_t tid) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%u/stat", tid);
  Descriptor fd(open(path, O_RDONLY | O_CLOEXEC));
  if (!fd) return -1;
  char text[1024];
  ssize_t length = read(fd.get(), text, sizeof text - 1);
  if (length <= 0) return -1;
  text[length] = '\0';
  // The command name may hold spaces and parentheses: fields are counted from the last ')', which ends field 2.
  const char* at = strrchr(text, ')');
  for (int field = 2; at != nullptr && field < 39; field++) at = strchr(at + 1, ' ');
  return at == nullptr ? -1 : atoi(at + 1);
}

}  // namespace

Placement::Placement(bool enabled, Counters& counters) : enabled_(enabled), counters_(counters) {
  CPU_ZERO(&allowed_);
  if (sched_getaffinity(0, sizeof allowed_, &allowed_) != 0) enabled_ = false;
}

void Placement::observe(uint32_t requester_tid, uint64_t length) {
  if (!enabled_) return;
  bool same = last_tid_.load(std::memory_order_relaxed) == requester_tid;
  if (!same || length > kSmallRead) {
    last_tid_.store(requester_tid, std::memory_order_relaxed);
    streak_.store(0, std::memory_order_relaxed);
    target_.store(kAnywhere, std::memory_order_relaxed);
    return;
  }
  uint32_t streak = streak_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (streak == kFollowAfter || streak % kLookAgainEvery == 0) follow(requester_tid);
}

void Placement::follow(uint32_t tid) {
  int processor = processor_of(tid);
  if (processor < 0 || processor >= CPU_SETSIZE || !CPU_ISSET(processor, &allowed_)) return;
  if (target_.exchange(processor, std::memory_order_relaxed) != processor) {
    counters_.placements.fetch_add(1, std::memory_order_relaxed);
  }
}

void Placement::settle(int& current) {
  int target = target_.load(std::memory_order_relaxed);
  if (target == current) return;
  cpu_set_t set;
  if (target == kAnywhere) {
    set = allowed_;
  } else {
    CPU_ZERO(&set);
    CPU_SET(target, &set);
  }
  if (sched_setaffinity(0, sizeof set, &set) == 0) current = target;
}

}  // namespace mlfs
