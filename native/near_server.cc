#include "near_server.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "descriptor.h"

namespace mlfs {

namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

/// Reads up to this size are dominated by the hand-over, larger ones by the copy.
constexpr uint64_t kSmallRead = 64 << 10;
/// A thread that sends this many small reads in a row is a lone reader.
constexpr uint32_t kOnAfter = 16;
/// On its reader's processor the polling thread finds the next request as soon as it runs again. After this many polls in vain
/// the scheduler may have moved the reader, so its processor is looked up again.
constexpr uint32_t kLookAgainAfter = 8;
/// A run is broken by a pause longer than this, and polling ends after one.
constexpr int64_t kPauseNs = 500'000;
/// Interval at which a session thread checks that the polling thread runs.
constexpr milliseconds kWatchPeriod{2};

int64_t now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

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

void set_policy(pthread_t thread, int policy) {
  sched_param parameter = {};
  pthread_setschedparam(thread, policy, &parameter);
}

}  // namespace

NearServer::NearServer(int device, Counters& counters, std::function<bool()> serve_one)
    : device_(device), counters_(counters), serve_one_(std::move(serve_one)) {
  if (sched_getaffinity(0, sizeof allowed_, &allowed_) != 0 || !may_return_from_idle()) return;
  thread_ = std::thread([this] { run(); });
}

NearServer::~NearServer() { stop(); }

/// Going to SCHED_IDLE is free, coming back needs CAP_SYS_NICE or a raised RLIMIT_NICE (sched(7)); without the way
/// back a starved poller could not be rescued, and the whole thing stays off.
bool NearServer::may_return_from_idle() {
  bool returned = false;
  std::thread trial([&] {
    sched_param parameter = {};
    returned = pthread_setschedparam(pthread_self(), SCHED_IDLE, &parameter) == 0 &&
               pthread_setschedparam(pthread_self(), SCHED_OTHER, &parameter) == 0;
  });
  trial.join();
  return returned;
}

void NearServer::observe(uint32_t tid, uint64_t length, bool cached) {
  if (!thread_.joinable()) return;
  int64_t now = now_ns();
  bool goes_on = last_tid_.load(std::memory_order_relaxed) == tid && length <= kSmallRead && cached &&
                 now - last_read_ns_.load(std::memory_order_relaxed) < kPauseNs;
  last_read_ns_.store(now, std::memory_order_relaxed);
  if (!goes_on) {
    last_tid_.store(tid, std::memory_order_relaxed);
    streak_.store(0, std::memory_order_relaxed);
    if (on_.load(std::memory_order_relaxed)) turn_off();
    return;
  }
  uint32_t streak = streak_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (!on_.load(std::memory_order_relaxed)) {
    if (streak >= kOnAfter) turn_on(tid);
  } else if (empty_polls_.load(std::memory_order_relaxed) >= kLookAgainAfter) {
    std::lock_guard lock(mutex_);
    if (on_) follow(tid);
  }
}

void NearServer::turn_on(uint32_t tid) {
  std::lock_guard lock(mutex_);
  if (on_ || stopping_ || !follow(tid)) return;
  fcntl(device_, F_SETFL, O_RDWR | O_NONBLOCK);
  set_policy(thread_.native_handle(), SCHED_IDLE);
  on_ = true;
  counters_.near_periods.fetch_add(1, std::memory_order_relaxed);
  turned_on_.notify_one();
}

void NearServer::turn_off() {
  std::lock_guard lock(mutex_);
  if (!on_) return;
  on_ = false;
  streak_ = 0;
  processor_ = -1;
  fcntl(device_, F_SETFL, O_RDWR);
  set_policy(thread_.native_handle(), SCHED_OTHER);
  pthread_setaffinity_np(thread_.native_handle(), sizeof allowed_, &allowed_);
  turned_off_.notify_all();
}

bool NearServer::follow(uint32_t tid) {
  int processor = processor_of(tid);
  if (processor < 0 || processor >= CPU_SETSIZE || !CPU_ISSET(processor, &allowed_)) return false;
  if (processor == processor_) return true;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(processor, &set);
  if (pthread_setaffinity_np(thread_.native_handle(), sizeof set, &set) != 0) return false;
  processor_ = processor;
  return true;
}

void NearServer::stay_away() {
  if (!on_.load(std::memory_order_relaxed)) return;
  std::unique_lock lock(mutex_);
  while (on_ && !stopping_) {
    uint64_t before = heartbeat_.load(std::memory_order_relaxed);
    if (turned_off_.wait_for(lock, kWatchPeriod, [this] { return !on_ || stopping_; })) return;
    if (heartbeat_.load(std::memory_order_relaxed) != before) continue;
    // The polling thread did not run for a whole period: something else wants its processor.
    lock.unlock();
    turn_off();
    return;
  }
}

void NearServer::run() {
  sigset_t blocked;
  sigfillset(&blocked);
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  pthread_setname_np(pthread_self(), "mlfs-near");
  while (!stopping_) {
    {
      std::unique_lock lock(mutex_);
      turned_on_.wait(lock, [this] { return on_ || stopping_; });
    }
    while (on_.load(std::memory_order_relaxed) && !stopping_.load(std::memory_order_relaxed)) {
      heartbeat_.fetch_add(1, std::memory_order_relaxed);
      if (serve_one_()) {
        empty_polls_.store(0, std::memory_order_relaxed);
        continue;
      }
      empty_polls_.fetch_add(1, std::memory_order_relaxed);
      if (now_ns() - last_read_ns_.load(std::memory_order_relaxed) > kPauseNs) turn_off();
    }
  }
}

void NearServer::stop() {
  if (!thread_.joinable()) return;
  stopping_ = true;
  turn_off();
  {
    std::lock_guard lock(mutex_);
    turned_on_.notify_all();
    turned_off_.notify_all();
  }
  thread_.join();
}

}  // namespace mlfs
