#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

namespace mlfs {

class WriteLane;

/// What the control plane says of a handle whose WRITEs need no decision: the file is one run of an image, and its size is fixed.
struct WriteGrant {
  uint64_t nodeid;
  uint64_t offset;  // in the image
  uint64_t size;
  /// Files of the tree that show some of the same bytes: if the kernel refers to one of them, the control plane answers.
  std::vector<uint32_t> others;
  std::shared_ptr<WriteLane> lane;
  /// Nothing else that the control plane knows shows these bytes.
  mutable std::atomic<bool> alone;
};

/// The grants by file handle. A handle belongs to one inode, and joined file systems use the same numbers: so a grant is looked up by both.
class WriteGrants {
 public:
  std::shared_ptr<const WriteGrant> find(uint64_t nodeid, uint64_t handle) const {
    if (empty_.load(std::memory_order_acquire)) return nullptr;
    std::shared_lock lock(mutex_);
    auto found = grants_.find(handle);
    return found == grants_.end() || found->second->nodeid != nodeid ? nullptr : found->second;
  }

  void add(uint64_t handle, std::shared_ptr<const WriteGrant> grant) {
    std::lock_guard lock(mutex_);
    grants_[handle] = std::move(grant);
    empty_.store(false, std::memory_order_release);
  }

  void remove(uint64_t handle) {
    std::lock_guard lock(mutex_);
    grants_.erase(handle);
    empty_.store(grants_.empty(), std::memory_order_release);
  }

  /// The kernel may now refer to other inodes that show bytes of some grants.
  void none_alone() {
    std::shared_lock lock(mutex_);
    for (const auto& [handle, grant] : grants_) grant->alone.store(false, std::memory_order_seq_cst);
  }

  void set_alone(uint64_t handle) {
    std::shared_lock lock(mutex_);
    auto found = grants_.find(handle);
    if (found != grants_.end()) found->second->alone.store(true, std::memory_order_seq_cst);
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<uint64_t, std::shared_ptr<const WriteGrant>> grants_;
  std::atomic<bool> empty_{true};
};

}  // namespace mlfs
