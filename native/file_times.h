#pragma once

#include <ctime>

namespace mlfs {

/// utimensat(2) of what a descriptor leads to, one of a place (O_PATH) too: times[0] is the access time, times[1] the modification time, each
/// a time, UTIME_NOW or UTIME_OMIT. Returns 0 or an errno.
int set_file_times(int fd, const timespec times[2]);

}  // namespace mlfs
