// Layouts of extents over an image with dirty pieces, read through ReadReply and compared with a plain array of bytes.

#include <linux/fuse.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <algorithm>

#include "../../backing_file.h"
#include "../../read_reply.h"
#include "fuzz_input.h"

namespace {

using namespace mlfs;

constexpr uint64_t kImageBytes = 3 * Overlay::kChunkBytes + 777;
constexpr uint64_t kSegmentBytes = 1 << 16;
constexpr uint64_t kMostRead = 60000;

uint8_t image_byte(uint64_t at) { return static_cast<uint8_t>(at * 7 + at / 251); }
uint8_t segment_byte(uint64_t at) { return static_cast<uint8_t>(0xff - at % 241); }

Descriptor file_of(uint64_t size, uint8_t (*byte)(uint64_t)) {
  const int fd = memfd_create("fuzz", 0);
  std::vector<uint8_t> bytes(size);
  for (uint64_t at = 0; at < size; at++) bytes[at] = byte(at);
  HOLDS(write(fd, bytes.data(), size) == static_cast<ssize_t>(size));
  return Descriptor(fd);
}

/// Made once: the files never change.
struct Scene {
  int sockets[2];
  Counters counters;
  int image_fd;
  int segment_fd;
  Scene() {
    HOLDS(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
    image_fd = file_of(kImageBytes, image_byte).release();
    segment_fd = file_of(kSegmentBytes, segment_byte).release();
  }
};

/// Positions that lie around the edges of chunks more often than not.
uint64_t position(FuzzInput& input) {
  const uint64_t near = input.below(4) * Overlay::kChunkBytes;
  return std::min(kImageBytes, near + input.below(1024) - std::min<uint64_t>(near, 512));
}

/// Begin and end of the pieces.
std::vector<std::pair<uint64_t, uint64_t>> make_dirty(FuzzInput& input, BackingFile& image, BackingFile& segment, std::vector<uint8_t>& expected) {
  std::vector<std::pair<uint64_t, uint64_t>> changed;
  for (uint64_t index = 0; index <= kImageBytes / Overlay::kChunkBytes; index++) {
    const uint64_t start = index * Overlay::kChunkBytes;
    const uint64_t end = std::min(kImageBytes, start + Overlay::kChunkBytes);
    auto chunk = std::make_unique<OverlayChunk>();
    uint64_t at = start + input.below(600);
    for (uint64_t left = input.below(5); left > 0; left--) {
      const uint64_t length = 1 + input.below(left == 1 ? Overlay::kChunkBytes : 600);
      const uint64_t stop = std::min({end, at + length, at + kSegmentBytes});
      if (at >= stop) break;
      const uint64_t offset = input.below(kSegmentBytes - (stop - at) + 1);
      chunk->pieces.push_back({at, stop, &segment, offset});
      for (uint64_t i = at; i < stop; i++) expected[i] = segment_byte(offset + (i - at));
      changed.emplace_back(at, stop);
      at = stop + input.below(300);
    }
    if (!chunk->pieces.empty()) HOLDS(image.overlay.publish(index, std::move(chunk)));
  }
  return changed;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  static Scene& scene = *new Scene;
  static const std::vector<uint8_t> clean = [] {
    std::vector<uint8_t> all(kImageBytes);
    for (uint64_t at = 0; at < kImageBytes; at++) all[at] = image_byte(at);
    return all;
  }();
  FuzzInput input(bytes, size);
  Epochs epochs(1);
  BackingFile image(Descriptor(dup(scene.image_fd)), kImageBytes, epochs);
  BackingFile segment(Descriptor(dup(scene.segment_fd)), kSegmentBytes, epochs);
  // As the image is to be read; put back at the end, which is quicker than another copy.
  static std::vector<uint8_t> dirty = clean;
  const auto changed = make_dirty(input, image, segment, dirty);

  std::vector<uint8_t> inline_bytes(40);
  for (size_t i = 0; i < inline_bytes.size(); i++) inline_bytes[i] = static_cast<uint8_t>(i + 100);
  std::vector<Extent> extents;
  std::vector<uint8_t> expected;
  std::vector<bool> computed;
  for (uint64_t left = input.below(8); left > 0; left--) {
    const uint8_t kind = input.byte() % 8;
    if (kind == 0) {
      const uint64_t offset = input.below(inline_bytes.size());
      const uint64_t length = input.below(inline_bytes.size() - offset + 1);
      extents.push_back({Extent::Kind::kInline, nullptr, offset, length});
      for (uint64_t i = 0; i < length; i++) expected.push_back(inline_bytes[offset + i]);
      computed.resize(expected.size());
    } else if (kind == 1) {
      extents.push_back({Extent::Kind::kComputed, nullptr, 0, 4});
      expected.resize(expected.size() + 4);
      computed.resize(expected.size(), true);
    } else {
      const uint64_t offset = position(input);
      const uint64_t length = std::min(input.below(3000), kImageBytes - offset);
      extents.push_back({Extent::Kind::kImage, &image, offset, length});
      expected.insert(expected.end(), dirty.begin() + static_cast<ptrdiff_t>(offset),
                      dirty.begin() + static_cast<ptrdiff_t>(offset + length));
      computed.resize(expected.size());
    }
  }
  const FileLayout layout(std::move(extents), std::move(inline_bytes));
  HOLDS(layout.size() == expected.size());

  ReadReply reply(scene.sockets[0], scene.counters);
  std::vector<uint8_t> got(kMostRead + sizeof(fuse_out_header));
  for (int reads = 0; reads < 4; reads++) {
    const uint64_t offset = reads == 3 ? input.number(8) : input.below(layout.size() + 2);
    const uint64_t length = reads == 2 ? input.number(4) : input.below(kMostRead);
    const uint64_t end = offset >= expected.size() ? offset : offset + std::min<uint64_t>(length, expected.size() - offset);
    bool is_native = true;
    for (uint64_t at = offset; at < end; at++) is_native = is_native && !computed[at];
    HOLDS(layout.is_native(offset, length) == is_native);
    if (!is_native) continue;
    {
      Epochs::Guard guard(epochs, 0);
      reply.fill(layout, offset, length);
    }
    reply.send(7, ReadTally::Clock::now());
    const ssize_t received = recv(scene.sockets[1], got.data(), got.size(), 0);
    fuse_out_header header;
    HOLDS(received >= static_cast<ssize_t>(sizeof header));
    memcpy(&header, got.data(), sizeof header);
    HOLDS(header.error == 0 && header.unique == 7 && header.len == static_cast<uint32_t>(received));
    HOLDS(static_cast<uint64_t>(received) - sizeof header == end - offset);
    HOLDS(end == offset || memcmp(got.data() + sizeof header, expected.data() + offset, end - offset) == 0);
  }
  for (const auto& [start, end] : changed) {
    std::copy_n(clean.begin() + static_cast<ptrdiff_t>(start), end - start, dirty.begin() + static_cast<ptrdiff_t>(start));
  }
  return 0;
}
