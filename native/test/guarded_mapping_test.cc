// Guarded mappings, with real files that are truncated while they are mapped. What ends a process, or replaces its handlers, happens in a child.

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "../descriptor.h"
#include "../guarded_mapping.h"
#include "check.h"

namespace {

using namespace mlfs;

const uint64_t kPage = static_cast<uint64_t>(getpagesize());

uint8_t pattern(uint64_t at) { return static_cast<uint8_t>(at * 7 % 251 + 1); }

/// A nameless file of `size` bytes, none of them zero.
Descriptor file(uint64_t size) {
  Descriptor fd(open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  CHECK(fd);
  std::vector<uint8_t> bytes(size);
  for (uint64_t at = 0; at < size; at++) bytes[at] = pattern(at);
  CHECK(pwrite(fd.get(), bytes.data(), size, 0) == static_cast<ssize_t>(size));
  return fd;
}

void cut(const Descriptor& fd, uint64_t size) { CHECK(ftruncate(fd.get(), static_cast<off_t>(size)) == 0); }

uint8_t touch(const uint8_t* byte) { return *static_cast<const volatile uint8_t*>(byte); }

/// Runs in a child. Returns its exit code, or its signal as a negative number.
int in_child(const std::function<void()>& body) {
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    body();
    _exit(0);
  }
  int status;
  CHECK(waitpid(pid, &status, 0) == pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// A page of a file that is gone, which no guard knows.
const uint8_t* foreign_page() {
  Descriptor fd = file(kPage);
  void* page = mmap(nullptr, kPage, PROT_READ, MAP_SHARED, fd.get(), 0);
  CHECK(page != MAP_FAILED);
  cut(fd, 0);
  return static_cast<const uint8_t*>(page);
}

/// Opens a mapping, loses its file and reads it: true if the process lives and the mapping knows.
bool survives() {
  Descriptor fd = file(3 * kPage);
  GuardedMapping mapping;
  CHECK(mapping.open(fd.get(), 0, 3 * kPage) == 0);
  cut(fd, 0);
  return touch(mapping.data() + kPage) == 0 && mapping.torn();
}

void install(void (*handler)(int, siginfo_t*, void*), int flags, struct sigaction* before = nullptr) {
  struct sigaction action = {};
  action.sa_sigaction = handler;
  action.sa_flags = flags;
  CHECK(sigaction(SIGBUS, &action, before) == 0);
}

void a_mapping_has_the_bytes_at_any_alignment() {
  Descriptor fd = file(5 * kPage + 77);
  const std::pair<uint64_t, uint64_t> ranges[] = {{0, 5 * kPage + 77}, {1, kPage - 1}, {kPage, 1}, {kPage + 904, 2 * kPage}, {5 * kPage + 76, 1}};
  for (auto [offset, length] : ranges) {
    for (auto intent : {MappingIntent::kNormal, MappingIntent::kSequential, MappingIntent::kRandom, MappingIntent::kWillNeed}) {
      GuardedMapping mapping;
      CHECK(mapping.open(fd.get(), offset, length, intent) == 0);
      CHECK(mapping.size() == length);
      for (uint64_t at = 0; at < length; at++) CHECK(mapping.data()[at] == pattern(offset + at));
      CHECK(!mapping.torn());
    }
  }
}

void what_cannot_be_mapped_is_an_errno() {
  Descriptor fd = file(kPage);
  GuardedMapping mapping;
  CHECK(mapping.open(fd.get(), 0, kPage + 1) == ENODATA);
  CHECK(mapping.open(fd.get(), kPage, 1) == ENODATA);
  CHECK(mapping.open(fd.get(), kPage + 1, 0) == ENODATA);
  CHECK(mapping.open(fd.get(), ~0ull, 1) == EOVERFLOW);
  CHECK(mapping.open(fd.get(), 1, ~0ull) == EOVERFLOW);
  CHECK(mapping.open(fd.get(), 1ull << 62, 1ull << 62) == EOVERFLOW);
  CHECK(mapping.open(-1, 0, 1) == EBADF);
  Descriptor folder(open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  CHECK(mapping.open(folder.get(), 0, 1) == ENODEV);
  CHECK(mapping.data() == nullptr && mapping.size() == 0 && !mapping.torn());
  CHECK(mapping.open(fd.get(), kPage, 0) == 0);
  CHECK(mapping.data() == nullptr && mapping.size() == 0 && !mapping.torn());
}

void offsets_have_64_bits() {
  Descriptor fd(open("/tmp", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600));
  const uint64_t size = 5ull << 30;
  cut(fd, size);
  const uint8_t last = 99;
  CHECK(pwrite(fd.get(), &last, 1, static_cast<off_t>(size - 1)) == 1);
  GuardedMapping whole;
  CHECK(whole.open(fd.get(), 3, size - 3) == 0);
  CHECK(touch(whole.data() + whole.size() - 1) == 99);
  GuardedMapping end;
  CHECK(end.open(fd.get(), size - 1, 1) == 0);
  CHECK(touch(end.data()) == 99);
}

void pages_that_are_gone_are_zeros_and_the_mapping_is_torn() {
  Descriptor fd = file(10 * kPage);
  Descriptor other_file = file(10 * kPage);
  GuardedMapping first, second, other;
  CHECK(first.open(fd.get(), 5, 10 * kPage - 5) == 0);
  CHECK(second.open(fd.get(), 8 * kPage, kPage) == 0);
  CHECK(other.open(other_file.get(), 0, 10 * kPage) == 0);
  CHECK(touch(first.data()) == pattern(5));
  cut(fd, 4 * kPage + 9);
  for (uint64_t at = 0; at < first.size(); at++) {
    const uint64_t place = at + 5;
    CHECK(touch(first.data() + at) == (place < 4 * kPage + 9 ? pattern(place) : 0));
  }
  CHECK(first.torn());
  CHECK(touch(second.data() + kPage - 1) == 0);
  CHECK(second.torn());
  for (uint64_t at = 0; at < other.size(); at++) CHECK(touch(other.data() + at) == pattern(at));
  CHECK(!other.torn());
}

void a_cut_inside_the_last_page_is_noticed_without_a_fault() {
  Descriptor fd = file(kPage);
  GuardedMapping mapping;
  CHECK(mapping.open(fd.get(), 0, kPage) == 0);
  cut(fd, kPage - 1);
  CHECK(touch(mapping.data() + kPage - 1) == 0);
  CHECK(mapping.torn());
}

void a_mapping_that_was_torn_stays_torn_when_the_file_grows_again() {
  Descriptor fd = file(4 * kPage);
  GuardedMapping touched, asked;
  CHECK(touched.open(fd.get(), 0, 4 * kPage) == 0);
  CHECK(asked.open(fd.get(), 0, 4 * kPage) == 0);
  cut(fd, 0);
  CHECK(touch(touched.data()) == 0);
  CHECK(asked.torn());
  cut(fd, 4 * kPage);
  CHECK(touched.torn() && asked.torn());
}

int mappings_of_the_process() {
  FILE* maps = fopen("/proc/self/maps", "re");
  CHECK(maps != nullptr);
  int lines = 0;
  for (int c; (c = fgetc(maps)) != EOF;) lines += c == '\n';
  fclose(maps);
  return lines;
}

void the_pages_that_are_gone_are_replaced_at_once() {
  Descriptor fd = file(2000 * kPage);
  GuardedMapping mapping;
  CHECK(mapping.open(fd.get(), 0, 2000 * kPage) == 0);
  cut(fd, 10 * kPage);
  const int before = mappings_of_the_process();
  // From the end, and every second page: one mapping for each of them would be a thousand.
  for (uint64_t page = 1999; page > 10; page -= 2) CHECK(touch(mapping.data() + page * kPage) == 0);
  CHECK(mappings_of_the_process() <= before + 20);
  CHECK(touch(mapping.data() + 9 * kPage) == pattern(9 * kPage));
}

void a_private_copy_can_be_written_and_the_file_stays() {
  Descriptor fd = file(4 * kPage);
  GuardedMapping mapping;
  CHECK(mapping.open(fd.get(), 10, 4 * kPage - 10, MappingIntent::kNormal, MappingAccess::kPrivateCopy) == 0);
  auto* bytes = const_cast<uint8_t*>(mapping.data());
  bytes[0] = 255;
  uint8_t in_file;
  CHECK(pread(fd.get(), &in_file, 1, 10) == 1 && in_file == pattern(10));
  cut(fd, 0);
  CHECK(touch(bytes + 2 * kPage) == 0);
  bytes[2 * kPage] = 254;
  CHECK(touch(bytes + 2 * kPage) == 254 && mapping.torn());
}

void closing_gives_back_memory_and_descriptor() {
  Descriptor fd = file(2 * kPage);
  const int before = mappings_of_the_process();
  const int next = Descriptor(dup(fd.get())).get();
  for (int i = 0; i < 1000; i++) {
    GuardedMapping mapping;
    CHECK(mapping.open(fd.get(), 0, 2 * kPage) == 0);
    GuardedMapping moved(std::move(mapping));
    CHECK(mapping.data() == nullptr && moved.data() != nullptr);
    mapping = std::move(moved);
    CHECK(touch(mapping.data() + kPage) == pattern(kPage));
    CHECK(!mapping.torn());
    mapping.close();
    mapping.close();
    CHECK(mapping.data() == nullptr && !mapping.torn());
  }
  CHECK(mappings_of_the_process() <= before + 5);
  CHECK(Descriptor(dup(fd.get())).get() == next);
}

void many_mappings_are_open_at_once() {
  Descriptor fd = file(kPage);
  std::vector<GuardedMapping> mappings(600);
  for (auto& mapping : mappings) CHECK(mapping.open(fd.get(), 0, kPage) == 0);
  cut(fd, 0);
  for (auto& mapping : mappings) CHECK(touch(mapping.data()) == 0 && mapping.torn());
}

void threads_read_while_the_file_is_truncated_and_others_open_and_close() {
  std::atomic<bool> done{false};
  std::thread opener([&done] {
    Descriptor fd = file(kPage);
    while (!done) {
      GuardedMapping mapping;
      CHECK(mapping.open(fd.get(), 0, kPage) == 0);
      CHECK(touch(mapping.data()) == pattern(0));
    }
  });
  for (int round = 0; round < 20; round++) {
    Descriptor fd = file(64 * kPage);
    GuardedMapping mapping;
    CHECK(mapping.open(fd.get(), 0, 64 * kPage) == 0);
    std::atomic<int> reading{0};
    std::vector<std::thread> readers;
    for (int reader = 0; reader < 4; reader++) {
      readers.emplace_back([&mapping, &reading] {
        reading++;
        for (;;) {
          for (uint64_t page = 0; page < 64; page++) {
            const uint8_t byte = touch(mapping.data() + page * kPage);
            CHECK(byte == pattern(page * kPage) || (byte == 0 && page >= 20));
          }
          if (mapping.torn()) return;
        }
      });
    }
    while (reading < 4) std::this_thread::yield();
    cut(fd, 20 * kPage);
    for (auto& reader : readers) reader.join();
  }
  done = true;
  opener.join();
}

void a_fault_that_is_not_ours_ends_the_process_as_before() {
  CHECK(in_child([] {
          signal(SIGBUS, SIG_DFL);
          CHECK(survives());
          touch(foreign_page());
        }) == -SIGBUS);
  CHECK(in_child([] {
          signal(SIGBUS, SIG_DFL);
          CHECK(survives());
          raise(SIGBUS);
        }) == -SIGBUS);
}

void a_signal_that_was_ignored_is_ignored_and_a_fault_is_not() {
  CHECK(in_child([] {
          signal(SIGBUS, SIG_IGN);
          CHECK(survives());
          raise(SIGBUS);
          CHECK(survives());
        }) == 0);
  CHECK(in_child([] {
          signal(SIGBUS, SIG_IGN);
          CHECK(survives());
          touch(foreign_page());
        }) == -SIGBUS);
}

const uint8_t* expected_page;

void a_handler_that_was_there_before_gets_what_is_not_ours() {
  CHECK(in_child([] {
          signal(SIGBUS, [](int) { _exit(42); });
          CHECK(survives());
          touch(foreign_page());
        }) == 42);
  CHECK(in_child([] {
          install([](int, siginfo_t* info, void* context) { _exit(info->si_addr == expected_page && context != nullptr ? 43 : 1); },
                  SA_SIGINFO);
          CHECK(survives());
          expected_page = foreign_page();
          touch(expected_page);
        }) == 43);
  // It repairs its own page, and the program goes on; a second time it is not asked.
  auto repair = [](int, siginfo_t* info, void*) {
    mmap(info->si_addr, kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  };
  CHECK(in_child([&] {
          install(repair, SA_SIGINFO);
          CHECK(survives());
          CHECK(touch(foreign_page()) == 0);
          CHECK(touch(foreign_page()) == 0);
          CHECK(survives());
        }) == 0);
  CHECK(in_child([&] {
          install(repair, SA_SIGINFO | SA_RESETHAND);
          CHECK(survives());
          CHECK(touch(foreign_page()) == 0);
          CHECK(survives());
          touch(foreign_page());
        }) == -SIGBUS);
}

struct sigaction handed_on;
std::atomic<int> seen{0};

/// As a well-behaved handler: what it does not know goes to the one before.
void later_handler(int signal, siginfo_t* info, void* context) {
  seen++;
  if (handed_on.sa_handler == SIG_DFL || handed_on.sa_handler == SIG_IGN) _exit(44);
  if ((handed_on.sa_flags & SA_SIGINFO) != 0) handed_on.sa_sigaction(signal, info, context);
  else handed_on.sa_handler(signal);
}

void a_handler_that_is_installed_later_and_hands_on_leaves_the_guard_in_place() {
  CHECK(in_child([] {
          signal(SIGBUS, SIG_DFL);
          Descriptor fd = file(3 * kPage);
          GuardedMapping mapping;
          CHECK(mapping.open(fd.get(), 0, 3 * kPage) == 0);
          install(later_handler, SA_SIGINFO, &handed_on);
          cut(fd, 0);
          CHECK(touch(mapping.data()) == 0 && mapping.torn());
          CHECK(seen == 1);
          // In front of it again, so it is not asked.
          CHECK(survives());
          CHECK(seen == 1);
          // From the guard to it, to the guard's first layer, to the default: and not round in a circle.
          touch(foreign_page());
        }) == -SIGBUS);
}

void the_next_mapping_puts_the_guard_before_a_handler_that_hands_nothing_on() {
  CHECK(in_child([] {
          signal(SIGBUS, SIG_DFL);
          CHECK(survives());
          signal(SIGBUS, [](int) { _exit(45); });
          CHECK(survives());
          touch(foreign_page());
        }) == 45);
  // Without another mapping it has the signal for itself.
  CHECK(in_child([] {
          Descriptor fd = file(kPage);
          GuardedMapping mapping;
          CHECK(mapping.open(fd.get(), 0, kPage) == 0);
          signal(SIGBUS, [](int) { _exit(46); });
          cut(fd, 0);
          touch(mapping.data());
        }) == 46);
}

void the_guard_gives_way_after_eight_times() {
  CHECK(in_child([] {
          for (int time = 0; time < 8; time++) {
            signal(SIGBUS, [](int) { _exit(47); });
            CHECK(survives());
          }
          signal(SIGBUS, [](int) { _exit(48); });
          survives();
        }) == 48);
}

}  // namespace

int main() {
  // First what needs a process without threads.
  a_fault_that_is_not_ours_ends_the_process_as_before();
  a_signal_that_was_ignored_is_ignored_and_a_fault_is_not();
  a_handler_that_was_there_before_gets_what_is_not_ours();
  a_handler_that_is_installed_later_and_hands_on_leaves_the_guard_in_place();
  the_next_mapping_puts_the_guard_before_a_handler_that_hands_nothing_on();
  the_guard_gives_way_after_eight_times();
  a_mapping_has_the_bytes_at_any_alignment();
  what_cannot_be_mapped_is_an_errno();
  offsets_have_64_bits();
  pages_that_are_gone_are_zeros_and_the_mapping_is_torn();
  a_cut_inside_the_last_page_is_noticed_without_a_fault();
  a_mapping_that_was_torn_stays_torn_when_the_file_grows_again();
  the_pages_that_are_gone_are_replaced_at_once();
  a_private_copy_can_be_written_and_the_file_stays();
  closing_gives_back_memory_and_descriptor();
  many_mappings_are_open_at_once();
  threads_read_while_the_file_is_truncated_and_others_open_and_close();
  return 0;
}
