#include "attribute_reply.h"

namespace mlfs {

namespace {

/// st_blksize is the kernel's page.
constexpr uint32_t kBlockSize = 4096;
/// The unit of st_blocks.
constexpr uint64_t kSector = 512;
/// STATX_BASIC_STATS: everything that stat(2) reports.
constexpr uint32_t kStatxBasicStats = 0x7ff;

struct Attributes {
  Owned owned;
  uint64_t size;
  FileTime accessed;
  FileTime modified;
  FileTime changed;
};

Attributes attributes_of(const InodeRow& row, const TreeDefaults& defaults) {
  if (row.changes == nullptr) {
    const FileTime time = {row.mtime_seconds, row.mtime_nanoseconds};
    return {owned(row, defaults), row.size, time, time, time};
  }
  const InodeChanges& now = *row.changes;
  return {owned(row, defaults), now.size, now.accessed, now.modified, now.changed};
}

uint64_t sectors(uint64_t size) { return size / kSector + (size % kSector == 0 ? 0 : 1); }

}  // namespace

Owned owned(const InodeRow& row, const TreeDefaults& defaults) {
  if (row.changes == nullptr) return {row.mode, defaults.uid, defaults.gid};
  return {(row.mode & S_IFMT) | row.changes->mode, row.changes->uid, row.changes->gid};
}

fuse_attr attr_of(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults) {
  const Attributes of = attributes_of(row, defaults);
  fuse_attr attr = {};
  attr.ino = nodeid;
  attr.size = of.size;
  attr.blocks = sectors(of.size);
  attr.atime = static_cast<uint64_t>(of.accessed.seconds);
  attr.mtime = static_cast<uint64_t>(of.modified.seconds);
  attr.ctime = static_cast<uint64_t>(of.changed.seconds);
  attr.atimensec = of.accessed.nanoseconds;
  attr.mtimensec = of.modified.nanoseconds;
  attr.ctimensec = of.changed.nanoseconds;
  attr.mode = of.owned.mode;
  attr.nlink = row.nlink;
  attr.uid = of.owned.uid;
  attr.gid = of.owned.gid;
  attr.blksize = kBlockSize;
  return attr;
}

fuse_entry_out entry_of(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults) {
  fuse_entry_out entry = absent_entry(true, defaults);
  entry.nodeid = nodeid;
  if (!row.has(InodeRow::kAsk)) {
    entry.attr_valid = defaults.keep_seconds;
    entry.attr_valid_nsec = defaults.keep_nanoseconds;
  }
  entry.attr = attr_of(nodeid, row, defaults);
  return entry;
}

fuse_entry_out absent_entry(bool lasts, const TreeDefaults& defaults) {
  fuse_entry_out entry = {};
  if (lasts) {
    entry.entry_valid = defaults.keep_seconds;
    entry.entry_valid_nsec = defaults.keep_nanoseconds;
  }
  return entry;
}

fuse_attr_out attr_reply(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults) {
  fuse_attr_out reply = {};
  reply.attr_valid = defaults.keep_seconds;
  reply.attr_valid_nsec = defaults.keep_nanoseconds;
  reply.attr = attr_of(nodeid, row, defaults);
  return reply;
}

StatxOut statx_reply(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults) {
  const Attributes of = attributes_of(row, defaults);
  auto time = [](const FileTime& from) { return StatxTime{from.seconds, from.nanoseconds, 0}; };
  StatxOut reply = {};
  reply.attr_valid = defaults.keep_seconds;
  reply.attr_valid_nsec = defaults.keep_nanoseconds;
  reply.mask = kStatxBasicStats;
  reply.blksize = kBlockSize;
  reply.nlink = row.nlink;
  reply.uid = of.owned.uid;
  reply.gid = of.owned.gid;
  reply.mode = static_cast<uint16_t>(of.owned.mode);
  reply.ino = nodeid;
  reply.size = of.size;
  reply.blocks = sectors(of.size);
  reply.atime = time(of.accessed);
  reply.ctime = time(of.changed);
  reply.mtime = time(of.modified);
  return reply;
}

}  // namespace mlfs
