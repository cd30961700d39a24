// Messages of any bytes from a device: a session answers or hands over each, and lives. A socket stands for /dev/fuse.

#include <linux/fuse.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <string>

#include "../../attribute_reply.h"
#include "../../session.h"
#include "fuzz_input.h"

namespace {

using namespace mlfs;

constexpr uint32_t kLast = 0x7fff0001;  // an opcode of our own: everything before it was served
constexpr uint64_t kFileBytes = 20000;
constexpr size_t kLongestMessage = 8192;

struct Scene {
  int sockets[2];
  Session* session;
  /// The number of the input whose messages are being sent, and whether the session has got to its last one.
  std::atomic<uint64_t> sent{uint64_t{1} << 60};
  std::atomic<bool> served{false};

  Scene() {
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    const int room = 8 << 20;
    for (const int socket : sockets) setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    SessionOptions options;
    options.threads = 1;
    options.near_server = false;
    session = new Session(Descriptor(sockets[0]), options);
    const int fd = memfd_create("fuzz", 0);
    HOLDS(ftruncate(fd, kFileBytes) == 0);
    BackingFile* file = session->add_file(Descriptor(fd), kFileBytes);
    const Extent image = {Extent::Kind::kImage, file, 0, kFileBytes};
    const Extent computed = {Extent::Kind::kComputed, nullptr, 0, 4};
    // One that is longer than its file, as after a truncation.
    const Extent beyond = {Extent::Kind::kImage, file, kFileBytes - 100, 1000};
    for (const auto& [nodeid, extents] : std::vector<std::pair<uint64_t, std::vector<Extent>>>{
             {2, {image}}, {3, {image, computed, image}}, {4, {beyond}}, {5, {}}}) {
      session->layouts().publish(nodeid, std::make_unique<const FileLayout>(extents, std::vector<uint8_t>()));
    }
    publish_tree();
    session->start(
        [this](std::vector<uint8_t> message) {
          HOLDS(message.size() >= sizeof(fuse_in_header));
          fuse_in_header header;
          memcpy(&header, message.data(), sizeof header);
          if (header.opcode == kLast && header.unique == sent) served = true;
        },
        [](int) {});
  }

  /// A folder 1 of 40 files and a folder, of which some were withdrawn.
  void publish_tree() {
    InodeTable& inodes = session->inodes();
    auto defaults = std::make_unique<TreeDefaults>();
    defaults->keep_seconds = 86400;
    defaults->no_opendir = true;
    defaults->statfs.emplace();
    inodes.set_defaults(std::move(defaults));
    std::vector<InodeTable::NewRow> rows;
    std::vector<std::string> names;
    for (uint32_t nodeid = 1; nodeid < 45; nodeid++) {
      const bool folder = nodeid == 1 || nodeid == 6;
      rows.push_back({nodeid, std::unique_ptr<const InodeRow>(new InodeRow{
                                  .size = kFileBytes, .mtime_seconds = -1, .offset = 0, .file = nullptr, .changes = nullptr,
                                  .mtime_nanoseconds = 0, .nlink = 1, .parent = 1,
                                  .mode = static_cast<uint16_t>(folder ? S_IFDIR | 0755 : S_IFREG | 0640),
                                  .flags = static_cast<uint8_t>(nodeid % 8), .room = 0})});
      names.push_back(std::string(nodeid % 3 == 0 ? 1 : nodeid, static_cast<char>('0' + nodeid)));
    }
    inodes.add(std::move(rows));
    std::vector<ListedName> entries;
    for (uint64_t nodeid = 2; nodeid < 45; nodeid++) entries.push_back({nodeid, nodeid + 1, names[nodeid - 1]});
    std::vector<InodeTable::NewListing> listings;
    listings.push_back({1, DirectoryListing::make(DirectoryListing::kComplete, entries.data(), entries.size())});
    listings.push_back({6, DirectoryListing::make(DirectoryListing::kComplete, entries.data(), 3)});
    inodes.publish_listings(std::move(listings));
    inodes.withdraw(44);
  }

  void send(const std::vector<uint8_t>& message) {
    HOLDS(::send(sockets[1], message.data(), message.size(), 0) == static_cast<ssize_t>(message.size()));
  }

  /// Takes one answer, if one comes in that time.
  bool answered(int timeout_ms) {
    pollfd wait = {sockets[1], POLLIN, 0};
    if (poll(&wait, 1, timeout_ms) <= 0) return false;
    static std::vector<uint8_t> reply(1 << 17);
    const ssize_t length = recv(sockets[1], reply.data(), reply.size(), 0);
    fuse_out_header header;
    HOLDS(length >= static_cast<ssize_t>(sizeof header));
    memcpy(&header, reply.data(), sizeof header);
    HOLDS(header.len == static_cast<uint32_t>(length) && header.error <= 0);
    HOLDS(header.error == 0 || length == sizeof header);
    return true;
  }
};

/// A question to the inode table: its opcode, a nodeid, and bytes for its struct and names.
std::vector<uint8_t> tree_message_of(FuzzInput& input) {
  static constexpr uint32_t kOpcodes[] = {FUSE_LOOKUP,     FUSE_FORGET,  FUSE_GETATTR,  FUSE_OPEN,    FUSE_STATFS,
                                          FUSE_RELEASE,    FUSE_GETXATTR, FUSE_LISTXATTR, FUSE_OPENDIR, FUSE_READDIR,
                                          FUSE_RELEASEDIR, FUSE_ACCESS,  FUSE_BATCH_FORGET, FUSE_READDIRPLUS, kStatxOpcode};
  fuse_in_header header = {};
  header.opcode = kOpcodes[input.below(std::size(kOpcodes))];
  header.nodeid = input.byte() % 8 == 0 ? input.number(8) : input.below(48);
  header.uid = static_cast<uint32_t>(input.below(2));
  std::vector<uint8_t> body(input.below(80));
  for (size_t i = 0; i < body.size(); i++) body[i] = input.byte() % 2 == 0 ? 0 : static_cast<uint8_t>(input.number(1));
  if (header.opcode == FUSE_BATCH_FORGET && body.size() > 4 && input.byte() % 2 == 0) body[0] = static_cast<uint8_t>(body.size() / 16);
  if (header.opcode == FUSE_LOOKUP && !body.empty()) std::fill(body.begin(), body.end() - 1, static_cast<uint8_t>('0' + input.below(45)));
  header.len = static_cast<uint32_t>(sizeof header + body.size() + (input.byte() % 16 == 0 ? 1 : 0));
  std::vector<uint8_t> message(sizeof header);
  memcpy(message.data(), &header, sizeof header);
  message.insert(message.end(), body.begin(), body.end());
  return message;
}

/// A READ of a known inode with any numbers, a question to the inode table, or any bytes.
std::vector<uint8_t> message_of(FuzzInput& input) {
  std::vector<uint8_t> message;
  if (input.byte() % 2 == 0) return tree_message_of(input);
  if (input.byte() % 4 != 0) {
    fuse_in_header header = {};
    fuse_read_in read_in = {};
    header.opcode = input.byte() % 8 == 0 ? static_cast<uint32_t>(input.below(60)) : static_cast<uint32_t>(FUSE_READ);
    header.nodeid = input.byte() % 8 == 0 ? input.number(8) : input.below(7);
    header.len = static_cast<uint32_t>(input.number(2));
    read_in.fh = input.byte() % 8 == 0 ? input.number(8) : 0;
    read_in.offset = input.byte() % 4 == 0 ? input.number(8) : input.below(45000);
    read_in.size = static_cast<uint32_t>(input.byte() % 4 == 0 ? input.number(4) : input.below(45000));
    message.resize(sizeof header + sizeof read_in);
    memcpy(message.data(), &header, sizeof header);
    memcpy(message.data() + sizeof header, &read_in, sizeof read_in);
    message.resize(input.byte() % 8 == 0 ? input.below(message.size() + 1) : message.size());
  } else {
    const size_t wanted = input.below(kLongestMessage);
    const size_t length = std::min(wanted, input.left());
    message.assign(input.rest(), input.rest() + length);
    input.skip(length);
  }
  // The device never gives an empty message.
  if (message.empty()) message.push_back(0);
  return message;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static Scene& scene = *new Scene;
  FuzzInput input(bytes, size);
  for (int left = 8; left > 0 && input.left() > 0; left--) {
    scene.send(message_of(input));
    while (scene.answered(0)) {
    }
  }
  fuse_in_header last = {};
  last.opcode = kLast;
  scene.served = false;
  last.unique = ++scene.sent;
  std::vector<uint8_t> message(sizeof last);
  memcpy(message.data(), &last, sizeof last);
  scene.send(message);
  while (!scene.served) scene.answered(1);
  while (scene.answered(0)) {
  }
  return 0;
}
