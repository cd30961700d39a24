#pragma once

#include <linux/fuse.h>

#include <cstdint>

#include "inode_row.h"
#include "permission.h"
#include "tree_defaults.h"

namespace mlfs {

/// FUSE_STATX and its answer of linux/fuse.h since 7.39, which older headers lack.
constexpr uint32_t kStatxOpcode = 52;
struct StatxTime {
  int64_t seconds;
  uint32_t nanoseconds;
  uint32_t reserved;
};
struct StatxOut {
  uint64_t attr_valid;
  uint32_t attr_valid_nsec;
  uint32_t flags;
  uint64_t spare[2];
  uint32_t mask;
  uint32_t blksize;
  uint64_t attributes;
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint16_t mode;
  uint16_t spare_mode;
  uint64_t ino;
  uint64_t size;
  uint64_t blocks;
  uint64_t attributes_mask;
  StatxTime atime;
  StatxTime btime;
  StatxTime ctime;
  StatxTime mtime;
  uint32_t devices[4];
  uint64_t spare_end[14];
};
static_assert(sizeof(StatxOut) == 288);

/// An inode's row as the kernel sees it: the same structs, field by field, as src/fuse/protocol/attr.ts writes.
fuse_attr attr_of(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults);
fuse_entry_out entry_of(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults);
/// "There is no such name"; with `lasts` the kernel may remember that.
fuse_entry_out absent_entry(bool lasts, const TreeDefaults& defaults);
fuse_attr_out attr_reply(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults);
StatxOut statx_reply(uint64_t nodeid, const InodeRow& row, const TreeDefaults& defaults);

/// Mode and owner, for `permits`.
Owned owned(const InodeRow& row, const TreeDefaults& defaults);

}  // namespace mlfs
