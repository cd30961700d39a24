// The parts of the data plane that need no device: extent lookup, publication under readers.

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#include "../extent_table.h"

namespace {

using namespace mlfs;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (false)

void extents_are_found_by_position_and_empty_ones_are_passed_over() {
  FileLayout layout({{nullptr, 0, 10}, {nullptr, 10, 0}, {nullptr, 10, 5}, {nullptr, 15, 1}}, std::vector<uint8_t>(16));
  CHECK(layout.size() == 16);
  CHECK(layout.extent_at(0) == 0);
  CHECK(layout.extent_at(9) == 0);
  CHECK(layout.extent_at(10) == 2);
  CHECK(layout.extent_at(14) == 2);
  CHECK(layout.extent_at(15) == 3);
}

void offsets_above_4_gib_stay_exact() {
  constexpr uint64_t far = (uint64_t{1} << 40) + 12345;
  FileLayout layout({{nullptr, 0, far}, {nullptr, 0, 7}}, {});
  CHECK(layout.size() == far + 7);
  CHECK(layout.extent_at(far - 1) == 0);
  CHECK(layout.extent_at(far) == 1);
  CHECK(layout.start_of(1) == far);
}

void a_published_layout_is_seen_and_a_withdrawn_one_is_not() {
  ExtentTable table(1);
  CHECK(table.publish(70000, std::make_unique<const FileLayout>(std::vector<Extent>{{nullptr, 0, 3}},
                                                               std::vector<uint8_t>(3))));
  {
    ExtentTable::ReadGuard guard(table, 0);
    CHECK(guard.find(70000) != nullptr && guard.find(70000)->size() == 3);
    CHECK(guard.find(70001) == nullptr);
    CHECK(guard.find(ExtentTable::kCapacity) == nullptr);
  }
  CHECK(table.publish(70000, nullptr));
  ExtentTable::ReadGuard guard(table, 0);
  CHECK(guard.find(70000) == nullptr);
  CHECK(!table.publish(ExtentTable::kCapacity, nullptr));
}

void readers_see_whole_layouts_while_a_writer_swaps_them() {
  constexpr size_t kReaders = 3;
  ExtentTable table(kReaders);
  auto layout = [](uint64_t length) {
    // Two numbers that must agree: a torn or freed layout shows as a difference (or to the sanitizers).
    return std::make_unique<const FileLayout>(std::vector<Extent>{{nullptr, length, length}}, std::vector<uint8_t>());
  };
  table.publish(5, layout(1));
  std::atomic<bool> over{false};
  std::atomic<uint64_t> seen{0};
  std::vector<std::thread> readers;
  for (size_t i = 0; i < kReaders; i++) {
    readers.emplace_back([&, i] {
      while (!over) {
        ExtentTable::ReadGuard guard(table, i);
        const FileLayout* found = guard.find(5);
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

}  // namespace

int main() {
  extents_are_found_by_position_and_empty_ones_are_passed_over();
  offsets_above_4_gib_stay_exact();
  a_published_layout_is_seen_and_a_withdrawn_one_is_not();
  readers_see_whole_layouts_while_a_writer_swaps_them();
  return 0;
}
