#include "permission.h"

#include <sys/stat.h>
#include <unistd.h>

namespace mlfs {

Permitted permits(const Owned& inode, uint32_t mask, const Caller& caller) {
  auto answer = [](bool granted) { return granted ? Permitted::kYes : Permitted::kNo; };
  if (caller.uid == 0) {
    const bool executable = S_ISDIR(inode.mode) || (inode.mode & 0111) != 0;
    return answer((mask & X_OK) == 0 || executable);
  }
  auto grants = [mask](uint32_t bits) { return (mask & ~bits & 07) == 0; };
  if (caller.uid == inode.uid) return answer(grants(inode.mode >> 6));
  const bool as_member = grants(inode.mode >> 3), as_other = grants(inode.mode);
  if (as_member == as_other) return answer(as_other);
  return caller.gid == inode.gid ? answer(as_member) : Permitted::kDependsOnGroups;
}

}  // namespace mlfs
