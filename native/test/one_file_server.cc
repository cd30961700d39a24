// A whole server without Node: one directory with one file, `tensor.bin`, made of extents of a backing file. It carries
// the data plane's tests under the sanitizers, and it is what to measure when something in here is tried.
//
//   one_file_server BACKING MOUNTPOINT [--threads N] [--no-near]
//                   [--offset BYTES] [--length BYTES] [--pieces N] [--max-pages N] [--republish]
//                   [--switch OTHER]   the whole image is dirty, its bytes in OTHER, and clean again, over and over
//
// Serves until it is unmounted or gets SIGTERM.

#include <fcntl.h>
#include <linux/fuse.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "../device.h"
#include "../session.h"

namespace {

using namespace mlfs;

constexpr uint64_t kFile = 2;

struct Settings {
  std::string backing, mountpoint, other;
  SessionOptions session;
  uint64_t offset = 0, length = 0;
  uint64_t pieces = 1;
  uint16_t max_pages = 256;
  bool republish = false;
};

std::unique_ptr<const FileLayout> layout_of(const Settings& settings, BackingFile* file) {
  std::vector<Extent> extents;
  uint64_t step = (settings.length + settings.pieces - 1) / settings.pieces;
  for (uint64_t at = 0; at < settings.length; at += step) {
    extents.push_back({Extent::Kind::kImage, file, settings.offset + at, std::min(step, settings.length - at)});
  }
  return std::make_unique<const FileLayout>(std::move(extents), std::vector<uint8_t>());
}

/// Every chunk of an image: dirty as a whole, with the same bytes of `other`, or clean.
std::vector<ChunkChange> chunks_of(uint64_t size, BackingFile* other) {
  std::vector<ChunkChange> changes;
  for (uint64_t start = 0; start < size; start += Overlay::kChunkBytes) {
    auto chunk = std::make_unique<OverlayChunk>();
    chunk->pieces.push_back({start, std::min(start + Overlay::kChunkBytes, size), other, start});
    changes.push_back({start / Overlay::kChunkBytes, other == nullptr ? nullptr : std::move(chunk)});
  }
  return changes;
}

/// Answers what is not a READ, as little as the kernel needs.
class Control {
 public:
  Control(Session& session, const Settings& settings) : session_(session), settings_(settings) {}

  void handle(const std::vector<uint8_t>& message) {
    const auto& in = *reinterpret_cast<const fuse_in_header*>(message.data());
    const uint8_t* body = message.data() + sizeof in;
    switch (in.opcode) {
      case FUSE_INIT: {
        const auto& init = *reinterpret_cast<const fuse_init_in*>(body);
        fuse_init_out out = {};
        out.major = FUSE_KERNEL_VERSION;
        out.minor = 31;
        out.max_readahead = init.max_readahead;
        out.flags = init.flags & (FUSE_ASYNC_READ | FUSE_BIG_WRITES | FUSE_MAX_PAGES | FUSE_PARALLEL_DIROPS);
        out.max_write = settings_.max_pages * 4096u;
        out.max_pages = settings_.max_pages;
        out.max_background = 64;
        out.congestion_threshold = 48;
        return reply(in.unique, &out, sizeof out);
      }
      case FUSE_LOOKUP:
        if (strcmp(reinterpret_cast<const char*>(body), "tensor.bin") == 0) {
          fuse_entry_out out = {};
          out.nodeid = kFile;
          out.entry_valid = out.attr_valid = 86400;
          out.attr = attributes(kFile);
          return reply(in.unique, &out, sizeof out);
        }
        return refuse(in.unique, ENOENT);
      case FUSE_GETATTR: {
        fuse_attr_out out = {};
        out.attr_valid = 86400;
        out.attr = attributes(in.nodeid);
        return reply(in.unique, &out, sizeof out);
      }
      case FUSE_OPEN: {
        fuse_open_out out = {};
        out.open_flags = FOPEN_KEEP_CACHE;
        return reply(in.unique, &out, sizeof out);
      }
      case FUSE_OPENDIR: {
        fuse_open_out out = {};
        return reply(in.unique, &out, sizeof out);
      }
      case FUSE_READDIR:
      case FUSE_RELEASE:
      case FUSE_RELEASEDIR:
      case FUSE_FLUSH:
        return reply(in.unique, nullptr, 0);
      case FUSE_FORGET:
      case FUSE_BATCH_FORGET:
      case FUSE_INTERRUPT:
        return;
      case FUSE_STATFS: {
        fuse_statfs_out out = {};
        return reply(in.unique, &out, sizeof out);
      }
      case FUSE_READ:
        // What the session left to the control plane, because it met one switch after the other.
        return refuse(in.unique, EAGAIN);
      default:
        return refuse(in.unique, ENOSYS);
    }
  }

 private:
  fuse_attr attributes(uint64_t nodeid) const {
    fuse_attr attr = {};
    attr.ino = nodeid;
    attr.nlink = 1;
    attr.mode = nodeid == kFile ? S_IFREG | 0444 : S_IFDIR | 0555;
    attr.size = nodeid == kFile ? settings_.length : 0;
    attr.blksize = 4096;
    return attr;
  }

  void reply(uint64_t unique, const void* body, size_t length) {
    std::vector<uint8_t> message(sizeof(fuse_out_header) + length);
    auto& out = *reinterpret_cast<fuse_out_header*>(message.data());
    out.len = static_cast<uint32_t>(message.size());
    out.unique = unique;
    if (length > 0) memcpy(message.data() + sizeof out, body, length);
    session_.reply(message.data(), message.size());
  }

  void refuse(uint64_t unique, int error) {
    fuse_out_header out = {};
    out.len = sizeof out;
    out.error = -error;
    out.unique = unique;
    session_.reply(reinterpret_cast<uint8_t*>(&out), sizeof out);
  }

  Session& session_;
  const Settings& settings_;
};

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; i++) {
    std::string word = argv[i];
    auto number = [&] { return strtoull(argv[++i], nullptr, 10); };
    if (word == "--threads") settings.session.threads = static_cast<unsigned>(number());
    else if (word == "--no-near") settings.session.near_server = false;
    else if (word == "--offset") settings.offset = number();
    else if (word == "--length") settings.length = number();
    else if (word == "--pieces") settings.pieces = number();
    else if (word == "--max-pages") settings.max_pages = static_cast<uint16_t>(number());
    else if (word == "--republish") settings.republish = true;
    else if (word == "--switch") settings.other = argv[++i];
    else if (settings.backing.empty()) settings.backing = word;
    else settings.mountpoint = word;
  }
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  Settings settings = parse(argc, argv);
  Descriptor backing(open(settings.backing.c_str(), O_RDONLY | O_CLOEXEC));
  struct stat status;
  if (!backing || fstat(backing.get(), &status) != 0) {
    perror(settings.backing.c_str());
    return 1;
  }
  auto size = static_cast<uint64_t>(status.st_size);
  if (settings.length == 0) settings.length = size - settings.offset;

  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  sigaddset(&terminate, SIGINT);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);

  MountResult mounted = mount_directly({.mountpoint = settings.mountpoint, .fsname = "one_file_server"});
  if (mounted.error != 0) {
    fprintf(stderr, "%s\n", mounted.message.c_str());
    return 1;
  }
  settings.session.max_write_bytes = settings.max_pages * 4096u;
  std::atomic<bool> over{false};
  pid_t self = getpid();
  {
    Session session(std::move(mounted.device), settings.session);
    BackingFile* file = session.add_file(std::move(backing), size);
    session.layouts().publish(kFile, layout_of(settings, file));
    Control control(session, settings);
    session.start([&](std::vector<uint8_t> message) { control.handle(message); },
                  [&](int) {
                    over = true;
                    kill(self, SIGTERM);
                  });
    std::thread republisher;
    if (settings.republish) {
      republisher = std::thread([&] {
        while (!over) {
          session.layouts().publish(kFile, layout_of(settings, file));
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
      });
    }
    std::thread switcher;
    if (!settings.other.empty()) {
      switcher = std::thread([&] {
        while (!over) {
          BackingFile* other = session.add_file(Descriptor(open(settings.other.c_str(), O_RDONLY | O_CLOEXEC)), size);
          session.switch_overlay(*file, chunks_of(size, other));
          std::this_thread::sleep_for(std::chrono::microseconds(300));
          session.switch_overlay(*file, chunks_of(size, nullptr));
          session.remove_file(other);
          std::this_thread::sleep_for(std::chrono::microseconds(300));
        }
      });
    }
    printf("ready\n");
    fflush(stdout);
    int signal;
    sigwait(&terminate, &signal);
    if (!over) umount2(settings.mountpoint.c_str(), MNT_DETACH);
    over = true;
    if (republisher.joinable()) republisher.join();
    if (switcher.joinable()) switcher.join();
    session.stop();
    const Counters& counters = session.counters();
    fprintf(stderr, "reads %lu bytes %lu errors %lu near periods %lu\n",
            counters.native_reads.reads(), counters.native_reads.bytes(), counters.native_read_errors.load(),
            counters.near_periods.load());
  }
  return 0;
}
