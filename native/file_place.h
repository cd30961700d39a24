#pragma once

#include <string>
#include <vector>

namespace mlfs {

/// A name that should lead to a certain file or folder. Device and inode are as Node's numbers have them.
struct PlacedName {
  std::string path;
  double device;
  double inode;
};

/// Whether each path, its last part not followed, leads to the file or folder that it should: a few looks at the kernel's memory of names.
bool all_in_place(const std::vector<PlacedName>& names);

}  // namespace mlfs
