#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace mlfs {

/// Sends invalidations to the kernel from a separate thread: an invalidation waits for locked pages, and those are unlocked
/// by replies that other threads send. Notifications are sent one after the other, in the order in which they were queued.
class Notifier {
 public:
  /// 0, or the errno of the write; ENOENT: the kernel does not know the inode. Called from the notification thread.
  using Done = std::function<void(int error)>;

  explicit Notifier(int device) : device_(device) {}
  ~Notifier() { stop(); }
  Notifier(const Notifier&) = delete;
  Notifier& operator=(const Notifier&) = delete;

  /// Queues a whole message. The first one starts the thread. After `stop` a message is not sent and fails with ENODEV.
  void notify(std::vector<uint8_t> message, Done done);
  /// Sends the queued messages and ends the thread. The connection should be over by then: a notification that waits for a page whose
  /// request nobody answers ends only with the connection.
  void stop();

 private:
  struct Notification {
    std::vector<uint8_t> message;
    Done done;
  };

  void run();

  int device_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable wanted_;
  std::deque<Notification> queue_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace mlfs
