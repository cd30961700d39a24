#include "session.h"

#include <linux/fuse.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "attribute_reply.h"
#include "passthrough.h"
#include "tree_requests.h"

namespace mlfs {

namespace {

/// Interrupts a session thread's read(2) of the device. Its handler does nothing: the read returns EINTR.
int wake_signal() { return SIGRTMIN + 3; }

void install_wake_signal() {
  struct sigaction action = {};
  action.sa_handler = [](int) {};
  sigaction(wake_signal(), &action, nullptr);
}

}  // namespace

/// The buffers and state with which one thread reads and serves messages.
class Session::Server {
 public:
  Server(Session& session, size_t reader)
      : session_(session),
        reader_(reader),
        read_reply_(session.device_.get(), session.counters_),
        tree_requests_(session.inodes_, session.counters_.answers),
        // FUSE_MIN_READ_BUFFER, or a WRITE with its headers.
        buffer_(std::max<size_t>(FUSE_MIN_READ_BUFFER, session.options_.max_write_bytes + 4096)) {}

  /// Reads one message and serves it. 0, or the errno of read(2).
  int serve_one() {
    ssize_t length = read(session_.device_.get(), buffer_.data(), buffer_.size());
    if (length < 0) return errno;
    if (static_cast<size_t>(length) < sizeof(fuse_in_header)) return 0;
    session_.counters_.requests.fetch_add(1, std::memory_order_relaxed);
    auto left = static_cast<size_t>(length);
    if (serve_read(left) || serve_write(left) || session_.view_opens_->serve(buffer_.data(), left) || serve_tree(left)) return 0;
    session_.forward(std::vector<uint8_t>(buffer_.data(), buffer_.data() + left));
    return 0;
  }

 private:
  /// Answers a READ of a published inode; false for every other message.
  bool serve_read(size_t length) {
    const auto& header = *reinterpret_cast<const fuse_in_header*>(buffer_.data());
    if (header.opcode != FUSE_READ || length < sizeof(fuse_in_header) + sizeof(fuse_read_in)) return false;
    const auto began = ReadTally::Clock::now();
    const auto& read_in = *reinterpret_cast<const fuse_read_in*>(buffer_.data() + sizeof(fuse_in_header));
    // A file that is written in place shows through every handle what its inode shows.
    if (read_in.fh != 0 && session_.grants_.find(header.nodeid, read_in.fh) == nullptr) return false;
    if (!fill(header.nodeid, read_in.offset, read_in.size)) return false;
    read_reply_.send(header.unique, began);
    if (session_.near_) session_.near_->observe(header.pid, read_in.size, read_reply_.was_cached());
    return true;
  }

  /// Carries out a WRITE of a handle that has a grant; false for every other message.
  bool serve_write(size_t length) {
    const auto& header = *reinterpret_cast<const fuse_in_header*>(buffer_.data());
    if (header.opcode != FUSE_WRITE || length < sizeof(fuse_in_header) + sizeof(fuse_write_in)) return false;
    const auto& write_in = *reinterpret_cast<const fuse_write_in*>(buffer_.data() + sizeof(fuse_in_header));
    const auto grant = session_.grants_.find(header.nodeid, write_in.fh);
    return grant != nullptr && grant->lane->serve(reader_, buffer_.data(), length, grant);
  }

  /// Reads what is published of an inode; false when it is for the control plane.
  bool fill(uint64_t nodeid, uint64_t offset, uint64_t length) {
    for (int attempt = 0; attempt < kAttempts; attempt++) {
      uint64_t switches = session_.switches_.load(std::memory_order_seq_cst);
      if (switches % 2 == 1) continue;
      Epochs::Guard guard(session_.epochs_, reader_);
      const FileLayout* layout = session_.layouts_.find(nodeid);
      if (layout != nullptr) {
        if (!layout->is_native(offset, length)) return false;
        read_reply_.fill(*layout, offset, length);
      } else {
        const InodeRow* row = session_.inodes_.find(nodeid);
        if (row == nullptr || row->file == nullptr || !row->has(InodeRow::kReadable)) return false;
        read_reply_.fill(*row, offset, length);
      }
      if (session_.switches_.load(std::memory_order_seq_cst) == switches) return true;
    }
    return false;
  }

  /// Answers what the inode table knows; false for every other message. `length` becomes that of the part that is left.
  bool serve_tree(size_t& length) {
    const auto opcode = reinterpret_cast<const fuse_in_header*>(buffer_.data())->opcode;
    if (shows_attributes(opcode) && session_.writes_pending()) return false;
    Epochs::Guard guard(session_.epochs_, reader_);
    const TreeRequests::Outcome outcome = tree_requests_.serve(buffer_.data(), length);
    if (outcome != TreeRequests::Outcome::kReply) return outcome == TreeRequests::Outcome::kFinished;
    const TreeReply& reply = tree_requests_.reply();
    if (session_.comparison_) {
      const auto& header = *reinterpret_cast<const fuse_in_header*>(buffer_.data());
      session_.comparison_->expect(header.opcode, header.unique, reply.data(), reply.size());
      tree_requests_.take_back_references();
      return false;
    }
    tree_requests_.count();
    if (session_.reply(reply.data(), reply.size()) == ENOENT) tree_requests_.take_back_references();
    return true;
  }

  /// The control plane takes the log of the lanes before it answers these, so that they show the times of writes that were answered.
  static bool shows_attributes(uint32_t opcode) {
    return opcode == FUSE_LOOKUP || opcode == FUSE_GETATTR || opcode == FUSE_READDIRPLUS || opcode == kStatxOpcode;
  }

  /// A reader that repeatedly meets a switch leaves the READ to the control plane, which makes the switches.
  static constexpr int kAttempts = 4;

  Session& session_;
  size_t reader_;
  ReadReply read_reply_;
  TreeRequests tree_requests_;
  std::vector<uint8_t> buffer_;
};

Session::Session(Descriptor device, const SessionOptions& options)
    : device_(std::move(device)),
      options_(options),
      comparison_(options.compare ? std::make_unique<AnswerComparison>() : nullptr),
      epochs_(options.threads + 1),  // and the near server
      layouts_(epochs_),
      inodes_(epochs_, &layouts_),
      notifier_(device_.get()),
      view_opens_(std::make_shared<ViewOpens>(ViewOpens::Connection{
          .device = device_.get(),
          .reply = [this](const uint8_t* message, size_t length) { return send(message, length); },
          .forward = [this](std::vector<uint8_t> message) { forward(std::move(message)); }})) {
  inodes_.news()->before_remembered([this] { grants_.none_alone(); });
}

Session::~Session() {
  inodes_.news()->before_remembered(nullptr);
  stop();
  view_opens_->end_all();
}

void Session::start(MessageHandler on_message, EndHandler on_end) {
  install_wake_signal();
  on_message_ = std::move(on_message);
  on_end_ = std::move(on_end);
  running_ = options_.threads;
  if (options_.near_server) {
    near_ = std::make_unique<NearServer>(
        device_.get(), counters_,
        [server = std::make_shared<Server>(*this, options_.threads)] { return server->serve_one() == 0; });
  }
  for (size_t i = 0; i < options_.threads; i++) workers_.push_back(std::make_unique<Worker>());
  for (size_t i = 0; i < options_.threads; i++) workers_[i]->thread = std::thread([this, i] { run(i); });
}

void Session::stop() {
  stopping_ = true;
  if (near_) near_->stop();
  for (auto& worker : workers_) {
    if (!worker->thread.joinable()) continue;
    // Repeated, because a signal that arrives just before the read is lost.
    while (!worker->ended.load()) {
      pthread_kill(worker->thread.native_handle(), wake_signal());
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    worker->thread.join();
  }
}

int Session::reply(const uint8_t* message, size_t length) {
  int unsent = send(message, length);
  if (length >= sizeof(fuse_out_header)) {
    const auto& header = *reinterpret_cast<const fuse_out_header*>(message);
    view_opens_->answered(header.unique, unsent != 0 ? unsent : header.error);
  }
  return unsent;
}

int Session::send(const uint8_t* message, size_t length) {
  if (comparison_) comparison_->check(message, length);
  return write(device_.get(), message, length) < 0 ? errno : 0;
}

void Session::forward(std::vector<uint8_t> message) {
  counters_.forwarded.fetch_add(1, std::memory_order_relaxed);
  on_message_(std::move(message));
}

int Session::open_backing(int fd) { return open_backing_file(device_.get(), fd); }

void Session::close_backing(int id) { close_backing_file(device_.get(), id); }

BackingFile* Session::add_file(Descriptor fd, uint64_t size) {
  std::lock_guard lock(files_mutex_);
  files_.push_back(std::make_unique<BackingFile>(std::move(fd), size, epochs_));
  return files_.back().get();
}

void Session::remove_file(BackingFile* file) {
  std::lock_guard lock(files_mutex_);
  auto found = std::find_if(files_.begin(), files_.end(), [file](const auto& owned) { return owned.get() == file; });
  if (found == files_.end()) return;
  epochs_.retire(std::move(*found));
  files_.erase(found);
}

std::shared_ptr<WriteLane> Session::make_lane(BackingFile& image, WrittenHandler on_written, std::function<void()> on_logged) {
  auto lane = std::make_shared<WriteLane>(
      image, WriteLane::Connection{
                 .epochs = epochs_,
                 .answer =
                     [this](uint64_t unique, uint32_t bytes) {
                       counters_.native_writes.fetch_add(1, std::memory_order_relaxed);
                       struct {
                         fuse_out_header header;
                         fuse_write_out body;
                       } reply = {};
                       reply.header.len = sizeof reply;
                       reply.header.unique = unique;
                       reply.body.size = bytes;
                       send(reinterpret_cast<const uint8_t*>(&reply), sizeof reply);
                     },
                 .hand_over =
                     [this, on_written = std::move(on_written)](uint64_t unique, uint64_t nodeid, uint32_t bytes) {
                       counters_.native_writes.fetch_add(1, std::memory_order_relaxed);
                       on_written(unique, nodeid, bytes);
                     },
                 .forward = [this](std::vector<uint8_t> message) { forward(std::move(message)); },
                 .switch_overlay = [this](BackingFile& of,
                                          std::vector<ChunkChange> changes) { switch_overlay(of, std::move(changes)); },
                 .is_alone = [this](const WriteGrant& grant) { return is_alone(grant); },
                 .logged = std::move(on_logged),
             });
  std::lock_guard lock(lanes_mutex_);
  lanes_.push_back(lane);
  has_lanes_ = true;
  return lane;
}

void Session::remove_lane(const std::shared_ptr<WriteLane>& lane) {
  std::lock_guard lock(lanes_mutex_);
  std::erase(lanes_, lane);
  has_lanes_ = !lanes_.empty();
}

/// References are looked at after the bytes were published: one that comes later reads the new bytes. The news comes before `alone`: whoever
/// takes the news has made every grant not alone before.
bool Session::is_alone(const WriteGrant& grant) const {
  return !inodes_.news()->has_remembered() && grant.alone.load(std::memory_order_seq_cst) &&
         std::none_of(grant.others.begin(), grant.others.end(), [this](uint32_t nodeid) { return inodes_.references(nodeid) > 0; });
}

bool Session::writes_pending() const {
  if (!has_lanes_.load(std::memory_order_seq_cst)) return false;
  std::lock_guard lock(lanes_mutex_);
  return std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane->pending(); });
}

void Session::switch_overlay(BackingFile& image, std::vector<ChunkChange> changes) {
  std::lock_guard lock(switching_);
  switches_.fetch_add(1, std::memory_order_seq_cst);
  for (ChunkChange& change : changes) image.overlay.publish(change.index, std::move(change.chunk));
  switches_.fetch_add(1, std::memory_order_seq_cst);
}

void Session::run(size_t index) {
  // The process's own signals are for the main thread.
  sigset_t blocked;
  sigfillset(&blocked);
  sigdelset(&blocked, wake_signal());
  pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
  pthread_setname_np(pthread_self(), "mlfs-session");

  int error = serve(index);
  int expected = 0;
  end_error_.compare_exchange_strong(expected, error);
  bool last = running_.fetch_sub(1) == 1;
  if (last) {
    notifier_.stop();
    view_opens_->end_all();
    if (on_end_) on_end_(end_error_.load());
  }
  workers_[index]->ended = true;
}

int Session::serve(size_t index) {
  Server server(*this, index);
  while (!stopping_.load(std::memory_order_relaxed)) {
    if (near_) near_->stay_away();
    int error = server.serve_one();
    // ENOENT: the request was interrupted before we got it. EAGAIN and EINTR: nothing yet.
    if (error == 0 || error == ENOENT || error == EINTR || error == EAGAIN) continue;
    return error == ENODEV ? 0 : error;  // ENODEV: unmounted
  }
  return 0;
}

}  // namespace mlfs
