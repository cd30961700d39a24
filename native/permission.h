#pragma once

#include <cstdint>

namespace mlfs {

struct Caller {
  uint32_t uid;
  uint32_t gid;
};

struct Owned {
  uint32_t mode;  // with the type
  uint32_t uid;
  uint32_t gid;
};

enum class Permitted : uint8_t { kYes, kNo, kDependsOnGroups };

/// Whether mode bits grant access(2)'s `mask`: the rules of src/fuse/permission.ts. Which supplementary groups a caller has, a request does
/// not say.
Permitted permits(const Owned& inode, uint32_t mask, const Caller& caller);

}  // namespace mlfs
