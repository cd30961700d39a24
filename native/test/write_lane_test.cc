// Tests of the write lane and of what it is made of, without a kernel and without Node.

#include <fcntl.h>
#include <linux/fuse.h>
#include <sys/mman.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <thread>

#include "../byte_differences.h"
#include "../crc32.h"
#include "../crc32c.h"
#include "../write_lane.h"
#include "check.h"

using namespace mlfs;

namespace {

using Bytes = std::vector<uint8_t>;

Bytes noise(std::mt19937& random, size_t length) {
  Bytes bytes(length);
  for (auto& byte : bytes) byte = static_cast<uint8_t>(random());
  return bytes;
}

void crc32_of_a_difference_is_the_same_by_instruction_and_by_table() {
  std::mt19937 random(1);
  for (size_t length = 0; length < 700; length++) {
    const Bytes before = noise(random, length);
    const Bytes after = noise(random, length);
    CHECK(crc32_difference(before.data(), after.data(), length) == crc32_difference_by_tables(before.data(), after.data(), length));
  }
  // "123456789" has the CRC-32 cbf43926, nine zero bytes e60914ae.
  const uint8_t digits[] = "123456789";
  const uint8_t zeros[9] = {};
  CHECK(crc32_difference(zeros, digits, 9) == (0xcbf43926u ^ 0xe60914aeu));
}

void runs_cover_exactly_what_differs() {
  std::mt19937 random(2);
  std::vector<ByteRun> runs;
  for (int turn = 0; turn < 3000; turn++) {
    const size_t length = 1 + random() % 400;
    const Bytes before = noise(random, length);
    Bytes after = before;
    for (size_t changes = random() % 20; changes > 0; changes--) after[random() % length] ^= static_cast<uint8_t>(random());
    const size_t gap = random() % 60;
    differing_runs(before.data(), after.data(), length, gap, runs);
    size_t at = 0;
    for (const ByteRun& run : runs) {
      CHECK(run.start < run.end && run.end <= length);
      CHECK(at == 0 || run.start - at > gap);
      for (; at < run.start; at++) CHECK(before[at] == after[at]);
      CHECK(before[run.start] != after[run.start] && before[run.end - 1] != after[run.end - 1]);
      size_t equal = 0;
      for (at = run.start; at < run.end; at++) CHECK((equal = before[at] == after[at] ? equal + 1 : 0) <= gap);
    }
    for (; at < length; at++) CHECK(before[at] == after[at]);
  }
}

void later_pieces_lie_over_earlier_ones() {
  std::mt19937 random(3);
  for (int turn = 0; turn < 3000; turn++) {
    constexpr uint64_t kSize = 64;
    auto pieces = [&](uint64_t base) {
      std::vector<Piece> result;
      for (uint64_t at = random() % 8; at + 1 < kSize;) {
        const uint64_t end = std::min<uint64_t>(kSize, at + 1 + random() % 9);
        result.push_back({at, end, nullptr, base + at});
        at = end + random() % 7;
      }
      return result;
    };
    const auto below = pieces(1000), above = pieces(2000);
    uint64_t model[kSize] = {};
    for (const auto* list : {&below, &above})
      for (const Piece& piece : *list)
        for (uint64_t at = piece.start; at < piece.end; at++) model[at] = piece.offset + (at - piece.start);
    uint64_t at = 0;
    for (const Piece& piece : laid_over(below, above)) {
      CHECK(piece.start >= at && piece.end > piece.start);
      for (; at < piece.start; at++) CHECK(model[at] == 0);
      for (; at < piece.end; at++) CHECK(model[at] == piece.offset + (at - piece.start));
    }
    for (; at < kSize; at++) CHECK(model[at] == 0);
  }
}

Descriptor memory_file(const Bytes& bytes) {
  Descriptor file(memfd_create("mlfs-test", MFD_CLOEXEC));
  CHECK(file && pwrite(file.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
  return file;
}

constexpr uint64_t kNodeid = 7;

Bytes write_message(uint64_t offset, const Bytes& bytes) {
  fuse_in_header header = {};
  fuse_write_in body = {};
  header.len = static_cast<uint32_t>(sizeof header + sizeof body + bytes.size());
  header.opcode = FUSE_WRITE;
  header.nodeid = kNodeid;
  body.offset = offset;
  body.size = static_cast<uint32_t>(bytes.size());
  Bytes message(header.len);
  memcpy(message.data(), &header, sizeof header);
  memcpy(message.data() + sizeof header, &body, sizeof body);
  memcpy(message.data() + sizeof header + sizeof body, bytes.data(), bytes.size());
  return message;
}

/// A lane over an image of some chunks, and a segment in memory.
struct Scene {
  static constexpr size_t kReaders = 4;
  static constexpr uint64_t kSize = 3 * Overlay::kChunkBytes + 1000;

  explicit Scene(Descriptor journal)
      : base(kSize),
        image(memory_file(base), kSize, epochs),
        segment(std::move(journal), UINT64_MAX >> 1, epochs),
        lane(std::make_shared<WriteLane>(
            image, WriteLane::Connection{
                       .epochs = epochs,
                       .answer = [this](uint64_t, uint32_t) { answered++; },
                       .hand_over = [this](uint64_t, uint64_t, uint32_t) { handed_over++; },
                       .forward = [this](Bytes) { forwarded++; },
                       .switch_overlay =
                           [](BackingFile& of, std::vector<ChunkChange> changes) {
                             for (ChunkChange& change : changes) of.overlay.publish(change.index, std::move(change.chunk));
                           },
                       .is_alone = [this](const WriteGrant& grant) { return grant.alone.load(); },
                       .logged = [this] { logged++; },
                   })),
        grant(std::make_shared<WriteGrant>()) {
    grant->nodeid = kNodeid;
    grant->size = kSize;
    grant->lane = lane;
    grant->alone = true;
  }

  void open(uint64_t room = uint64_t{1} << 40, std::vector<PlacedName> place = {}) {
    lane->open({.segment = &segment, .place = std::move(place), .position = position, .sequence = sequence, .durable = 0, .room = room});
  }

  bool write(size_t reader, uint64_t offset, const Bytes& bytes) {
    const Bytes message = write_message(offset, bytes);
    return lane->serve(reader, message.data(), message.size(), grant);
  }

  Bytes shown() {
    Bytes bytes(kSize);
    Epochs::Guard guard(epochs, 0);
    for (uint64_t at = 0; at < kSize;) {
      const Overlay::Run run = image.overlay.run_at(at, kSize - at);
      const BackingFile& file = run.file == nullptr ? image : *run.file;
      CHECK(pread(file.fd.get(), bytes.data() + at, run.length, static_cast<off_t>(run.offset)) == static_cast<ssize_t>(run.length));
      at += run.length;
    }
    return bytes;
  }

  /// Replays the records of the log as the journal's reader does, and checks them.
  void replay(const WriteLane::Taken& taken, Bytes& onto) {
    for (const WriteLane::Run& run : taken.runs) {
      uint8_t header[kRecordHeaderBytes];
      CHECK(run.offset == position + kRecordHeaderBytes);
      CHECK(pread(segment.fd.get(), header, sizeof header, static_cast<off_t>(position)) == sizeof header);
      Bytes payload(run.end - run.start);
      CHECK(pread(segment.fd.get(), payload.data(), payload.size(), static_cast<off_t>(run.offset)) == static_cast<ssize_t>(payload.size()));
      uint32_t crc, length, before_it;
      uint64_t number, offset;
      memcpy(&crc, header + 4, 4), memcpy(&length, header + 8, 4), memcpy(&before_it, header + 36, 4);
      memcpy(&number, header + 16, 8), memcpy(&offset, header + 24, 8);
      CHECK(memcmp(header, "MLFR", 4) == 0 && header[12] == 1 && length == payload.size());
      CHECK(number == sequence && before_it == sequence - 1 && offset == run.start);
      CHECK(crc == crc32c(payload.data(), payload.size(), crc32c(header + 8, 32, 0)));
      CHECK(run.difference == crc32_difference_by_tables(onto.data() + run.start, payload.data(), payload.size()));
      std::copy(payload.begin(), payload.end(), onto.begin() + static_cast<ptrdiff_t>(run.start));
      sequence++;
      position += kRecordHeaderBytes + payload.size();
    }
  }

  Bytes base;
  Epochs epochs{kReaders};
  BackingFile image;
  BackingFile segment;
  uint64_t position = 24;
  uint64_t sequence = 1;
  std::atomic<uint64_t> answered{0}, handed_over{0}, forwarded{0}, logged{0};
  std::shared_ptr<WriteLane> lane;
  std::shared_ptr<WriteGrant> grant;
};

void writes_are_shown_and_journalled() {
  std::mt19937 random(4);
  Scene scene(memory_file({}));
  Bytes model = scene.base, replayed = scene.base;
  CHECK(!scene.write(0, 0, {1}));  // not open yet
  scene.open();
  CHECK(!scene.write(0, Scene::kSize - 1, {1, 2}));  // beyond the end
  for (int turn = 0; turn < 300; turn++) {
    const size_t length = 1 + random() % (turn % 10 == 0 ? 1 << 20 : 6000);
    const uint64_t at = random() % (Scene::kSize - length);
    Bytes block(model.begin() + static_cast<ptrdiff_t>(at), model.begin() + static_cast<ptrdiff_t>(at + length));
    if (turn % 3 == 0) block = noise(random, length);
    if (turn % 3 == 1) for (size_t changes = random() % 50; changes > 0; changes--) block[random() % length]++;
    scene.grant->alone = turn % 2 == 0;
    CHECK(scene.write(turn % Scene::kReaders, at, block));
    std::copy(block.begin(), block.end(), model.begin() + static_cast<ptrdiff_t>(at));
    if (turn % 7 == 0) scene.replay(scene.lane->take(), replayed);
  }
  CHECK(scene.shown() == model);
  scene.replay(scene.lane->take(), replayed);
  CHECK(replayed == model);
  CHECK(scene.answered + scene.handed_over == 300 && scene.handed_over > 50 && scene.forwarded == 0);
  CHECK(scene.lane->pending());
  scene.lane->applied();
  CHECK(!scene.lane->pending());
}

void equal_bytes_are_answered_and_not_journalled() {
  Scene scene(memory_file({}));
  scene.open();
  scene.grant->alone = false;
  CHECK(scene.write(0, 100, Bytes(5000)));
  const auto taken = scene.lane->take();
  CHECK(scene.answered == 1 && taken.writes.size() == 1 && taken.runs.empty() && !scene.lane->pending());
}

void what_cannot_be_written_goes_to_the_control_plane() {
  {
    Scene scene{Descriptor(open("/dev/full", O_RDWR | O_CLOEXEC))};
    scene.open();
    CHECK(scene.write(0, 0, {1, 2, 3}));
    CHECK(scene.forwarded == 1 && scene.answered == 0 && scene.lane->pending());
    const auto taken = scene.lane->take();
    CHECK(taken.torn && taken.writes.empty());
    CHECK(!scene.write(0, 0, {1}));  // closed
    CHECK(scene.shown() == scene.base);
  }
  {
    Scene scene(memory_file({}));
    scene.open(uint64_t{1} << 40, {{"/nowhere/at/all", 1, 1}});
    CHECK(scene.write(0, 0, {1, 2, 3}));
    CHECK(scene.forwarded == 1 && scene.answered == 0 && scene.lane->take().torn);
  }
  {
    Scene scene(memory_file({}));
    scene.open(100);
    CHECK(scene.write(0, 0, Bytes(61, 1)));  // 101 bytes with the header
    CHECK(scene.forwarded == 1 && scene.answered == 0 && !scene.lane->take().torn);
    CHECK(scene.write(0, 0, Bytes(60, 1)));
    CHECK(scene.answered == 1);
  }
}

void a_long_log_is_taken_before_more_is_written() {
  Scene scene(memory_file({}));
  scene.open();
  uint64_t count = 0;
  while (scene.forwarded == 0 && count < 100000) CHECK(scene.write(0, count++ % 5000, {static_cast<uint8_t>(1 + count % 251)}));
  const auto taken = scene.lane->take();
  CHECK(scene.forwarded == 1 && taken.writes.size() == count - 1 && !taken.torn);
  CHECK(taken.writes.size() + taken.runs.size() <= 10000);
  CHECK(scene.write(0, 0, {255}) && scene.answered == count);
}

/// Threads write while the control plane closes, takes and opens again: every write is answered once, and the journal has them in the order in
/// which they are shown.
void writers_and_the_control_plane_exclude_each_other() {
  Scene scene(memory_file({}));
  Bytes replayed = scene.base;
  scene.open();
  std::atomic<uint64_t> refused{0};
  constexpr uint64_t kWrites = 400;
  std::vector<std::thread> writers;
  for (size_t reader = 0; reader < Scene::kReaders; reader++) {
    writers.emplace_back([&, reader] {
      std::mt19937 random(static_cast<unsigned>(10 + reader));
      for (uint64_t turn = 0; turn < kWrites; turn++) {
        const Bytes block = noise(random, 1 + random() % 9000);
        if (!scene.write(reader, random() % (Scene::kSize - block.size()), block)) refused++;
      }
    });
  }
  for (int turn = 0; turn < 60; turn++) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    std::mutex mutex;
    std::condition_variable condition;
    bool is_idle = false;
    const bool at_once = scene.lane->close([&] {
      std::lock_guard lock(mutex);
      is_idle = true;
      condition.notify_one();
    });
    if (!at_once) {
      std::unique_lock lock(mutex);
      condition.wait(lock, [&] { return is_idle; });
    }
    scene.replay(scene.lane->take(), replayed);
    scene.lane->applied();
    scene.open();
  }
  for (std::thread& writer : writers) writer.join();
  scene.replay(scene.lane->take(), replayed);
  CHECK(scene.answered + refused + scene.forwarded == kWrites * Scene::kReaders);
  CHECK(scene.answered > 0);
  CHECK(scene.shown() == replayed);
}

}  // namespace

int main() {
  crc32_of_a_difference_is_the_same_by_instruction_and_by_table();
  runs_cover_exactly_what_differs();
  later_pieces_lie_over_earlier_ones();
  writes_are_shown_and_journalled();
  equal_bytes_are_answered_and_not_journalled();
  what_cannot_be_written_goes_to_the_control_plane();
  a_long_log_is_taken_before_more_is_written();
  writers_and_the_control_plane_exclude_each_other();
  printf("write lane: ok\n");
}
