#include "directory_reply.h"

#include <linux/fuse.h>

#include <string_view>

#include "attribute_reply.h"

namespace mlfs {

namespace {

constexpr uint64_t kRoot = FUSE_ROOT_ID;

struct Entry {
  uint64_t nodeid;
  uint64_t offset;
  std::string_view name;
};

class Writer {
 public:
  Writer(InodeTable& table, const TreeDefaults& defaults, const DirectoryQuery& query, TreeReply& reply,
         std::vector<uint32_t>& referenced)
      : table_(table), defaults_(defaults), query_(query), reply_(reply), referenced_(referenced) {}

  enum class Outcome { kAdded, kFull, kUnknown };

  /// `.` and `..` give no reference: the fuse_entry_out before them is zero. A reference is counted before the row is read.
  Outcome add(const Entry& entry, bool referenced) {
    const size_t head = (query_.plus ? sizeof(fuse_entry_out) : 0) + FUSE_NAME_OFFSET;
    if (reply_.body_bytes() + FUSE_DIRENT_ALIGN(head + entry.name.size()) > query_.room) return Outcome::kFull;
    if (query_.plus && referenced && !refer(entry.nodeid)) return Outcome::kUnknown;
    const InodeRow* row = table_.find(entry.nodeid);
    if (row == nullptr) return Outcome::kUnknown;
    if (query_.plus) reply_.add(referenced ? entry_of(entry.nodeid, *row, defaults_) : fuse_entry_out{});
    // struct fuse_dirent without its flexible array
    reply_.add(entry.nodeid);
    reply_.add(entry.offset);
    reply_.add(static_cast<uint32_t>(entry.name.size()));
    reply_.add(static_cast<uint32_t>(row->mode >> 12));
    reply_.add_aligned(entry.name);
    return Outcome::kAdded;
  }

 private:
  bool refer(uint64_t nodeid) {
    referenced_.push_back(static_cast<uint32_t>(nodeid));
    if (table_.add_reference(nodeid, true)) return true;
    referenced_.pop_back();
    return false;
  }

  InodeTable& table_;
  const TreeDefaults& defaults_;
  const DirectoryQuery& query_;
  TreeReply& reply_;
  std::vector<uint32_t>& referenced_;
};

}  // namespace

bool add_entries(InodeTable& table, const TreeDefaults& defaults, const DirectoryQuery& query, TreeReply& reply,
                 std::vector<uint32_t>& referenced) {
  const InodeRow* folder = table.find(query.nodeid);
  const DirectoryListing* listing = table.listing(query.nodeid);
  if (folder == nullptr || !folder->is_directory() || listing == nullptr || !listing->has(DirectoryListing::kComplete)) {
    return false;
  }
  using Outcome = Writer::Outcome;
  Writer writer(table, defaults, query, reply, referenced);
  const uint64_t parent = query.nodeid == kRoot ? kRoot : folder->parent;
  for (const Entry& dots : {Entry{query.nodeid, 1, "."}, Entry{parent, 2, ".."}}) {
    if (query.offset >= dots.offset) continue;
    const Outcome outcome = writer.add(dots, false);
    if (outcome != Outcome::kAdded) return outcome == Outcome::kFull;
  }
  for (size_t index = listing->first_after(query.offset); index < listing->size(); index++) {
    const uint32_t nodeid = listing->nodeid(index);
    const Outcome outcome = writer.add({nodeid, listing->offset(index), listing->name(index)}, true);
    if (outcome == Outcome::kUnknown) return false;
    if (outcome == Outcome::kFull) break;
  }
  return true;
}

}  // namespace mlfs
