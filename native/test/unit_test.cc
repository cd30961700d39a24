// The parts of the data plane that need no device: extent lookup, overlays, publication under readers, checksums, notifications.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "../backing_file.h"
#include "../crc32.h"
#include "../crc32c.h"
#include "../file_layout.h"
#include "../file_place.h"
#include "../notifier.h"
#include "../published_table.h"
#include "../read_tally.h"
#include "check.h"

namespace {

using namespace mlfs;

using Layouts = PublishedTable<FileLayout>;

/// A run of inline bytes.
Extent run(uint64_t offset, uint64_t length) { return {Extent::Kind::kInline, nullptr, offset, length}; }

void extents_are_found_by_position_and_empty_ones_are_passed_over() {
  FileLayout layout({run(0, 10), run(10, 0), run(10, 5), run(15, 1)}, std::vector<uint8_t>(16));
  CHECK(layout.size() == 16);
  CHECK(layout.extent_at(0) == 0);
  CHECK(layout.extent_at(9) == 0);
  CHECK(layout.extent_at(10) == 2);
  CHECK(layout.extent_at(14) == 2);
  CHECK(layout.extent_at(15) == 3);
}

void offsets_above_4_gib_stay_exact() {
  constexpr uint64_t far = (uint64_t{1} << 40) + 12345;
  FileLayout layout({run(0, far), run(0, 7)}, {});
  CHECK(layout.size() == far + 7);
  CHECK(layout.extent_at(far - 1) == 0);
  CHECK(layout.extent_at(far) == 1);
  CHECK(layout.start_of(1) == far);
}

void only_reads_that_touch_computed_bytes_are_not_native() {
  Extent computed = {Extent::Kind::kComputed, nullptr, 0, 4};
  FileLayout layout({run(0, 10), computed, run(10, 10), computed}, std::vector<uint8_t>(20));
  CHECK(layout.is_native(0, 10));
  CHECK(!layout.is_native(0, 11));
  CHECK(!layout.is_native(13, 1));
  CHECK(layout.is_native(14, 10));
  CHECK(!layout.is_native(14, 11));
  CHECK(layout.is_native(24, 0));
  CHECK(layout.is_native(28, 100));
}

void a_published_layout_is_seen_and_a_withdrawn_one_is_not() {
  Epochs epochs(1);
  Layouts table(epochs);
  CHECK(table.publish(70000, std::make_unique<const FileLayout>(std::vector<Extent>{run(0, 3)}, std::vector<uint8_t>(3))));
  {
    Epochs::Guard guard(epochs, 0);
    CHECK(table.find(70000) != nullptr && table.find(70000)->size() == 3);
    CHECK(table.find(70001) == nullptr);
    CHECK(table.find(Layouts::kCapacity) == nullptr);
  }
  CHECK(table.publish(70000, nullptr));
  Epochs::Guard guard(epochs, 0);
  CHECK(table.find(70000) == nullptr);
  CHECK(!table.publish(Layouts::kCapacity, nullptr));
}

void readers_see_whole_layouts_while_a_writer_swaps_them() {
  constexpr size_t kReaders = 3;
  Epochs epochs(kReaders);
  Layouts table(epochs);
  auto layout = [](uint64_t length) {
    // Two numbers that must agree: a torn or freed layout shows as a difference (or to the sanitizers).
    return std::make_unique<const FileLayout>(std::vector<Extent>{run(length, length)}, std::vector<uint8_t>());
  };
  table.publish(5, layout(1));
  std::atomic<bool> over{false};
  std::atomic<uint64_t> seen{0};
  std::vector<std::thread> readers;
  for (size_t i = 0; i < kReaders; i++) {
    readers.emplace_back([&, i] {
      while (!over) {
        Epochs::Guard guard(epochs, i);
        const FileLayout* found = table.find(5);
        CHECK(found != nullptr);
        CHECK(found->extents()[0].offset == found->size());
        seen++;
      }
    });
  }
  for (uint64_t i = 2; i < 20000 || seen < 1000; i++) table.publish(5, layout(i));
  over = true;
  for (auto& reader : readers) reader.join();
}

void what_readers_hold_is_freed_when_the_last_of_them_is_gone() {
  struct Flag {
    bool* freed;
    ~Flag() { *freed = true; }
  };
  Epochs epochs(2);
  bool freed = false;
  bool later = false;
  {
    Epochs::Guard reader(epochs, 1);
    epochs.retire(std::unique_ptr<Flag>(new Flag{&freed}));
    CHECK(!freed);
  }
  epochs.retire(std::unique_ptr<Flag>(new Flag{&later}));
  CHECK(freed);
}

constexpr uint64_t kChunk = Overlay::kChunkBytes;

std::unique_ptr<const OverlayChunk> chunk(std::vector<Piece> pieces) {
  auto made = std::make_unique<OverlayChunk>();
  made->pieces = std::move(pieces);
  return made;
}

void an_overlay_tells_what_is_dirty_and_where_it_lies() {
  Epochs epochs(1);
  BackingFile journal(Descriptor(), 0, epochs);
  Overlay overlay(epochs);
  auto is = [&](uint64_t position, uint64_t length, BackingFile* file, uint64_t offset, uint64_t expected) {
    Overlay::Run run = overlay.run_at(position, length);
    return run.file == file && run.offset == offset && run.length == expected;
  };
  CHECK(is(5, 100, nullptr, 5, 100));
  CHECK(overlay.publish(3, nullptr));
  CHECK(is(5, 10 * kChunk, nullptr, 5, 10 * kChunk));
  const uint64_t start = 3 * kChunk;
  CHECK(overlay.publish(3, chunk({{start + 10, start + 20, &journal, 1000}, {start + 20, start + 30, &journal, 500}})));
  Epochs::Guard guard(epochs, 0);
  CHECK(is(0, 10 * kChunk, nullptr, 0, start + 10));
  CHECK(is(start + 10, 100, &journal, 1000, 10));
  CHECK(is(start + 15, 3, &journal, 1005, 3));
  CHECK(is(start + 20, 100, &journal, 500, 10));
  CHECK(is(start + 30, 3 * kChunk, nullptr, start + 30, 3 * kChunk));
  CHECK(!overlay.publish(PublishedTable<OverlayChunk>::kCapacity, nullptr));
}

std::string read_of(std::string path) {
  std::string text(32, '\0');
  int fd = open(path.c_str(), O_RDONLY);
  CHECK(fd >= 0);
  text.resize(static_cast<size_t>(read(fd, text.data(), text.size())));
  close(fd);
  return text;
}

void notifications_go_out_in_order_and_are_answered() {
  char path[] = "/tmp/mlfs-notifier-XXXXXX";
  int fd = mkstemp(path);
  CHECK(fd >= 0);
  std::atomic<int> answered{0};
  {
    Notifier notifier(fd);
    for (const char* word : {"one ", "two ", "three"}) {
      notifier.notify({word, word + strlen(word)}, [&](int error) {
        CHECK(error == 0);
        answered++;
      });
    }
    notifier.stop();
    CHECK(answered == 3);
    int refused = 0;
    notifier.notify({'x'}, [&](int error) { refused = error; });
    CHECK(refused == ENODEV);
  }
  CHECK(read_of(path) == "one two three");
  close(fd);
  unlink(path);
}

void crc32c_is_the_same_by_table_and_by_instruction() {
  const char* check = "123456789";
  auto bytes = reinterpret_cast<const uint8_t*>(check);
  CHECK(crc32c(bytes, 9, 0) == 0xe3069283);
  CHECK(crc32c(bytes + 4, 5, crc32c(bytes, 4, 0)) == 0xe3069283);
  std::vector<uint8_t> noise(1000);
  for (size_t i = 0; i < noise.size(); i++) noise[i] = static_cast<uint8_t>(i * i * 31 + i);
  for (size_t length = 0; length < noise.size(); length += 37) {
    CHECK(crc32c(noise.data(), length, 7) == crc32c_by_table(noise.data(), length, 7));
  }
}

void the_difference_of_two_crc32_is_the_same_by_tables_and_by_folding() {
  const uint8_t check[] = {'1', '2', '3', '4', '5', '6', '7', '8', '9'};
  const uint8_t zeros[sizeof check] = {};
  // CRC-32 of the digits is 0xcbf43926, and of nine zero bytes 0xe60914ae.
  CHECK(crc32_difference(zeros, check, sizeof check, 0) == (0xcbf43926u ^ 0xe60914aeu));
  std::vector<uint8_t> before(3000), after(3000);
  for (size_t i = 0; i < before.size(); i++) {
    before[i] = static_cast<uint8_t>(i * i * 31 + i);
    after[i] = static_cast<uint8_t>(i * 17 + (i >> 3));
  }
  for (size_t length = 0; length < before.size() - 7; length += length < 300 ? 1 : 37) {
    const size_t at = length % 7;
    const uint32_t by_tables = crc32_difference_by_tables(before.data() + at, after.data() + at, length, 7);
    CHECK(crc32_difference(before.data() + at, after.data() + at, length, 7) == by_tables);
    const size_t first = length / 3;
    const uint32_t begun = crc32_difference(before.data() + at, after.data() + at, first, 7);
    CHECK(crc32_difference(before.data() + at + first, after.data() + at + first, length - first, begun) == by_tables);
    const std::vector<uint8_t> equal(length * 50);
    CHECK(crc32_shift(by_tables, equal.size()) == crc32_difference(equal.data(), equal.data(), equal.size(), by_tables));
  }
}

void a_file_is_in_place_while_every_name_leads_to_what_it_should() {
  char folder[] = "/tmp/mlfs-place-XXXXXX";
  CHECK(mkdtemp(folder) != nullptr);
  const std::string state = std::string(folder) + "/state", file = state + "/file", moved = std::string(folder) + "/moved";
  CHECK(mkdir(state.c_str(), 0700) == 0);
  close(open(file.c_str(), O_CREAT | O_RDWR, 0600));
  std::vector<PlacedName> names;
  for (const std::string& path : {state, file}) {
    struct stat found;
    CHECK(lstat(path.c_str(), &found) == 0);
    names.push_back({path, static_cast<double>(found.st_dev), static_cast<double>(found.st_ino)});
  }
  CHECK(all_in_place(names));
  CHECK(rename(state.c_str(), moved.c_str()) == 0);
  CHECK(!all_in_place(names));
  CHECK(symlink(moved.c_str(), state.c_str()) == 0);
  CHECK(all_in_place({names[1]}) && !all_in_place(names));
  unlink(state.c_str());
  CHECK(rename(moved.c_str(), state.c_str()) == 0);
  CHECK(all_in_place(names));
  unlink(file.c_str());
  CHECK(!all_in_place(names));
  rmdir(state.c_str());
  rmdir(folder);
}

}  // namespace

void reads_are_counted_by_room_and_by_how_long_they_took() {
  using namespace std::chrono_literals;
  ReadTally tally;
  tally.add(1, 10, 4us);
  tally.add(1, 20, 4us + 1ns);
  tally.add(2, 5, 1h);
  CHECK(tally.reads() == 3 && tally.bytes() == 35);
  const ReadTally::Room &one = tally.rooms()[1], &other = tally.rooms()[2];
  CHECK(one.durations[0] == 1 && one.durations[1] == 1 && one.bytes == 30 && one.nanoseconds == 8001);
  CHECK(other.durations.back() == 1 && other.bytes == 5);
}

int main() {
  reads_are_counted_by_room_and_by_how_long_they_took();
  extents_are_found_by_position_and_empty_ones_are_passed_over();
  offsets_above_4_gib_stay_exact();
  only_reads_that_touch_computed_bytes_are_not_native();
  a_published_layout_is_seen_and_a_withdrawn_one_is_not();
  readers_see_whole_layouts_while_a_writer_swaps_them();
  what_readers_hold_is_freed_when_the_last_of_them_is_gone();
  an_overlay_tells_what_is_dirty_and_where_it_lies();
  notifications_go_out_in_order_and_are_answered();
  a_file_is_in_place_while_every_name_leads_to_what_it_should();
  crc32c_is_the_same_by_table_and_by_instruction();
  the_difference_of_two_crc32_is_the_same_by_tables_and_by_folding();
  return 0;
}
