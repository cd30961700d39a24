#pragma once

#include <cstdint>

namespace mlfs {

/// Makes the file behind `to` share the blocks of the one behind `from`. Returns 0 or an errno: EOPNOTSUPP, EXDEV and EINVAL where the file
/// system cannot.
int clone_file(int from, int to);

/// Copies up to `length` bytes at `offset` to the same place of another file, inside the kernel. Returns how many were copied, 0 at the end of
/// the file, or a negative errno.
int64_t copy_file_bytes(int from, int to, uint64_t offset, uint64_t length);

}  // namespace mlfs
