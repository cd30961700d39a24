#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <vector>

#include "descriptor.h"

namespace mlfs {

/// A range of nodeids, some of whose files are also files of a kernel view: a mount without a path whose files have the nodeid in
/// hexadecimal as their names (view_mount.h).
///
///   expected ──► selected ──► attached          ended can follow each of them
///
/// While it is expected, every OPEN in the range waits; when it is known which files are in the view, only their OPENs wait. After
/// stop_waiting none waits: the data plane serves until the view is attached.
class KernelView {
 public:
  KernelView(uint64_t first, uint64_t end) : first_(first), members_(end - first) {}
  bool covers(uint64_t nodeid) const { return nodeid >= first_ && nodeid - first_ < members_.size(); }

 private:
  friend class ViewOpens;
  enum class State : uint8_t { kExpected, kSelected, kAttached, kEnded };

  bool has(uint64_t nodeid) const { return members_[nodeid - first_]; }

  const uint64_t first_;
  std::mutex mutex_;  // guards what follows, except that an attached view's members and root do not change until it has ended
  State state_ = State::kExpected;
  bool waits_ = true;  // whether OPENs wait for the next state
  bool suspended_ = false;
  std::vector<bool> members_;
  std::shared_ptr<const Descriptor> root_;
  std::vector<std::vector<uint8_t>> waiting_;
};

/// Answers OPEN for reading and RELEASE of the files of kernel views: the kernel then reads such a file by itself (FUSE passthrough), and no
/// READ arrives.
///
/// The kernel allows no mixture: while an inode is open, either all of its opens have the same backing file, or none has one; a conflict
/// makes open(2) fail with EIO. So the opens of every inode are counted, whoever answers them, and the first open decides until the last
/// close: if the file is not in a view then, or its backing file cannot be opened, all of these opens are plain.
class ViewOpens {
 public:
  struct Connection {
    int device;
    /// Sends a whole reply; 0 or an errno.
    std::function<int(const uint8_t* message, size_t length)> reply;
    /// Hands a message that waited to the control plane.
    std::function<void(std::vector<uint8_t> message)> forward;
  };
  struct Counters {
    std::atomic<uint64_t> opens{0};        ///< answered with a backing file
    std::atomic<uint64_t> plain_opens{0};  ///< of files in a view that the data plane serves nevertheless
    std::atomic<uint64_t> failures{0};     ///< backing files that could not be opened
    std::atomic<uint64_t> open_files{0};   ///< open now with a backing file
  };

  explicit ViewOpens(Connection connection) : connection_(std::move(connection)) {}
  ViewOpens(const ViewOpens&) = delete;
  ViewOpens& operator=(const ViewOpens&) = delete;

  /// Makes the OPENs of [first, end) wait for a view. Before the first call nothing is counted, so it comes before the session starts.
  std::shared_ptr<KernelView> expect(uint64_t first, uint64_t end);
  /// The view will have these files.
  void select(KernelView& view, const std::vector<uint64_t>& nodeids);
  /// The view is there: its files are served from it from now on.
  void attach(KernelView& view, Descriptor root);
  /// The view takes too long: the OPENs that wait go on as plain ones, and no later one waits. The view may still be attached.
  void stop_waiting(KernelView& view);
  /// While suspended, files that are not open yet are plain.
  void suspend(KernelView& view, bool suspended);
  /// There is no such view any more: files that are not open yet are plain, and nothing waits for it. Files that are open stay what they are.
  void end(KernelView& view);
  /// The connection is over. Nothing of it is used any more when this returns.
  void end_all();

  /// Whether the message was answered here, or waits here. Called by session threads.
  bool serve(const uint8_t* message, size_t length);
  /// A request was answered elsewhere: an OPEN that was refused opens nothing.
  void answered(uint64_t unique, int error);

  const Counters& counters() const { return counters_; }

 private:
  /// From the first open of an inode until its last close.
  struct Period {
    uint64_t opens = 0;
    int backing = 0;  // above 0: the id of the backing file
  };
  struct Shard {
    std::mutex mutex;
    std::unordered_map<uint64_t, Period> open;
  };

  bool serve_open(const uint8_t* message, size_t length);
  bool serve_release(const uint8_t* message, size_t length);
  bool serve_interrupt(const uint8_t* message, size_t length);
  std::shared_ptr<KernelView> view_of(uint64_t nodeid);
  int opened(uint64_t nodeid, KernelView* view);
  bool released(uint64_t nodeid);
  int open_backing(int root, uint64_t nodeid);
  void wake(std::vector<std::vector<uint8_t>> messages);
  void remember_forwarded(uint64_t unique, uint64_t nodeid);
  bool take_forwarded(uint64_t unique, uint64_t& nodeid);
  Shard& shard_of(uint64_t nodeid) { return shards_[nodeid % shards_.size()]; }

  const Connection connection_;
  Counters counters_;
  std::atomic<bool> counting_{false};
  /// Held shared while the connection is used by others than session threads.
  std::shared_mutex life_;
  bool ended_ = false;
  std::shared_mutex views_mutex_;  // guards views_
  std::vector<std::shared_ptr<KernelView>> views_;
  std::array<Shard, 16> shards_;
  std::mutex forwarded_mutex_;  // guards forwarded_
  /// The plain OPENs that are not answered yet: unique → nodeid.
  std::unordered_map<uint64_t, uint64_t> forwarded_;
  /// The size of forwarded_, so that the other replies need no mutex. An OPEN is counted before anybody can answer it, and until it is found
  /// here, so the thread that answers it never sees 0.
  std::atomic<size_t> forwarded_count_{0};
};

}  // namespace mlfs
