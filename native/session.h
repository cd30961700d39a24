#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "answer_comparison.h"
#include "backing_file.h"
#include "counters.h"
#include "descriptor.h"
#include "epochs.h"
#include "file_layout.h"
#include "inode_table.h"
#include "near_server.h"
#include "notifier.h"
#include "published_table.h"
#include "read_reply.h"
#include "view_opens.h"
#include "write_grants.h"
#include "write_lane.h"

namespace mlfs {

struct SessionOptions {
  unsigned threads = 2;
  /// Maximum size of a WRITE as agreed with the kernel, without its header.
  uint64_t max_write_bytes = uint64_t{1} << 20;
  /// Serve a lone reader of small blocks from its own processor.
  bool near_server = true;
  /// Leave every request to the control plane, and compare its replies with what the inode table says.
  bool compare = false;
};

/// One connection to the kernel: threads that read requests from the device, answer READ of published inodes and what the inode table knows,
/// and hand every other message to the control plane. No thread ever waits for the control plane. READ with a file handle is the control
/// plane's too, because such a handle may show other bytes than the inode, unless the handle has a grant to write in place.
class Session {
 public:
  /// Called from session threads with a whole request message. Must not block.
  using MessageHandler = std::function<void(std::vector<uint8_t> message)>;
  /// Called from session threads. Must not block.
  using WrittenHandler = std::function<void(uint64_t unique, uint64_t nodeid, uint32_t bytes)>;
  /// Called once, from the last session thread, when the connection is over. 0 is an ordinary unmount.
  using EndHandler = std::function<void(int error)>;

  Session(Descriptor device, const SessionOptions& options);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  void start(MessageHandler on_message, EndHandler on_end);
  /// Ends the threads without an unmount and waits for them.
  void stop();

  /// Sends one whole reply. Returns 0 or an errno; ENOENT means that the request was aborted meanwhile.
  int reply(const uint8_t* message, size_t length);

  /// Registers a file that the kernel may read and write by itself (FUSE passthrough, Linux 6.9). Returns an id above 0 for replies to
  /// OPEN and CREATE, or a negative errno: EPERM without CAP_SYS_ADMIN, ELOOP when the file's file system lies on another.
  int open_backing(int fd);
  /// Call this when no reply names the id any more. Files opened through it stay open.
  void close_backing(int id);

  /// A file for layouts and pieces to point to.
  BackingFile* add_file(Descriptor fd, uint64_t size);
  /// Closes a file once no reader can hold it. Nothing published may point to it any more.
  void remove_file(BackingFile* file);

  /// nodeid → layout: READ of these inodes is answered here.
  PublishedTable<FileLayout>& layouts() { return layouts_; }
  /// What requests about names and attributes are answered from.
  InodeTable& inodes() { return inodes_; }

  /// Switches chunks of an image's overlay. Each READ sees all of the change or nothing of it. Only one thread
  /// at a time may change the same image.
  void switch_overlay(BackingFile& image, std::vector<ChunkChange> changes);

  /// Makes the lane of an image that can be written to. `on_written`: a WRITE was carried out, and the control plane answers it.
  std::shared_ptr<WriteLane> make_lane(BackingFile& image, WrittenHandler on_written, std::function<void()> on_logged);
  /// The lane is closed, and no grant leads to it any more.
  void remove_lane(const std::shared_ptr<WriteLane>& lane);
  /// fh → how WRITEs of it are carried out here.
  WriteGrants& grants() { return grants_; }

  Notifier& notifier() { return notifier_; }
  /// Shared with the threads that attach views, which may outlive the session.
  const std::shared_ptr<ViewOpens>& view_opens() const { return view_opens_; }
  /// Null unless the options say so.
  AnswerComparison* comparison() { return comparison_.get(); }
  const Counters& counters() const { return counters_; }

 private:
  struct Worker {
    std::thread thread;
    std::atomic<bool> ended{false};
  };

  void run(size_t index);
  int serve(size_t index);
  int send(const uint8_t* message, size_t length);
  void forward(std::vector<uint8_t> message);
  bool is_alone(const WriteGrant& grant) const;
  bool writes_pending() const;
  class Server;

  Descriptor device_;
  SessionOptions options_;
  Counters counters_;
  std::unique_ptr<AnswerComparison> comparison_;
  std::mutex files_mutex_;
  Epochs epochs_;
  std::vector<std::unique_ptr<BackingFile>> files_;
  PublishedTable<FileLayout> layouts_;
  InodeTable inodes_;
  /// Odd while an overlay is being switched. A reader that met a switch reads again.
  std::atomic<uint64_t> switches_{0};
  /// Two images may be switched at a time, one by the control plane and one by its write lane: `switches_` counts one switch after the other.
  std::mutex switching_;
  WriteGrants grants_;
  mutable std::mutex lanes_mutex_;  // guards lanes_
  std::vector<std::shared_ptr<WriteLane>> lanes_;
  std::atomic<bool> has_lanes_{false};
  Notifier notifier_;
  std::shared_ptr<ViewOpens> view_opens_;
  MessageHandler on_message_;
  EndHandler on_end_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::unique_ptr<NearServer> near_;
  std::atomic<size_t> running_{0};
  std::atomic<int> end_error_{0};
  std::atomic<bool> stopping_{false};
};

}  // namespace mlfs
