#pragma once

#include <array>
#include <cstdint>
#include <optional>

namespace mlfs {

/// What is the same for all inodes of the tree. Immutable once published.
struct TreeDefaults {
  static constexpr size_t kStatfsBytes = 80;  // sizeof(struct fuse_kstatfs)

  uint32_t uid = 0;
  uint32_t gid = 0;
  bool read_only = false;
  /// How long the kernel may keep names and attributes.
  uint64_t keep_seconds = 0;
  uint32_t keep_nanoseconds = 0;
  /// Whether the kernel opens directories without a handle; unknown before INIT was answered.
  std::optional<bool> no_opendir;
  /// The body of the answer to STATFS, where that never changes.
  std::optional<std::array<uint8_t, kStatfsBytes>> statfs;
};

}  // namespace mlfs
