#include "view_opens.h"

#include <fcntl.h>
#include <linux/fuse.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "passthrough.h"

namespace mlfs {

namespace {

/// FMODE_EXEC of linux/fs.h: the kernel opens the file to execute it.
constexpr uint32_t kExecute = 0x20;

/// Since 7.40; the last field of fuse_open_out was padding before.
constexpr uint32_t kPassthrough = 1 << 7;
struct OpenOut {
  uint64_t fh;
  uint32_t open_flags;
  int32_t backing_id;
};

const fuse_in_header& header_of(const uint8_t* message) { return *reinterpret_cast<const fuse_in_header*>(message); }

bool only_reads(uint32_t flags) { return (flags & O_ACCMODE) == O_RDONLY && (flags & (O_TRUNC | kExecute)) == 0; }

}  // namespace

std::shared_ptr<KernelView> ViewOpens::expect(uint64_t first, uint64_t end) {
  auto view = std::make_shared<KernelView>(first, end);
  std::unique_lock lock(views_mutex_);
  views_.push_back(view);
  counting_ = true;
  return view;
}

void ViewOpens::select(KernelView& view, const std::vector<uint64_t>& nodeids) {
  std::vector<std::vector<uint8_t>> others;
  {
    std::lock_guard lock(view.mutex_);
    if (view.state_ != KernelView::State::kExpected) return;
    for (uint64_t nodeid : nodeids) {
      if (view.covers(nodeid)) view.members_[nodeid - view.first_] = true;
    }
    view.state_ = KernelView::State::kSelected;
    auto is_other = [&view](const auto& message) { return !view.has(header_of(message.data()).nodeid); };
    auto from = std::stable_partition(view.waiting_.begin(), view.waiting_.end(),
                                      [&](const auto& message) { return !is_other(message); });
    std::move(from, view.waiting_.end(), std::back_inserter(others));
    view.waiting_.erase(from, view.waiting_.end());
  }
  wake(std::move(others));
}

void ViewOpens::attach(KernelView& view, Descriptor root) {
  std::vector<std::vector<uint8_t>> waited;
  {
    std::lock_guard lock(view.mutex_);
    if (view.state_ != KernelView::State::kSelected) return;
    view.root_ = std::make_shared<const Descriptor>(std::move(root));
    view.state_ = KernelView::State::kAttached;
    waited.swap(view.waiting_);
  }
  wake(std::move(waited));
}

void ViewOpens::stop_waiting(KernelView& view) {
  std::vector<std::vector<uint8_t>> waited;
  {
    std::lock_guard lock(view.mutex_);
    view.waits_ = false;
    waited.swap(view.waiting_);
  }
  wake(std::move(waited));
}

void ViewOpens::suspend(KernelView& view, bool suspended) {
  std::lock_guard lock(view.mutex_);
  view.suspended_ = suspended;
}

void ViewOpens::end(KernelView& view) {
  std::vector<std::vector<uint8_t>> waited;
  {
    std::lock_guard lock(view.mutex_);
    view.state_ = KernelView::State::kEnded;
    view.root_.reset();
    waited.swap(view.waiting_);
  }
  {
    std::unique_lock lock(views_mutex_);
    std::erase_if(views_, [&view](const auto& one) { return one.get() == &view; });
  }
  wake(std::move(waited));
}

void ViewOpens::end_all() {
  {
    std::unique_lock lock(life_);
    ended_ = true;
  }
  std::unique_lock lock(views_mutex_);
  for (auto& view : std::exchange(views_, {})) {
    std::lock_guard of_view(view->mutex_);
    view->state_ = KernelView::State::kEnded;
    view->root_.reset();
    view->waiting_.clear();
  }
}

bool ViewOpens::serve(const uint8_t* message, size_t length) {
  if (!counting_.load(std::memory_order_relaxed)) return false;
  switch (header_of(message).opcode) {
    case FUSE_OPEN:
      return serve_open(message, length);
    case FUSE_RELEASE:
      return serve_release(message, length);
    case FUSE_INTERRUPT:
      return serve_interrupt(message, length);
    default:
      return false;
  }
}

bool ViewOpens::serve_open(const uint8_t* message, size_t length) {
  if (length < sizeof(fuse_in_header) + sizeof(fuse_open_in)) return false;
  const fuse_in_header& header = header_of(message);
  const auto& open_in = *reinterpret_cast<const fuse_open_in*>(message + sizeof header);
  if (!only_reads(open_in.flags)) return false;
  std::shared_ptr<KernelView> view = view_of(header.nodeid);
  if (view != nullptr) {
    std::lock_guard lock(view->mutex_);
    using State = KernelView::State;
    const bool undecided =
        view->state_ == State::kExpected || (view->state_ == State::kSelected && view->has(header.nodeid));
    if (undecided && view->waits_) {
      view->waiting_.emplace_back(message, message + length);
      return true;
    }
  }
  int backing = opened(header.nodeid, view.get());
  if (backing <= 0) {
    remember_forwarded(header.unique, header.nodeid);
    return false;
  }
  struct {
    fuse_out_header header = {};
    OpenOut out = {};
  } reply;
  reply.header = {.len = sizeof reply, .error = 0, .unique = header.unique};
  // A file that is only read has nothing to flush when it is closed.
  reply.out = {.fh = 0, .open_flags = kPassthrough | FOPEN_NOFLUSH, .backing_id = backing};
  if (connection_.reply(reinterpret_cast<const uint8_t*>(&reply), sizeof reply) != 0) released(header.nodeid);
  return true;
}

bool ViewOpens::serve_release(const uint8_t* message, size_t length) {
  if (length < sizeof(fuse_in_header) + sizeof(fuse_release_in)) return false;
  const fuse_in_header& header = header_of(message);
  const auto& release_in = *reinterpret_cast<const fuse_release_in*>(message + sizeof header);
  if (!only_reads(release_in.flags) || !released(header.nodeid)) return false;
  fuse_out_header reply = {.len = sizeof reply, .error = 0, .unique = header.unique};
  connection_.reply(reinterpret_cast<const uint8_t*>(&reply), sizeof reply);
  return true;
}

/// An OPEN that waits has opened nothing yet, so it can end at once. Every other request is not here.
bool ViewOpens::serve_interrupt(const uint8_t* message, size_t length) {
  if (length < sizeof(fuse_in_header) + sizeof(fuse_interrupt_in)) return false;
  const auto& interrupt = *reinterpret_cast<const fuse_interrupt_in*>(message + sizeof(fuse_in_header));
  auto is_meant = [&](const auto& waiting) { return header_of(waiting.data()).unique == interrupt.unique; };
  std::shared_lock lock(views_mutex_);
  for (const auto& view : views_) {
    std::lock_guard of_view(view->mutex_);
    if (std::erase_if(view->waiting_, is_meant) == 0) continue;
    fuse_out_header reply = {.len = sizeof reply, .error = -EINTR, .unique = interrupt.unique};
    connection_.reply(reinterpret_cast<const uint8_t*>(&reply), sizeof reply);
    return true;
  }
  return false;
}

void ViewOpens::answered(uint64_t unique, int error) {
  uint64_t nodeid;
  if (take_forwarded(unique, nodeid) && error != 0) released(nodeid);
}

void ViewOpens::remember_forwarded(uint64_t unique, uint64_t nodeid) {
  std::lock_guard lock(forwarded_mutex_);
  forwarded_.emplace(unique, nodeid);
  forwarded_count_.store(forwarded_.size(), std::memory_order_relaxed);
}

/// Whether this was an OPEN that was remembered.
bool ViewOpens::take_forwarded(uint64_t unique, uint64_t& nodeid) {
  // Whoever answers an OPEN got it from the thread that counted it, so relaxed is enough.
  if (forwarded_count_.load(std::memory_order_relaxed) == 0) return false;
  std::lock_guard lock(forwarded_mutex_);
  auto found = forwarded_.find(unique);
  if (found == forwarded_.end()) return false;
  nodeid = found->second;
  forwarded_.erase(found);
  forwarded_count_.store(forwarded_.size(), std::memory_order_relaxed);
  return true;
}

std::shared_ptr<KernelView> ViewOpens::view_of(uint64_t nodeid) {
  std::shared_lock lock(views_mutex_);
  for (const auto& view : views_) {
    if (view->covers(nodeid)) return view;
  }
  return nullptr;
}

/// Counts an open. The id of its backing file, or 0 if it is plain.
int ViewOpens::opened(uint64_t nodeid, KernelView* view) {
  std::shared_ptr<const Descriptor> root;
  bool member = false;
  if (view != nullptr) {
    std::lock_guard lock(view->mutex_);
    member = view->has(nodeid);
    if (member && !view->suspended_) root = view->root_;
  }
  Shard& shard = shard_of(nodeid);
  std::lock_guard lock(shard.mutex);
  Period& period = shard.open[nodeid];
  if (period.opens == 0 && root != nullptr) {
    period.backing = open_backing(root->get(), nodeid);
    if (period.backing == 0) counters_.failures.fetch_add(1, std::memory_order_relaxed);
  }
  period.opens++;
  if (period.backing > 0) {
    counters_.opens.fetch_add(1, std::memory_order_relaxed);
    counters_.open_files.fetch_add(1, std::memory_order_relaxed);
  } else if (member) {
    counters_.plain_opens.fetch_add(1, std::memory_order_relaxed);
  }
  return period.backing;
}

/// Counts a close. Whether the file was open with a backing file.
bool ViewOpens::released(uint64_t nodeid) {
  Shard& shard = shard_of(nodeid);
  std::lock_guard lock(shard.mutex);
  auto found = shard.open.find(nodeid);
  if (found == shard.open.end()) return false;
  Period& period = found->second;
  const int backing = period.backing;
  if (backing > 0) counters_.open_files.fetch_sub(1, std::memory_order_relaxed);
  if (--period.opens == 0) {
    if (backing > 0) close_backing_file(connection_.device, backing);
    shard.open.erase(found);
  }
  return backing > 0;
}

int ViewOpens::open_backing(int root, uint64_t nodeid) {
  char name[17];
  snprintf(name, sizeof name, "%08" PRIx64, nodeid);
  Descriptor file(openat(root, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!file) return 0;
  return std::max(0, open_backing_file(connection_.device, file.get()));
}

void ViewOpens::wake(std::vector<std::vector<uint8_t>> messages) {
  std::shared_lock lock(life_);
  if (ended_) return;
  for (auto& message : messages) {
    if (!serve(message.data(), message.size())) connection_.forward(std::move(message));
  }
}

}  // namespace mlfs
