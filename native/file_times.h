#pragma once

#include <ctime>

namespace mlfs {

/// Calls utimensat(2) for the file behind a descriptor, which may be an O_PATH descriptor: times[0] is the access time, times[1] the modification time, each
/// a time, UTIME_NOW or UTIME_OMIT. Returns 0 or an errno.
int set_file_times(int fd, const timespec times[2]);

}  // namespace mlfs
