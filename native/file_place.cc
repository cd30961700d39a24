#include "file_place.h"

#include <sys/stat.h>

namespace mlfs {

bool all_in_place(const std::vector<PlacedName>& names) {
  for (const PlacedName& name : names) {
    struct stat found;
    if (lstat(name.path.c_str(), &found) != 0) return false;
    if (static_cast<double>(found.st_ino) != name.inode || static_cast<double>(found.st_dev) != name.device) return false;
  }
  return true;
}

}  // namespace mlfs
