#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

namespace mlfs {

/// What the control plane has to hear about references of the kernel: session threads report, it takes what there is. Only inodes with
/// InodeRow::kTell come here, and only for their first and last references.
class ReferenceNews {
 public:
  /// Called from session threads when there is news of forgotten inodes after there was none. Must not block.
  using Arrived = std::function<void()>;

  void on_forgotten(Arrived arrived) {
    std::lock_guard lock(mutex_);
    arrived_ = std::move(arrived);
  }

  /// Called before news of remembered inodes is taken, while `has_remembered` still says so to every other thread. Must not block.
  void before_remembered(std::function<void()> before) {
    std::lock_guard lock(mutex_);
    before_remembered_ = std::move(before);
  }

  /// Counts a reference; true if it is the first. That it is the first and the news of it are one step: whoever takes the news knows of every inode that another thread
  /// saw referenced before.
  bool add_reference(uint32_t nodeid, std::atomic<uint64_t>& references) {
    std::lock_guard lock(mutex_);
    remembered_.push_back(nodeid);
    const bool is_first = references.fetch_add(1, std::memory_order_seq_cst) == 0;
    if (!is_first) remembered_.pop_back();
    return is_first;
  }

  void last_reference(uint32_t nodeid) {
    std::lock_guard lock(mutex_);
    forgotten_.push_back(nodeid);
    if (forgotten_.size() == 1 && arrived_) arrived_();
  }

  std::vector<uint32_t> take_remembered() {
    std::lock_guard lock(mutex_);
    if (!remembered_.empty() && before_remembered_) before_remembered_();
    return std::exchange(remembered_, {});
  }
  bool has_remembered() {
    std::lock_guard lock(mutex_);
    return !remembered_.empty();
  }
  std::vector<uint32_t> take_forgotten() {
    std::lock_guard lock(mutex_);
    return std::exchange(forgotten_, {});
  }

 private:
  std::mutex mutex_;  // guards what follows
  std::vector<uint32_t> remembered_;
  std::vector<uint32_t> forgotten_;
  Arrived arrived_;
  std::function<void()> before_remembered_;
};

}  // namespace mlfs
