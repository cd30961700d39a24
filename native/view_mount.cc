#include "view_mount.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace mlfs {

namespace {

/// fsopen(2), fsconfig(2) and fsmount(2) and their constants of linux/mount.h, which is not everywhere beside sys/mount.h.
constexpr unsigned kFsopenCloexec = 1;
constexpr unsigned kFsmountCloexec = 1;
constexpr unsigned kSetFlag = 0;
constexpr unsigned kSetString = 1;
constexpr unsigned kCmdCreate = 6;
constexpr unsigned kAttrReadOnly = 1, kAttrNoSuid = 2, kAttrNoDev = 4;

/// The image ends with a whole page, because what lies behind the last one cannot be read.
constexpr uint64_t kPageBytes = 4096;

/// Readahead of the view's files; the default is 128. It counts for small reads and mappings, because a larger read makes requests of its own
/// size anyway. A loop device takes at most 1,280 KiB in a request: what is larger is cut in two, and a first pass with 2 MiB took up to ten
/// times as long on a busy machine.
constexpr char kReadaheadKib[] = "512";

Failure write_all(int fd, const uint8_t* bytes, size_t length, uint64_t offset) {
  while (length > 0) {
    ssize_t written = pwrite(fd, bytes, length, static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return {written < 0 ? errno : EIO, "storing the image in memory"};
    bytes += written;
    offset += static_cast<uint64_t>(written);
    length -= static_cast<size_t>(written);
  }
  return {};
}

Failure copy_into(int image, int checkpoint, const ViewCopy& copy) {
  std::vector<uint8_t> buffer(std::min<uint64_t>(copy.length, uint64_t{1} << 20));
  for (uint64_t done = 0; done < copy.length;) {
    uint64_t wanted = std::min<uint64_t>(buffer.size(), copy.length - done);
    ssize_t got = pread(checkpoint, buffer.data(), wanted, static_cast<off_t>(copy.file_offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return {got < 0 ? errno : EIO, "copying the end of the checkpoint"};
    Failure failure = write_all(image, buffer.data(), static_cast<size_t>(got), copy.image_offset + done);
    if (failure) return failure;
    done += static_cast<uint64_t>(got);
  }
  return {};
}

/// An unnamed file in memory that holds the image.
Failure make_image(const ViewImage& image, int checkpoint, Descriptor& made) {
  made = Descriptor(memfd_create("mlfs-view", MFD_CLOEXEC));
  if (!made) return {errno, "creating the image in memory"};
  uint64_t end = image.length;
  for (const ViewCopy& copy : image.copies) end = std::max(end, (copy.image_offset + copy.length + kPageBytes - 1) / kPageBytes * kPageBytes);
  if (ftruncate(made.get(), static_cast<off_t>(end)) != 0) return {errno, "creating the image in memory"};
  Failure failure = write_all(made.get(), image.bytes, image.length, 0);
  for (size_t i = 0; !failure && i < image.copies.size(); i++) failure = copy_into(made.get(), checkpoint, image.copies[i]);
  return failure;
}

/// What the kernel says about the step that failed, behind its name.
Failure context_failure(int context, std::string step) {
  int error = errno;
  char line[256];
  ssize_t got = read(context, line, sizeof line);
  if (got > 0) {
    while (got > 0 && line[got - 1] == '\n') got--;
    step += " (" + std::string(line, static_cast<size_t>(got)) + ")";
  }
  return {error, std::move(step)};
}

/// The files of the mount use the readahead of the image's device.
void raise_readahead(int device) {
  struct stat status;
  if (fstat(device, &status) != 0) return;
  std::string path = "/sys/dev/block/" + std::to_string(major(status.st_rdev)) + ":" + std::to_string(minor(status.st_rdev)) +
                     "/queue/read_ahead_kb";
  Descriptor setting(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (setting) [[maybe_unused]] ssize_t written = write(setting.get(), kReadaheadKib, sizeof kReadaheadKib - 1);
}

Failure mount_detached(const LoopDevice& image, const std::vector<LoopDevice>& devices, Descriptor& root) {
  Descriptor context(static_cast<int>(syscall(SYS_fsopen, "erofs", kFsopenCloexec)));
  if (!context) return {errno, "opening the file system type erofs"};
  auto set = [&](unsigned command, const char* key, const char* value) {
    return syscall(SYS_fsconfig, context.get(), command, key, value, 0) == 0;
  };
  if (!set(kSetString, "source", image.path.c_str())) return context_failure(context.get(), "giving erofs its image");
  for (const LoopDevice& device : devices) {
    if (!set(kSetString, "device", device.path.c_str())) return context_failure(context.get(), "giving erofs a loop device");
  }
  // Without it a read-only device is EACCES.
  if (!set(kSetFlag, "ro", nullptr)) return context_failure(context.get(), "making the erofs mount read-only");
  if (!set(kCmdCreate, nullptr, nullptr)) return context_failure(context.get(), "mounting erofs");
  root = Descriptor(static_cast<int>(
      syscall(SYS_fsmount, context.get(), kFsmountCloexec, kAttrReadOnly | kAttrNoSuid | kAttrNoDev)));
  return root ? Failure{} : context_failure(context.get(), "making the erofs mount");
}

}  // namespace

Failure mount_view(const ViewImage& image, int checkpoint, Descriptor& root) {
  struct stat status;
  if (fstat(checkpoint, &status) != 0) return {errno, "asking for the checkpoint's size"};
  if (static_cast<uint64_t>(status.st_size) != image.checkpoint_bytes) return {ESTALE, "attaching the view of a checkpoint whose size has changed"};
  Descriptor stored;
  if (Failure failure = make_image(image, checkpoint, stored)) return failure;
  LoopDevice primary;
  if (Failure failure = attach_loop(stored.get(), 0, primary)) return failure;
  std::vector<LoopDevice> devices;
  const std::string path = "/proc/self/fd/" + std::to_string(checkpoint);
  for (uint64_t begin : image.begins) {
    // Opened for each device, because the kernel's readahead of the file belongs to the open file.
    Descriptor opened(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) return {errno, "opening the checkpoint again"};
    if (Failure failure = attach_loop(opened.get(), begin, devices.emplace_back())) return failure;
  }
  raise_readahead(primary.device.get());
  return mount_detached(primary, devices, root);
}

}  // namespace mlfs
