// The opens of a kernel view, without a kernel: what waits, what is answered, what is handed on, and that every open is counted. The device
// is not a FUSE device, so no backing file can be opened and every open is plain.

#include <linux/fuse.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

#include "../view_opens.h"
#include "check.h"

namespace {

using namespace mlfs;

std::vector<uint8_t> message(uint32_t opcode, uint64_t nodeid, uint64_t unique, uint32_t flags = O_RDONLY) {
  std::vector<uint8_t> bytes(sizeof(fuse_in_header) + sizeof(fuse_release_in));
  fuse_in_header header = {};
  header.len = static_cast<uint32_t>(bytes.size());
  header.opcode = opcode;
  header.unique = unique;
  header.nodeid = nodeid;
  memcpy(bytes.data(), &header, sizeof header);
  if (opcode == FUSE_OPEN) {
    fuse_open_in in = {.flags = flags, .open_flags = 0};
    memcpy(bytes.data() + sizeof header, &in, sizeof in);
  } else {
    fuse_release_in in = {.fh = 0, .flags = flags, .release_flags = 0, .lock_owner = 0};
    memcpy(bytes.data() + sizeof header, &in, sizeof in);
  }
  return bytes;
}

struct Scene {
  Descriptor device{open("/dev/null", O_RDWR | O_CLOEXEC)};
  std::atomic<int> replies{0};
  fuse_out_header first_reply = {};
  std::vector<uint64_t> forwarded;
  std::mutex mutex;
  ViewOpens opens{ViewOpens::Connection{
      .device = device.get(),
      .reply =
          [this](const uint8_t* bytes, size_t) {
            if (replies++ == 0) memcpy(&first_reply, bytes, sizeof first_reply);
            return 0;
          },
      .forward =
          [this](std::vector<uint8_t> bytes) {
            std::lock_guard lock(mutex);
            forwarded.push_back(reinterpret_cast<const fuse_in_header*>(bytes.data())->unique);
          }}};

  bool serve(const std::vector<uint8_t>& bytes) { return opens.serve(bytes.data(), bytes.size()); }
};

void before_a_view_is_expected_nothing_is_served() {
  Scene scene;
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 1)));
  CHECK(!scene.serve(message(FUSE_RELEASE, 5, 2)));
}

void opens_wait_until_it_is_decided_whose_files_the_view_has() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  CHECK(scene.serve(message(FUSE_OPEN, 5, 1)));
  CHECK(scene.serve(message(FUSE_OPEN, 6, 2)));
  CHECK(!scene.serve(message(FUSE_OPEN, 100, 3)));
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 4, O_RDWR)));
  CHECK(scene.forwarded.empty());
  scene.opens.select(*view, {6, 7, 5000});
  CHECK(scene.forwarded == std::vector<uint64_t>{1});
  CHECK(!scene.serve(message(FUSE_OPEN, 8, 5)));
  CHECK(scene.serve(message(FUSE_OPEN, 7, 6)));
  scene.opens.attach(*view, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  CHECK((scene.forwarded == std::vector<uint64_t>{1, 2, 6}));
  // There is no such file, and no device that would take it.
  CHECK(scene.opens.counters().failures == 2);
  CHECK(scene.opens.counters().plain_opens == 2);
  CHECK(scene.opens.counters().opens == 0);
}

void nothing_waits_for_a_view_that_has_ended() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  CHECK(scene.serve(message(FUSE_OPEN, 5, 1)));
  scene.opens.end(*view);
  CHECK(scene.forwarded == std::vector<uint64_t>{1});
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 2)));
  // Its attaching comes too late.
  scene.opens.select(*view, {5});
  scene.opens.attach(*view, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 3)));
}

void opens_wait_no_longer_for_a_view_that_is_attached_all_the_same() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  CHECK(scene.serve(message(FUSE_OPEN, 5, 1)));
  scene.opens.stop_waiting(*view);
  CHECK(scene.forwarded == std::vector<uint64_t>{1});
  CHECK(!scene.serve(message(FUSE_OPEN, 6, 2)));
  scene.opens.select(*view, {5, 6, 7});
  CHECK(!scene.serve(message(FUSE_OPEN, 7, 3)));
  CHECK(scene.opens.counters().plain_opens == 1 && scene.opens.counters().failures == 0);
  for (uint64_t unique : {1, 2, 3}) scene.opens.answered(unique, 0);
  scene.serve(message(FUSE_RELEASE, 6, 4));
  scene.opens.attach(*view, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  // Files that are open stay plain; a file that is not is looked for in the view.
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 5)) && !scene.serve(message(FUSE_OPEN, 7, 6)));
  CHECK(scene.opens.counters().failures == 0);
  CHECK(!scene.serve(message(FUSE_OPEN, 6, 7)));
  CHECK(scene.opens.counters().failures == 1);
}

void a_view_that_is_suspended_before_it_is_attached_is_suspended_then() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  scene.opens.suspend(*view, true);
  scene.opens.select(*view, {5});
  CHECK(scene.serve(message(FUSE_OPEN, 5, 1)));
  scene.opens.attach(*view, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  CHECK(scene.forwarded == std::vector<uint64_t>{1});
  CHECK(scene.opens.counters().failures == 0 && scene.opens.counters().plain_opens == 1);
}

void an_open_that_the_control_plane_refused_is_not_counted() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  scene.opens.select(*view, {5});
  scene.opens.end(*view);
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 1)));
  scene.opens.answered(1, -13);
  scene.opens.answered(1, -13);
  scene.opens.answered(77, 0);
  auto later = scene.opens.expect(2, 100);
  scene.opens.select(*later, {5});
  scene.opens.attach(*later, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 2)));
  // The view was asked again, so the file counted as closed.
  CHECK(scene.opens.counters().failures == 1);
  CHECK(!scene.serve(message(FUSE_OPEN, 5, 3)));
  CHECK(scene.opens.counters().failures == 1);
}

void an_open_that_waits_can_be_interrupted() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  CHECK(scene.serve(message(FUSE_OPEN, 5, 2)) && scene.serve(message(FUSE_OPEN, 6, 4)));
  auto interrupt = [](uint64_t unique) {
    auto bytes = message(FUSE_INTERRUPT, 0, unique | 1);
    memcpy(bytes.data() + sizeof(fuse_in_header), &unique, sizeof unique);
    return bytes;
  };
  // Another request's, which the control plane may have.
  CHECK(!scene.serve(interrupt(8)) && scene.replies == 0);
  CHECK(scene.serve(interrupt(2)) && scene.replies == 1);
  CHECK(scene.first_reply.unique == 2 && scene.first_reply.error == -EINTR);
  CHECK(!scene.serve(interrupt(2)) && scene.replies == 1);
  scene.opens.end(*view);
  CHECK(scene.forwarded == std::vector<uint64_t>{4});
}

void a_message_that_is_cut_is_handed_on() {
  Scene scene;
  scene.opens.expect(2, 100);
  auto cut = message(FUSE_OPEN, 5, 1);
  CHECK(!scene.opens.serve(cut.data(), sizeof(fuse_in_header) + 3));
  cut = message(FUSE_RELEASE, 5, 1);
  CHECK(!scene.opens.serve(cut.data(), sizeof(fuse_in_header) + 8));
}

void what_waits_when_the_connection_ends_is_dropped() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  CHECK(scene.serve(message(FUSE_OPEN, 5, 1)));
  scene.opens.end_all();
  scene.opens.select(*view, {5});
  scene.opens.end(*view);
  CHECK(scene.forwarded.empty() && scene.replies == 0);
}

/// Opens of one thread are answered by another one, as those that the control plane answers; half of them are refused.
void opens_are_answered_by_another_thread() {
  Scene scene;
  auto view = scene.opens.expect(2, 100);
  scene.opens.select(*view, {});
  constexpr uint64_t kOpens = 20000;
  std::atomic<uint64_t> handed{0};
  std::thread answering([&] {
    for (uint64_t unique = 1; unique <= kOpens; unique++) {
      while (handed.load() < unique) std::this_thread::yield();
      scene.opens.answered(kOpens + unique, 0);  // another kind of request
      scene.opens.answered(unique, unique % 2 == 0 ? 0 : -EACCES);
    }
  });
  for (uint64_t unique = 1; unique <= kOpens; unique++) {
    CHECK(!scene.serve(message(FUSE_OPEN, 2 + unique % 2, unique)));
    handed.store(unique);
  }
  answering.join();
  // Every refusal was noticed: nodeid 3 counts as closed and is looked for in the view, and 2 is open.
  scene.opens.end(*view);
  auto later = scene.opens.expect(2, 100);
  scene.opens.select(*later, {2, 3});
  scene.opens.attach(*later, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
  CHECK(!scene.serve(message(FUSE_OPEN, 2, 2 * kOpens + 1)) && scene.opens.counters().failures == 0);
  CHECK(!scene.serve(message(FUSE_OPEN, 3, 2 * kOpens + 2)) && scene.opens.counters().failures == 1);
}

void threads_open_and_close_while_views_come_and_go() {
  Scene scene;
  scene.opens.expect(200, 300);
  std::vector<std::thread> threads;
  for (uint64_t thread = 0; thread < 3; thread++) {
    threads.emplace_back([&scene, thread] {
      for (uint64_t i = 0; i < 3000; i++) {
        uint64_t unique = (thread << 32) + i;
        uint64_t nodeid = 2 + i % 7;
        if (scene.serve(message(FUSE_OPEN, nodeid, unique))) continue;
        scene.opens.answered(unique, 0);
        scene.serve(message(FUSE_RELEASE, nodeid, unique));
      }
    });
  }
  for (int i = 0; i < 200; i++) {
    auto view = scene.opens.expect(2, 100);
    scene.opens.select(*view, {3, 4, 5});
    scene.opens.suspend(*view, i % 3 == 0);
    if (i % 4 < 2) scene.opens.stop_waiting(*view);
    if (i % 2 == 0) scene.opens.attach(*view, Descriptor(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)));
    scene.opens.end(*view);
  }
  for (auto& thread : threads) thread.join();
  scene.opens.end_all();
  CHECK(scene.opens.counters().open_files == 0);
}

}  // namespace

int main() {
  before_a_view_is_expected_nothing_is_served();
  opens_wait_until_it_is_decided_whose_files_the_view_has();
  nothing_waits_for_a_view_that_has_ended();
  opens_wait_no_longer_for_a_view_that_is_attached_all_the_same();
  a_view_that_is_suspended_before_it_is_attached_is_suspended_then();
  an_open_that_the_control_plane_refused_is_not_counted();
  an_open_that_waits_can_be_interrupted();
  a_message_that_is_cut_is_handed_on();
  what_waits_when_the_connection_ends_is_dropped();
  opens_are_answered_by_another_thread();
  threads_open_and_close_while_views_come_and_go();
  return 0;
}
