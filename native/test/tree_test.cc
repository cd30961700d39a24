// The inode table, listings and the answers made from them, without a device.

#include <linux/fuse.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "../attribute_reply.h"
#include "../inode_table.h"
#include "../permission.h"
#include "../tree_requests.h"
#include "refused_memory.h"
#include "check.h"

namespace {

using namespace mlfs;
using Outcome = TreeRequests::Outcome;

constexpr uint32_t kFolder = S_IFDIR | 0555;
constexpr uint32_t kFile = S_IFREG | 0444;

std::unique_ptr<const InodeRow> row(uint32_t mode, uint64_t size, uint8_t flags = 0, uint32_t parent = 0) {
  return std::unique_ptr<const InodeRow>(new InodeRow{.size = size,
                                                      .mtime_seconds = static_cast<int64_t>(size),
                                                      .offset = 0,
                                                      .file = nullptr,
                                                      .changes = nullptr,
                                                      .mtime_nanoseconds = 5,
                                                      .nlink = 1,
                                                      .parent = parent,
                                                      .mode = static_cast<uint16_t>(mode),
                                                      .flags = flags,
                                                      .room = 0});
}

void add(InodeTable& table, uint64_t nodeid, std::unique_ptr<const InodeRow> one) {
  std::vector<InodeTable::NewRow> rows;
  rows.push_back({nodeid, std::move(one)});
  table.add(std::move(rows));
}

std::unique_ptr<const DirectoryListing> listing(uint8_t flags, const std::vector<ListedName>& entries) {
  return DirectoryListing::make(flags, entries.data(), entries.size());
}

void publish_listing(InodeTable& table, uint64_t nodeid, std::unique_ptr<const DirectoryListing> one) {
  std::vector<InodeTable::NewListing> listings;
  listings.push_back({nodeid, std::move(one)});
  table.publish_listings(std::move(listings));
}

std::unique_ptr<const TreeDefaults> defaults() {
  auto made = std::make_unique<TreeDefaults>();
  made->uid = 1000;
  made->gid = 100;
  made->read_only = true;
  made->keep_seconds = 86400;
  return made;
}

/// A table with a folder 1 of the files 2 (a) and 3 (b, which is told), behind handlers.
struct Scene {
  Epochs epochs{1};
  InodeTable table{epochs};
  AnswerTally tally;
  TreeRequests requests{table, tally};
  std::vector<uint8_t> message;
  size_t length = 0;
  bool without_memory = false;

  Scene() {
    table.set_defaults(defaults());
    add(table, 1, row(kFolder, 0));
    add(table, 2, row(kFile, 1000, InodeRow::kReadable | InodeRow::kNoXattrs));
    add(table, 3, row(kFile, 7, InodeRow::kTell));
    publish_listing(table, 1, listing(DirectoryListing::kComplete, {{2, 3, "a"}, {3, 4, "b"}}));
  }

  Outcome ask(uint32_t opcode, uint64_t nodeid, const void* body, size_t body_bytes) {
    fuse_in_header header = {};
    header.len = static_cast<uint32_t>(sizeof header + body_bytes);
    header.opcode = opcode;
    header.unique = 77;
    header.nodeid = nodeid;
    header.uid = 4242;
    message.resize(header.len);
    memcpy(message.data(), &header, sizeof header);
    if (body_bytes > 0) memcpy(message.data() + sizeof header, body, body_bytes);
    length = message.size();
    Epochs::Guard guard(epochs, 0);
    no_memory = without_memory;
    const Outcome outcome = requests.serve(message.data(), length);
    no_memory = false;
    if (outcome == Outcome::kReply) requests.count();
    return outcome;
  }
  Outcome ask(uint32_t opcode, uint64_t nodeid) { return ask(opcode, nodeid, nullptr, 0); }
  Outcome lookup(uint64_t parent, const std::string& name) { return ask(FUSE_LOOKUP, parent, name.c_str(), name.size() + 1); }
  Outcome list(uint64_t offset, uint32_t size, bool plus) {
    fuse_read_in in = {};
    in.offset = offset;
    in.size = size;
    return ask(plus ? FUSE_READDIRPLUS : FUSE_READDIR, 1, &in, sizeof in);
  }
  Outcome forget(uint64_t nodeid, uint64_t count) {
    fuse_forget_in in = {count};
    return ask(FUSE_FORGET, nodeid, &in, sizeof in);
  }

  int error() const {
    fuse_out_header header;
    memcpy(&header, requests.reply().data(), sizeof header);
    CHECK(header.len == requests.reply().size() && header.unique == 77);
    return -header.error;
  }
  template <class Body>
  Body body() const {
    CHECK(error() == 0 && requests.reply().size() == sizeof(fuse_out_header) + sizeof(Body));
    Body body;
    memcpy(&body, requests.reply().data() + sizeof(fuse_out_header), sizeof body);
    return body;
  }
};

void names_are_found_in_listings_of_any_size() {
  for (const size_t count : {0, 1, 8, 9, 100, 20000}) {
    std::vector<std::string> names;
    for (size_t i = 0; i < count; i++) names.push_back("layers." + std::to_string(i * 7) + ".weight");
    std::vector<ListedName> entries;
    for (size_t i = 0; i < count; i++) entries.push_back({100 + i, 3 + i, names[i]});
    auto made = listing(0, entries);
    CHECK(made != nullptr && made->size() == count);
    for (size_t i = 0; i < count; i++) {
      CHECK(made->find(names[i]) == i && made->nodeid(i) == 100 + i && made->offset(i) == 3 + i && made->name(i) == names[i]);
    }
    CHECK(!made->find("layers.3.weight") && !made->find(""));
  }
}

void readers_that_look_into_a_large_listing_at_once_find_the_same() {
  std::vector<std::string> names;
  for (size_t i = 0; i < 5000; i++) names.push_back(std::to_string(i));
  std::vector<ListedName> entries;
  for (size_t i = 0; i < names.size(); i++) entries.push_back({100 + i, 3 + i, names[i]});
  for (int round = 0; round < 20; round++) {
    auto made = listing(0, entries);
    std::vector<std::thread> threads;
    for (size_t first = 0; first < 3; first++) {
      threads.emplace_back([&, first] {
        for (size_t i = first; i < names.size(); i += 501) CHECK(made->find(names[i]) == i);
      });
    }
    for (auto& thread : threads) thread.join();
  }
}

void a_listing_goes_on_after_any_offset() {
  auto dense = listing(0, {{5, 3, "x"}, {6, 4, "y"}});
  auto gaps = listing(0, {{5, 7, "x"}, {6, 1000, "y"}, {7, uint64_t{1} << 40, "z"}});
  CHECK(dense->first_after(0) == 0 && dense->first_after(2) == 0 && dense->first_after(3) == 1 && dense->first_after(4) == 2);
  CHECK(dense->first_after(UINT64_MAX) == 2);
  CHECK(gaps->first_after(0) == 0 && gaps->first_after(6) == 0 && gaps->first_after(7) == 1 && gaps->first_after(999) == 1);
  CHECK(gaps->first_after(1000) == 2 && gaps->first_after(uint64_t{1} << 40) == 3);
  CHECK(listing(0, {{5, 2, "x"}}) == nullptr && listing(0, {{5, 4, "x"}, {6, 4, "y"}}) == nullptr);
  CHECK(listing(0, {{uint64_t{1} << 32, 3, "x"}}) == nullptr);
}

void a_lookup_gives_the_entry_and_counts_the_reference() {
  Scene scene;
  CHECK(scene.lookup(1, "a") == Outcome::kReply);
  const auto entry = scene.body<fuse_entry_out>();
  CHECK(entry.nodeid == 2 && entry.entry_valid == 86400 && entry.attr_valid == 86400 && entry.attr.size == 1000);
  CHECK(entry.attr.blocks == 2 && entry.attr.mode == kFile && entry.attr.uid == 1000 && entry.attr.gid == 100);
  CHECK(scene.table.references(2) == 1);
  scene.requests.take_back_references();
  CHECK(scene.table.references(2) == 0);
}

void a_missing_name_is_absent_only_where_the_listing_is_complete() {
  Scene scene;
  CHECK(scene.lookup(1, "c") == Outcome::kReply);
  CHECK(scene.body<fuse_entry_out>().nodeid == 0 && scene.body<fuse_entry_out>().entry_valid == 0);
  publish_listing(scene.table, 1, listing(DirectoryListing::kComplete | DirectoryListing::kAbsenceLasts, {}));
  CHECK(scene.lookup(1, "c") == Outcome::kReply && scene.body<fuse_entry_out>().entry_valid == 86400);
  publish_listing(scene.table, 1, listing(0, {{2, 3, "a"}}));
  CHECK(scene.lookup(1, "c") == Outcome::kForward && scene.lookup(1, "a") == Outcome::kReply);
  CHECK(scene.list(0, 4096, false) == Outcome::kForward);
  scene.table.withdraw_listing(1);
  CHECK(scene.lookup(1, "a") == Outcome::kForward);
}

void what_is_withdrawn_is_forwarded_but_its_references_are_counted() {
  Scene scene;
  CHECK(scene.lookup(1, "a") == Outcome::kReply);
  scene.table.withdraw(2);
  CHECK(scene.lookup(1, "a") == Outcome::kForward && scene.ask(FUSE_GETATTR, 2) == Outcome::kForward);
  CHECK(scene.list(0, 4096, true) == Outcome::kForward);
  CHECK(scene.table.add_reference(2, false) && scene.table.references(2) == 2);
  CHECK(scene.forget(2, 2) == Outcome::kFinished && scene.table.references(2) == 0);
  CHECK(scene.table.news()->take_forgotten() == std::vector<uint32_t>{2});
  add(scene.table, 2, row(kFile, 5));
  CHECK(scene.lookup(1, "a") == Outcome::kReply && scene.body<fuse_entry_out>().attr.size == 5);
}

void the_first_and_last_references_of_told_inodes_are_told() {
  Scene scene;
  size_t arrivals = 0;
  scene.table.news()->on_forgotten([&] { arrivals++; });
  size_t takings = 0;
  scene.table.news()->before_remembered([&] { takings++; });
  for (int i = 0; i < 2; i++) CHECK(scene.lookup(1, "a") == Outcome::kReply && scene.lookup(1, "b") == Outcome::kReply);
  CHECK(takings == 0 && scene.table.news()->has_remembered());
  CHECK(scene.table.news()->take_remembered() == std::vector<uint32_t>{3});
  CHECK(scene.table.news()->take_remembered().empty() && takings == 1 && !scene.table.news()->has_remembered());
  CHECK(scene.forget(3, 1) == Outcome::kFinished && arrivals == 0);
  CHECK(scene.forget(3, 9) == Outcome::kFinished && scene.forget(2, 2) == Outcome::kFinished && arrivals == 1);
  CHECK(scene.table.references(3) == 0 && scene.table.news()->take_forgotten() == std::vector<uint32_t>{3});
  CHECK(scene.forget(3, 1) == Outcome::kFinished && scene.table.news()->take_forgotten().empty());
}

void of_a_batch_only_the_unknown_part_is_left() {
  Scene scene;
  CHECK(scene.lookup(1, "a") == Outcome::kReply);
  struct {
    fuse_batch_forget_in batch;
    fuse_forget_one ones[4];
  } body = {{4, 0}, {{900, 3}, {2, 1}, {uint64_t{1} << 60, 5}, {3, 1}}};
  CHECK(scene.ask(FUSE_BATCH_FORGET, 0, &body, sizeof body) == Outcome::kForward);
  CHECK(scene.length == sizeof(fuse_in_header) + sizeof(fuse_batch_forget_in) + 2 * sizeof(fuse_forget_one));
  fuse_in_header header;
  memcpy(&header, scene.message.data(), sizeof header);
  memcpy(&body, scene.message.data() + sizeof header, scene.length - sizeof header);
  CHECK(header.len == scene.length && body.batch.count == 2);
  CHECK(body.ones[0].nodeid == 900 && body.ones[0].nlookup == 3 && body.ones[1].nodeid == uint64_t{1} << 60);
  CHECK(scene.table.references(2) == 0);
  // A count that the message has no room for: nothing is believed.
  CHECK(scene.lookup(1, "a") == Outcome::kReply);
  body.batch.count = 5;
  body.ones[0] = {2, 1};
  CHECK(scene.ask(FUSE_BATCH_FORGET, 0, &body, sizeof body) == Outcome::kForward && scene.length == scene.message.size());
  CHECK(scene.table.references(2) == 1);
}

void a_listing_has_what_fits_and_references_only_that() {
  Scene scene;
  const size_t plus = sizeof(fuse_entry_out) + 32, plain = 32;
  CHECK(scene.list(0, 4096, false) == Outcome::kReply && scene.requests.reply().size() == 16 + 4 * plain);
  CHECK(scene.list(3, 4096, false) == Outcome::kReply && scene.requests.reply().size() == 16 + plain);
  CHECK(scene.list(4, 4096, false) == Outcome::kReply && scene.requests.reply().size() == 16);
  CHECK(scene.table.references(2) == 0);
  CHECK(scene.list(0, 3 * plus + plus - 1, true) == Outcome::kReply && scene.requests.reply().size() == 16 + 3 * plus);
  CHECK(scene.table.references(2) == 1 && scene.table.references(3) == 0 && scene.table.references(1) == 0);
  CHECK(scene.list(2, plus - 1, true) == Outcome::kReply && scene.requests.reply().size() == 16);
  scene.table.withdraw(3);
  // What does not fit is not asked for.
  CHECK(scene.list(0, 3 * plus, true) == Outcome::kReply && scene.table.references(2) == 2);
  CHECK(scene.list(0, 4096, true) == Outcome::kForward && scene.table.references(2) == 2);
}

void changed_attributes_are_shown_until_the_row_is_added_again() {
  Scene scene;
  auto changes = std::unique_ptr<const InodeChanges>(new InodeChanges{
      .mode = 0600, .uid = 1, .gid = 2, .size = 9, .accessed = {-1, 1}, .modified = {11, 2}, .changed = {12, 3}});
  CHECK(scene.table.change(2, std::move(changes)) && !scene.table.change(99, nullptr));
  CHECK(scene.ask(FUSE_GETATTR, 2) == Outcome::kReply);
  const fuse_attr attr = scene.body<fuse_attr_out>().attr;
  CHECK(attr.mode == (S_IFREG | 0600) && attr.uid == 1 && attr.gid == 2 && attr.size == 9);
  CHECK(static_cast<int64_t>(attr.atime) == -1 && attr.mtime == 11 && attr.ctime == 12 && attr.ctimensec == 3);
  fuse_open_in open = {};
  CHECK(scene.ask(FUSE_OPEN, 2, &open, sizeof open) == Outcome::kForward);
  add(scene.table, 2, row(kFile, 1000, InodeRow::kReadable));
  CHECK(scene.ask(FUSE_GETATTR, 2) == Outcome::kReply && scene.body<fuse_attr_out>().attr.mode == kFile);
  CHECK(scene.ask(FUSE_OPEN, 2, &open, sizeof open) == Outcome::kReply);
}

void attributes_that_must_be_asked_for_are_named_but_not_kept() {
  Scene scene;
  add(scene.table, 2, row(kFile, 1000, InodeRow::kAsk));
  CHECK(scene.lookup(1, "a") == Outcome::kReply);
  const auto entry = scene.body<fuse_entry_out>();
  CHECK(entry.nodeid == 2 && entry.entry_valid == 86400 && entry.attr_valid == 0 && entry.attr.size == 1000);
  CHECK(scene.ask(FUSE_GETATTR, 2) == Outcome::kForward && scene.ask(kStatxOpcode, 2) == Outcome::kForward);
  CHECK(scene.list(0, 4096, true) == Outcome::kReply && scene.table.references(2) == 2);
}

void groups_that_the_request_does_not_name_are_the_control_planes_affair() {
  const Owned inode = {S_IFREG | 0640, 10, 20};
  CHECK(permits(inode, 4, {10, 0}) == Permitted::kYes && permits(inode, 4, {11, 20}) == Permitted::kYes);
  CHECK(permits(inode, 4, {11, 21}) == Permitted::kDependsOnGroups && permits(inode, 2, {11, 21}) == Permitted::kNo);
  CHECK(permits(inode, 1, {0, 0}) == Permitted::kNo && permits({S_IFDIR, 1, 1}, 7, {0, 0}) == Permitted::kYes);
  CHECK(permits(inode, 0, {11, 21}) == Permitted::kYes);
}

void malformed_messages_are_forwarded() {
  Scene scene;
  CHECK(scene.ask(FUSE_LOOKUP, 1, "a", 1) == Outcome::kForward);
  CHECK(scene.lookup(1, std::string(256, 'x')) == Outcome::kForward && scene.lookup(1, std::string(255, 'x')) == Outcome::kReply);
  CHECK(scene.ask(FUSE_READDIR, 1, "", 1) == Outcome::kForward && scene.ask(FUSE_OPEN, 2) == Outcome::kForward);
  CHECK(scene.ask(FUSE_GETXATTR, 2, "12345678user.x", 14) == Outcome::kForward);
  CHECK(scene.ask(FUSE_GETATTR, 2) == Outcome::kReply);
  scene.message.push_back(0);
  size_t length = scene.message.size();
  Epochs::Guard guard(scene.epochs, 0);
  CHECK(scene.requests.serve(scene.message.data(), length) == Outcome::kForward);
  length = 39;
  CHECK(scene.requests.serve(scene.message.data(), length) == Outcome::kForward);
}

void a_tree_that_is_gone_is_gone_in_every_leaf() {
  Epochs epochs(1);
  InodeTable table(epochs);
  table.set_defaults(defaults());
  constexpr uint64_t kFirst = 4000, kLast = 13000;
  for (uint64_t nodeid = kFirst - 1; nodeid <= kLast + 1; nodeid++) {
    add(table, nodeid, row(kFile, nodeid));
    publish_listing(table, nodeid, listing(0, {}));
    CHECK(table.add_reference(nodeid, false));
  }
  table.withdraw_all(kFirst, kLast - kFirst + 1);
  CHECK(table.find(kFirst - 1) != nullptr && table.find(kLast + 1) != nullptr && table.references(kLast + 1) == 1);
  for (uint64_t nodeid = kFirst; nodeid <= kLast; nodeid++) {
    CHECK(table.find(nodeid) == nullptr && table.listing(nodeid) == nullptr && table.references(nodeid) == 0);
    CHECK(!table.add_reference(nodeid, false));
  }
  table.withdraw_all(1, UINT64_MAX / 2);
  CHECK(table.find(kLast + 1) == nullptr);
}

/// Rows and listings change under readers: every answer is one state, and the sanitizers see what is used after it was freed.
void readers_see_whole_states_while_the_writer_changes_everything() {
  constexpr size_t kReaders = 3;
  Epochs epochs(kReaders);
  InodeTable table(epochs);
  AnswerTally tally;
  table.set_defaults(defaults());
  add(table, 1, row(kFolder, 0));
  std::atomic<bool> over{false};
  std::atomic<uint64_t> answered{0};
  std::vector<std::thread> readers;
  for (size_t index = 0; index < kReaders; index++) {
    readers.emplace_back([&, index] {
      TreeRequests requests(table, tally);
      for (uint32_t turn = 0; !over; turn++) {
        struct {
          fuse_in_header header;
          fuse_read_in in;
        } message = {};
        message.header.len = sizeof message;
        message.header.opcode = turn % 2 == 0 ? static_cast<uint32_t>(FUSE_READDIRPLUS) : static_cast<uint32_t>(FUSE_GETATTR);
        message.header.nodeid = turn % 2 == 0 ? 1 : 2 + turn % 5;
        message.in.size = 65536;
        size_t length = sizeof message;
        Epochs::Guard guard(epochs, index);
        if (requests.serve(reinterpret_cast<uint8_t*>(&message), length) != Outcome::kReply) continue;
        answered++;
        if (turn % 2 == 0) {
          requests.take_back_references();
          continue;
        }
        fuse_attr_out out;
        memcpy(&out, requests.reply().data() + sizeof(fuse_out_header), sizeof out);
        // Two numbers that every state has the same.
        CHECK(out.attr.size == out.attr.mtime);
      }
    });
  }
  auto names = [](uint64_t count) {
    static const std::string text[] = {"p", "q", "r", "s", "t"};
    std::vector<ListedName> entries;
    for (uint64_t i = 0; i < count; i++) entries.push_back({2 + i, 3 + i, text[i]});
    return listing(DirectoryListing::kComplete, entries);
  };
  for (uint64_t turn = 1; turn < 3000 || answered < 3000; turn++) {
    const uint64_t nodeid = 2 + turn % 5;
    add(table, nodeid, row(kFile, turn, InodeRow::kTell));
    publish_listing(table, 1, names(turn % 6));
    table.change(nodeid, std::unique_ptr<const InodeChanges>(new InodeChanges{
                             0444, 0, 0, turn, {0, 0}, {static_cast<int64_t>(turn), 0}, {0, 0}}));
    if (turn % 7 == 0) table.withdraw(nodeid);
    if (turn % 50 == 0) table.set_defaults(defaults());
    if (turn % 97 == 0) {
      table.withdraw_all(0, 4096);
      add(table, 1, row(kFolder, 0));
    }
    table.news()->take_remembered();
  }
  over = true;
  for (auto& reader : readers) reader.join();
}

/// What the control plane does with a change: it is published, then the references are asked. If there are none, nobody has the old attributes.
void no_reader_keeps_attributes_of_before_a_change_that_saw_no_reference() {
  constexpr uint64_t kTurns = 5000;
  Scene scene;
  std::atomic<uint64_t> turn{0}, answered{0}, seen{0};
  std::atomic<bool> over{false};
  std::thread reader([&] {
    for (uint64_t at = 1; !over; at++) {
      while (turn < at && !over) std::this_thread::yield();
      if (over) return;
      CHECK(scene.lookup(1, at % 2 == 0 ? "a" : "b") == Outcome::kReply);
      seen = scene.body<fuse_entry_out>().attr.mtime;
      answered = at;
    }
  });
  for (uint64_t at = 1; at <= kTurns; at++) {
    const uint64_t nodeid = at % 2 == 0 ? 2 : 3;
    turn = at;
    for (uint64_t i = 0; i < at % 64; i++) scene.table.references(nodeid);
    scene.table.change(nodeid, std::unique_ptr<const InodeChanges>(new InodeChanges{
                                   0444, 0, 0, 1, {0, 0}, {static_cast<int64_t>(at), 0}, {0, 0}}));
    const bool told = !scene.table.news()->take_remembered().empty();
    const bool referenced = nodeid == 2 ? scene.table.references(2) > 0 : told;
    while (answered < at) std::this_thread::yield();
    CHECK(referenced || seen == at);
    scene.table.drop_references(nodeid, 1, false);
    scene.table.news()->take_remembered();
  }
  over = true;
  reader.join();
}

void a_reply_that_is_not_given_leaves_no_reference() {
  Scene scene;
  scene.table.withdraw(3);
  CHECK(scene.list(0, 4096, true) == Outcome::kForward && scene.lookup(1, "b") == Outcome::kForward);
  CHECK(scene.table.references(2) == 0 && scene.table.references(3) == 0);
  scene.table.withdraw_all(3, 1);
  CHECK(scene.list(0, 4096, true) == Outcome::kForward && scene.lookup(1, "b") == Outcome::kForward);
  CHECK(scene.table.references(2) == 0 && scene.table.references(3) == 0);
}

void a_withdrawal_needs_no_memory_and_nothing_waits_for_it() {
  Epochs epochs(1);
  InodeTable table(epochs);
  for (uint64_t nodeid = 1; nodeid <= 3000; nodeid++) {
    add(table, nodeid, row(kFile, nodeid));
    publish_listing(table, nodeid, listing(0, {}));
  }
  Epochs::Guard guard(epochs, 0);
  no_memory = true;
  for (uint64_t nodeid = 1; nodeid < 3000; nodeid++) table.withdraw(nodeid);
  table.withdraw_listing(3000);
  no_memory = false;
  CHECK(table.find(1) == nullptr && table.find(2999) == nullptr && table.find(3000) != nullptr);
  CHECK(table.listing(1) == nullptr && table.listing(3000) == nullptr && epochs.waiting() == 0);
}

void what_one_call_replaces_waits_together_for_a_reader() {
  constexpr uint64_t kFolders = 20'000;
  Epochs epochs(1);
  InodeTable table(epochs);
  auto publish = [&] {
    std::vector<InodeTable::NewListing> listings;
    for (uint64_t nodeid = 1; nodeid <= kFolders; nodeid++) listings.push_back({nodeid, listing(0, {})});
    table.publish_listings(std::move(listings));
  };
  publish();
  Epochs::Guard guard(epochs, 0);
  publish();
  CHECK(epochs.waiting() == 1);
  table.withdraw_all(1, kFolders);
  CHECK(epochs.waiting() == 2 && table.listing(1) == nullptr && table.listing(kFolders) == nullptr);
}

/// One change, for every place at which memory may run out while it is made: it throws and nothing has changed, or it is made.
template <class Change, class IsMade>
void without_memory_all_or_nothing(Change change, IsMade is_made) {
  for (int allocations = 0;; allocations++) {
    CHECK(allocations < 100);
    Epochs epochs(1);
    InodeTable table(epochs);
    add(table, 1, row(kFolder, 0));
    publish_listing(table, 1, listing(0, {}));
    const InodeRow* before = table.find(1);
    const DirectoryListing* names = table.listing(1);
    bool failed = false;
    try {
      change(table, allocations);
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    allocations_left = -1;
    CHECK(is_made(table) == !failed);
    if (failed) CHECK(table.find(1) == before && table.listing(1) == names && table.find(9000) == nullptr);
    if (!failed) return;
  }
}

void where_memory_runs_out_nothing_is_changed() {
  without_memory_all_or_nothing(
      [](InodeTable& table, int allocations) {
        std::vector<InodeTable::NewRow> rows;
        rows.push_back({1, row(kFolder, 7)});
        rows.push_back({9000, row(kFile, 7)});
        rows.push_back({1, row(kFolder, 8)});
        allocations_left = allocations;
        table.add(std::move(rows));
      },
      [](const InodeTable& table) { return table.find(1)->size == 8 && table.find(9000) != nullptr; });
  without_memory_all_or_nothing(
      [](InodeTable& table, int allocations) {
        std::vector<InodeTable::NewListing> listings;
        listings.push_back({1, listing(0, {{9000, 3, "a"}})});
        listings.push_back({9000, listing(0, {{1, 3, "b"}})});
        allocations_left = allocations;
        table.publish_listings(std::move(listings));
      },
      [](const InodeTable& table) { return table.listing(1)->size() == 1 && table.listing(9000) != nullptr; });
  without_memory_all_or_nothing(
      [](InodeTable& table, int allocations) {
        std::unique_ptr<const InodeChanges> changes(new InodeChanges{0111, 0, 0, 0, {0, 0}, {0, 0}, {0, 0}});
        allocations_left = allocations;
        table.change(1, std::move(changes));
      },
      [](const InodeTable& table) { return table.find(1)->changes != nullptr; });
}

void a_tree_is_gone_even_if_there_is_no_memory_to_free_it() {
  Epochs epochs(1);
  InodeTable table(epochs);
  for (uint64_t nodeid = 1; nodeid <= 9000; nodeid++) add(table, nodeid, row(kFile, nodeid));
  CHECK(table.add_reference(5, false) && table.referenced() == 1);
  no_memory = true;
  table.withdraw_all(1, 8999);
  no_memory = false;
  for (uint64_t nodeid = 1; nodeid < 9000; nodeid++) CHECK(table.find(nodeid) == nullptr);
  CHECK(table.find(9000) != nullptr && table.references(5) == 0 && table.referenced() == 0);
  add(table, 5, row(kFile, 1));
  CHECK(table.find(5) != nullptr && table.find(6) == nullptr);
}

void without_memory_to_remember_what_was_replaced_the_writer_waits_for_readers() {
  Epochs epochs(1);
  InodeTable table(epochs);
  add(table, 1, row(kFile, 7));
  std::atomic<bool> holds{false};
  std::atomic<bool> over{false};
  std::thread reader([&] {
    Epochs::Guard guard(epochs, 0);
    const InodeRow* held = table.find(1);
    holds = true;
    while (table.find(1) == held) std::this_thread::yield();
    for (int turn = 0; turn < 1000; turn++) {
      CHECK(held->size == 7 && !over);
      std::this_thread::yield();
    }
  });
  while (!holds) std::this_thread::yield();
  std::vector<InodeTable::NewRow> rows;
  rows.push_back({1, row(kFile, 8)});
  allocations_left = 1;  // the list of what is replaced, but not its place among what waits
  table.add(std::move(rows));
  allocations_left = -1;
  over = true;
  reader.join();
  CHECK(table.find(1)->size == 8 && epochs.waiting() == 0);
}

void inodes_with_references_are_counted_once() {
  Scene scene;
  CHECK(scene.table.referenced() == 0);
  for (int i = 0; i < 2; i++) CHECK(scene.lookup(1, "a") == Outcome::kReply && scene.lookup(1, "b") == Outcome::kReply);
  CHECK(scene.table.referenced() == 2);
  CHECK(scene.forget(2, 1) == Outcome::kFinished && scene.forget(3, 9) == Outcome::kFinished && scene.table.referenced() == 1);
  scene.table.withdraw(2);
  CHECK(scene.table.referenced() == 1);
  scene.table.withdraw_all(2, 1);
  CHECK(scene.table.referenced() == 0);
}

void without_memory_names_are_found_and_requests_are_forwarded() {
  std::vector<std::string> names;
  for (size_t i = 0; i < 500; i++) names.push_back(std::to_string(i));
  std::vector<ListedName> entries;
  for (size_t i = 0; i < names.size(); i++) entries.push_back({2, 3 + i, names[i]});
  auto made = listing(0, entries);
  no_memory = true;
  const bool found = made->find("499") == 499 && !made->find("x");
  no_memory = false;
  CHECK(found && made->find("499") == 499);

  Scene scene;
  publish_listing(scene.table, 1, listing(DirectoryListing::kComplete, entries));
  CHECK(scene.ask(FUSE_GETATTR, 1) == Outcome::kReply);
  fuse_read_in in = {};
  in.size = 1 << 20;
  scene.without_memory = true;
  const Outcome outcome = scene.ask(FUSE_READDIRPLUS, 1, &in, sizeof in);
  CHECK(outcome == Outcome::kForward && scene.table.references(2) == 0);
  scene.without_memory = false;
  CHECK(scene.ask(FUSE_READDIRPLUS, 1, &in, sizeof in) == Outcome::kReply && scene.table.references(2) == 500);
}

void references_of_many_threads_add_up() {
  Epochs epochs(4);
  InodeTable table(epochs);
  add(table, 9, row(kFile, 1, InodeRow::kTell));
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 4; i++) {
    threads.emplace_back([&, i] {
      for (int turn = 0; turn < 5000; turn++) {
        Epochs::Guard guard(epochs, i);
        table.add_reference(9, true);
        table.add_reference(9, true);
        table.drop_references(9, 1, true);
      }
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(table.references(9) == 20000);
}

void the_last_reference_of_an_inode_with_a_layout_is_reported() {
  Epochs epochs(1);
  PublishedTable<FileLayout> layouts(epochs);
  InodeTable table(epochs, &layouts);
  add(table, 9, row(kFile, 1, InodeRow::kReadable));
  table.add_reference(9, true);
  table.drop_references(9, 1, true);
  CHECK(table.news()->take_forgotten().empty());
  table.add_reference(9, true);
  layouts.publish(9, std::make_unique<const FileLayout>(std::vector<Extent>{}, std::vector<uint8_t>{}));
  table.drop_references(9, 1, true);
  CHECK(table.news()->take_forgotten() == std::vector<uint32_t>{9});
}

void the_names_of_a_withdrawn_folder_are_withdrawn_with_it() {
  Scene scene;
  CHECK(scene.lookup(1, "none") == Outcome::kReply);
  scene.table.withdraw(1);
  CHECK(scene.lookup(1, "none") == Outcome::kForward);
  CHECK(scene.lookup(1, "a") == Outcome::kForward);
}

}  // namespace

int main() {
  the_last_reference_of_an_inode_with_a_layout_is_reported();
  the_names_of_a_withdrawn_folder_are_withdrawn_with_it();
  names_are_found_in_listings_of_any_size();
  readers_that_look_into_a_large_listing_at_once_find_the_same();
  a_listing_goes_on_after_any_offset();
  a_lookup_gives_the_entry_and_counts_the_reference();
  a_missing_name_is_absent_only_where_the_listing_is_complete();
  what_is_withdrawn_is_forwarded_but_its_references_are_counted();
  the_first_and_last_references_of_told_inodes_are_told();
  of_a_batch_only_the_unknown_part_is_left();
  a_listing_has_what_fits_and_references_only_that();
  changed_attributes_are_shown_until_the_row_is_added_again();
  attributes_that_must_be_asked_for_are_named_but_not_kept();
  groups_that_the_request_does_not_name_are_the_control_planes_affair();
  malformed_messages_are_forwarded();
  a_tree_that_is_gone_is_gone_in_every_leaf();
  readers_see_whole_states_while_the_writer_changes_everything();
  no_reader_keeps_attributes_of_before_a_change_that_saw_no_reference();
  a_reply_that_is_not_given_leaves_no_reference();
  a_withdrawal_needs_no_memory_and_nothing_waits_for_it();
  what_one_call_replaces_waits_together_for_a_reader();
  where_memory_runs_out_nothing_is_changed();
  a_tree_is_gone_even_if_there_is_no_memory_to_free_it();
  without_memory_to_remember_what_was_replaced_the_writer_waits_for_readers();
  inodes_with_references_are_counted_once();
  without_memory_names_are_found_and_requests_are_forwarded();
  references_of_many_threads_add_up();
  return 0;
}
