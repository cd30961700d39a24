#include "notifier.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

namespace mlfs {

void Notifier::notify(std::vector<uint8_t> message, Done done) {
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) {
      queue_.push_back({std::move(message), std::move(done)});
      if (!thread_.joinable()) thread_ = std::thread([this] { run(); });
      wanted_.notify_one();
      return;
    }
  }
  done(ENODEV);
}

void Notifier::stop() {
  std::thread ending;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    ending = std::move(thread_);
    wanted_.notify_one();
  }
  if (ending.joinable()) ending.join();
}

void Notifier::run() {
  // The process's own signals are for the main thread.
  sigset_t blocked;
  sigfillset(&blocked);
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  pthread_setname_np(pthread_self(), "mlfs-notify");

  std::unique_lock lock(mutex_);
  for (;;) {
    wanted_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Notification next = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    ssize_t written = write(device_, next.message.data(), next.message.size());
    next.done(written < 0 ? errno : 0);
    lock.lock();
  }
}

}  // namespace mlfs
