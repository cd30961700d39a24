#pragma once

namespace mlfs {

/// Registers a file that the kernel may read and write by itself (FUSE passthrough, Linux 6.9). Returns an id above 0 for replies to
/// OPEN and CREATE, or a negative errno: EPERM without CAP_SYS_ADMIN, ELOOP when the file's file system lies on another.
int open_backing_file(int device, int fd);
/// Call this when no reply names the id any more. Files opened through it stay open.
void close_backing_file(int device, int id);

}  // namespace mlfs
