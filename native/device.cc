#include "device.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <cstring>
#include <vector>

extern char** environ;

namespace mlfs {

namespace {

MountResult failed(int error, const std::string& what) {
  return {.device = {}, .error = error, .message = what + ": " + strerror(error)};
}

/// Takes one descriptor from a socket (SCM_RIGHTS). Empty when the other side closed without sending any.
Descriptor receive_descriptor(int socket) {
  char byte;
  iovec vector = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
  msghdr message = {};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t got;
  do {
    got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  } while (got < 0 && errno == EINTR);
  if (got <= 0) return Descriptor();
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return Descriptor();
  int fd;
  memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return Descriptor(fd);
}

std::string read_all(int fd) {
  std::string text;
  char chunk[512];
  ssize_t got;
  while ((got = read(fd, chunk, sizeof chunk)) > 0) text.append(chunk, static_cast<size_t>(got));
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

}  // namespace

MountResult mount_directly(const MountOptions& options) {
  struct stat status;
  if (stat(options.mountpoint.c_str(), &status) != 0) return failed(errno, options.mountpoint);
  Descriptor device(open("/dev/fuse", O_RDWR | O_CLOEXEC));
  if (!device) return failed(errno, "/dev/fuse");
  std::string data = "fd=" + std::to_string(device.get()) + ",rootmode=40000,user_id=" + std::to_string(getuid()) +
                     ",group_id=" + std::to_string(getgid());
  if (options.allow_other) data += ",allow_other";
  if (options.default_permissions) data += ",default_permissions";
  unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOATIME;
  if (options.read_only) flags |= MS_RDONLY;
  if (mount(options.fsname.c_str(), options.mountpoint.c_str(), "fuse.mlfs", flags, data.c_str()) != 0) {
    return failed(errno, "mount " + options.mountpoint);
  }
  return {.device = std::move(device), .error = 0, .message = {}};
}

MountResult mount_with_fusermount(const MountOptions& options, const std::string& fusermount) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return failed(errno, "socketpair");
  Descriptor ours(pair[0]);
  Descriptor theirs(pair[1]);
  int errors[2];
  if (pipe2(errors, O_CLOEXEC) != 0) return failed(errno, "pipe");
  Descriptor errors_read(errors[0]);
  Descriptor errors_write(errors[1]);

  std::string mount_options = "subtype=mlfs,nosuid,nodev,noatime";
  if (options.read_only) mount_options += ",ro";
  if (options.allow_other) mount_options += ",allow_other";
  if (options.default_permissions) mount_options += ",default_permissions";
  // A comma would end the option and a backslash escape it.
  std::string fsname;
  for (char c : options.fsname) {
    if (c == ',' || c == '\\') fsname += '\\';
    fsname += c;
  }
  mount_options += ",fsname=" + fsname;

  // The child's copies must survive exec: dup2 to fixed numbers clears FD_CLOEXEC.
  constexpr int kCommFd = 3;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, errors_write.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions, theirs.get(), kCommFd);
  std::vector<std::string> environment_text;
  for (char** entry = environ; *entry != nullptr; entry++) {
    if (strncmp(*entry, "_FUSE_COMMFD=", 13) != 0) environment_text.emplace_back(*entry);
  }
  environment_text.push_back("_FUSE_COMMFD=" + std::to_string(kCommFd));
  std::vector<char*> environment;
  for (std::string& entry : environment_text) environment.push_back(entry.data());
  environment.push_back(nullptr);
  const char* arguments[] = {fusermount.c_str(), "-o", mount_options.c_str(), "--", options.mountpoint.c_str(),
                             nullptr};
  pid_t child;
  int spawned = posix_spawnp(&child, fusermount.c_str(), &actions, nullptr, const_cast<char**>(arguments),
                             environment.data());
  posix_spawn_file_actions_destroy(&actions);
  theirs.reset();
  errors_write.reset();
  if (spawned != 0) return failed(spawned, fusermount);

  Descriptor device = receive_descriptor(ours.get());
  std::string complaint = read_all(errors_read.get());
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!device) {
    return {.device = {}, .error = EPERM, .message = complaint.empty() ? fusermount + " did not mount" : complaint};
  }
  return {.device = std::move(device), .error = 0, .message = {}};
}

FakeDevice fake_device() {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) return {};
  // Enough for the largest messages.
  const int room = 8 << 20;
  for (const int end : ends) setsockopt(end, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  fcntl(ends[1], F_SETFL, O_RDWR | O_NONBLOCK);
  return {.device = Descriptor(ends[0]), .kernel = Descriptor(ends[1])};
}

}  // namespace mlfs
