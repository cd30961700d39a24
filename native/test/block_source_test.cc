// Blocks of files that are computed with in place: every alignment and length, files that become shorter meanwhile, memory that stays flat.

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../block_source.h"
#include "../elements.h"
#include "../statistics.h"
#include "check.h"

namespace {

using namespace mlfs;

constexpr size_t kPiece = BlockSource::kPieceBytes;
constexpr size_t kWindow = BlockSource::kWindowBytes;

/// A file without a name.
class File {
 public:
  explicit File(size_t size) : fd_(memfd_create("block_source_test", MFD_CLOEXEC)) {
    CHECK(fd_ >= 0);
    resize(size);
  }
  ~File() { close(fd_); }

  void resize(size_t size) { CHECK(ftruncate(fd_, static_cast<off_t>(size)) == 0); }
  void fill(size_t size) {
    std::vector<uint8_t> bytes(size);
    for (size_t i = 0; i < size; i++) bytes[i] = byte_at(i);
    CHECK(pwrite(fd_, bytes.data(), size, 0) == static_cast<ssize_t>(size));
  }
  static uint8_t byte_at(size_t i) { return static_cast<uint8_t>((i * 2654435761U) >> 13); }
  int fd() const { return fd_; }

 private:
  const int fd_;
};

void every_alignment_and_length_has_the_bytes_of_the_file() {
  constexpr size_t kSize = 2 * kWindow + 3 * kPiece;
  File file(0);
  file.fill(kSize);
  for (size_t offset : {0UL, 1UL, 4UL, 8UL, 64UL, 4095UL, 4096UL, 8200UL}) {
    for (size_t length : {1UL, kPiece, BlockSource::kWorthMappingBytes - 1, BlockSource::kWorthMappingBytes, kWindow, kWindow + 8, 2 * kWindow + 5}) {
      BlockSource source(file.fd(), offset, length);
      std::vector<uint8_t> buffer;
      for (size_t at = 0; at < length; at += kPiece) {
        const size_t part = std::min(kPiece, length - at);
        const uint8_t* bytes = source.piece(at, part, buffer);
        CHECK(bytes != nullptr && reinterpret_cast<uintptr_t>(bytes) % 8 == 0);
        for (size_t i = 0; i < part; i++) CHECK(bytes[i] == File::byte_at(offset + at + i));
      }
      CHECK(source.finish());
    }
  }
}

/// Reads `count` pieces from `at` on; returns false as soon as there is none.
bool touch(BlockSource& source, size_t at, size_t count) {
  std::vector<uint8_t> buffer;
  uint64_t sum = 0;
  for (size_t i = 0; i < count; i++) {
    const uint8_t* bytes = source.piece(at + i * kPiece, kPiece, buffer);
    if (bytes == nullptr) return false;
    for (size_t byte = 0; byte < kPiece; byte += 512) sum += bytes[byte];
  }
  [[maybe_unused]] volatile uint64_t used = sum;
  return true;
}

void a_file_that_becomes_shorter_while_a_block_is_read_spoils_the_block() {
  File file(kWindow);
  BlockSource source(file.fd(), 64, kWindow - 64 - kPiece);
  CHECK(touch(source, 0, 3));
  file.resize(kPiece);
  CHECK(touch(source, 3 * kPiece, 3));
  CHECK(!source.finish());
  CHECK(source.error() == 0);
}

void a_file_that_becomes_shorter_between_two_windows_has_no_next_one() {
  File file(3 * kWindow);
  BlockSource source(file.fd(), 0, 3 * kWindow);
  CHECK(touch(source, 0, kWindow / kPiece));
  file.resize(kWindow);
  CHECK(!touch(source, kWindow, 1));
  CHECK(source.error() == 0);
}

void a_file_that_is_too_short_from_the_start_has_no_piece() {
  const File file(kWindow);
  BlockSource mapped(file.fd(), 8, kWindow);
  CHECK(!touch(mapped, 0, 1));
  CHECK(mapped.error() == 0);
  BlockSource read(file.fd(), kWindow - 4096, kPiece);
  CHECK(!touch(read, 0, 1));
  CHECK(read.error() == 0);
}

void a_page_that_could_not_be_read_in_a_whole_file_is_an_error_of_the_disk() {
  File file(kWindow);
  BlockSource source(file.fd(), 0, kWindow);
  CHECK(touch(source, 0, 1));
  file.resize(0);
  CHECK(touch(source, 8 * kPiece, 1));
  file.resize(kWindow);
  CHECK(!source.finish());
  CHECK(source.error() == EIO);
}

void a_file_that_cannot_be_mapped_is_read() {
  // A process without a free descriptor cannot map; it can read what it has opened.
  File file(0);
  file.fill(kWindow);
  rlimit before;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit none = before;
  none.rlim_cur = 0;
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  BlockSource source(file.fd(), 0, kWindow);
  std::vector<uint8_t> buffer;
  const uint8_t* bytes = source.piece(0, kPiece, buffer);
  CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(bytes != nullptr && bytes == buffer.data() && bytes[77] == File::byte_at(77));
  CHECK(touch(source, kPiece, kWindow / kPiece - 1));
  CHECK(source.finish());
}

size_t resident_bytes() {
  FILE* file = fopen("/proc/self/statm", "r");
  unsigned long total = 0;
  unsigned long resident = 0;
  CHECK(file != nullptr && fscanf(file, "%lu %lu", &total, &resident) == 2);
  fclose(file);
  return resident * static_cast<size_t>(getpagesize());
}

void resident_memory_is_bounded_by_the_window() {
  constexpr size_t kSize = 16 * kWindow;
  File file(0);
  file.fill(kSize);
  BlockSource source(file.fd(), 0, kSize);
  CHECK(touch(source, 0, 1));
  const size_t first = resident_bytes();
  for (size_t at = 0; at < kSize; at += kPiece) {
    CHECK(touch(source, at, 1));
    if (at % kWindow == 0) CHECK(resident_bytes() < first + 3 * kWindow);
  }
  CHECK(source.finish());
}

void statistics_of_many_threads_survive_a_file_that_becomes_shorter() {
  for (int round = 0; round < 3; round++) {
    File file(16 * kWindow);
    Statistics statistics(*element_type("float32"));
    std::vector<std::thread> threads;
    for (size_t thread = 0; thread < 4; thread++) {
      threads.emplace_back([&file, &statistics, thread] {
        std::vector<uint8_t> buffer;
        for (size_t block = thread; block < 16; block += 4) {
          BlockSource source(file.fd(), block * kWindow, kWindow);
          Statistics::Block sums(statistics, block, kWindow / 4);
          for (size_t at = 0; at < kWindow; at += kPiece) {
            const uint8_t* bytes = source.piece(at, kPiece, buffer);
            if (bytes == nullptr) break;
            sums.add(bytes, kPiece / 4);
          }
          if (!source.finish()) CHECK(source.error() == 0);
        }
      });
    }
    file.resize(5 * kWindow + 100);
    for (std::thread& thread : threads) thread.join();
    CHECK(statistics.summary().count > 0);
  }
}

}  // namespace

int main() {
  every_alignment_and_length_has_the_bytes_of_the_file();
  a_file_that_becomes_shorter_while_a_block_is_read_spoils_the_block();
  a_file_that_becomes_shorter_between_two_windows_has_no_next_one();
  a_file_that_is_too_short_from_the_start_has_no_piece();
  a_page_that_could_not_be_read_in_a_whole_file_is_an_error_of_the_disk();
  a_file_that_cannot_be_mapped_is_read();
  resident_memory_is_bounded_by_the_window();
  statistics_of_many_threads_survive_a_file_that_becomes_shorter();
  return 0;
}
