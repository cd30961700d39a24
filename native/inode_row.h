#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>

#include "backing_file.h"

namespace mlfs {

struct FileTime {
  int64_t seconds;  // since 1970, may be negative
  uint32_t nanoseconds;
};

/// Attributes that differ from those of the tree, after a chmod, an edit and the like.
struct InodeChanges {
  uint32_t mode;  // permissions only
  uint32_t uid;
  uint32_t gid;
  uint64_t size;
  FileTime accessed;
  FileTime modified;
  FileTime changed;
};

/// What the table says of an inode. Immutable once published. There are hundreds of thousands of these, so its size matters.
struct InodeRow {
  enum Flag : uint8_t {
    kReadable = 1,  ///< OPEN for reading needs no handle
    kTell = 2,      ///< the control plane hears of the first and the last reference
    kNoXattrs = 4,
    kAsk = 8,  ///< the kernel may not keep the attributes, and the control plane says what they are
  };

  uint64_t size;  // bytes, also of the extent in `file`
  int64_t mtime_seconds;
  uint64_t offset;    // in `file`
  BackingFile* file;  // null: the bytes are not one run of a file
  std::unique_ptr<const InodeChanges> changes;
  uint32_t mtime_nanoseconds;
  uint32_t nlink;
  uint32_t parent;  // of a directory
  uint16_t mode;    // with the type
  uint8_t flags;
  uint8_t room;

  bool has(Flag flag) const { return (flags & flag) != 0; }
  bool is_directory() const { return S_ISDIR(mode); }
};

static_assert(sizeof(InodeRow) == 56, "56 bytes are a chunk of 64 for malloc");

}  // namespace mlfs
