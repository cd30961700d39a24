#pragma once

#include <string>

#include "descriptor.h"

namespace mlfs {

struct MountOptions {
  std::string mountpoint;
  std::string fsname;
  bool read_only = true;
  bool allow_other = false;
  bool default_permissions = false;
};

/// The outcome of a mount: a device, or an error as a sentence.
struct MountResult {
  Descriptor device;
  int error = 0;
  std::string message;
};

/// Opens /dev/fuse and mounts it with mount(2), which needs CAP_SYS_ADMIN.
MountResult mount_directly(const MountOptions& options);

/// Mounts through the setuid program fusermount3 and receives the device descriptor over its socket (_FUSE_COMMFD).
MountResult mount_with_fusermount(const MountOptions& options, const std::string& fusermount);

/// Two ends of a connection that keeps messages apart, as /dev/fuse does: tests serve a session at the first end and play the kernel at
/// the second, which does not block.
struct FakeDevice {
  Descriptor device;
  Descriptor kernel;
};
/// Empty descriptors, with errno, if the system has no sockets left.
FakeDevice fake_device();

}  // namespace mlfs
