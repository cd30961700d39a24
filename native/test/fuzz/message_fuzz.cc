// Messages of any bytes from a device: a session answers or hands over each, and lives. A socket stands for /dev/fuse.

#include <linux/fuse.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>

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
    session->start(
        [this](std::vector<uint8_t> message) {
          HOLDS(message.size() >= sizeof(fuse_in_header));
          fuse_in_header header;
          memcpy(&header, message.data(), sizeof header);
          if (header.opcode == kLast && header.unique == sent) served = true;
        },
        [](int) {});
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

/// A READ of a known inode with any numbers, or any bytes.
std::vector<uint8_t> message_of(FuzzInput& input) {
  std::vector<uint8_t> message;
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
