#include "tree_requests.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <new>

#include "attribute_reply.h"
#include "directory_reply.h"
#include "permission.h"

namespace mlfs {

namespace {

/// Largest name in bytes.
constexpr size_t kNameMax = 255;
/// The size of a READDIR that every control plane answers whole: 256 pages.
constexpr uint32_t kMostDirectoryBytes = 256 * 4096;
/// File handles are numbers of JavaScript.
constexpr uint64_t kMostHandle = (uint64_t{1} << 53) - 1;

/// Attributes in other namespaces are "not supported" and not "no such attribute": `ls -l` then asks once for the mount.
constexpr std::string_view kUserNamespace = "user.";

}  // namespace

TreeRequests::Outcome TreeRequests::serve(uint8_t* message, size_t& length) {
  if (length < sizeof header_) return Outcome::kForward;
  memcpy(&header_, message, sizeof header_);
  body_ = message + sizeof header_;
  body_bytes_ = length - sizeof header_;
  defaults_ = table_.defaults();
  if (header_.len != length || defaults_ == nullptr) return Outcome::kForward;
  referenced_.clear();
  Outcome outcome = Outcome::kForward;
  try {
    reply_.begin(header_.unique);
    outcome = dispatch(message, length);
  } catch (const std::bad_alloc&) {
    // The control plane may have memory, or refuses.
  }
  if (outcome != Outcome::kReply) take_back_references();
  if (outcome == Outcome::kFinished) tally_.add(header_.opcode);
  return outcome;
}

void TreeRequests::count() {
  tally_.add(header_.opcode);
  if (reply_.error() != 0) return tally_.refused();
  if (header_.opcode == FUSE_OPEN) tally_.opened(row_->room);
  if (header_.opcode == FUSE_RELEASE) tally_.released(row_->room);
}

TreeRequests::Outcome TreeRequests::dispatch(uint8_t* message, size_t& length) {
  if (header_.opcode == FUSE_BATCH_FORGET) return forget_batch(message, length);
  if (header_.opcode == FUSE_FORGET) return forget();
  row_ = table_.find(header_.nodeid);
  if (row_ == nullptr) return Outcome::kForward;
  switch (header_.opcode) {
    case FUSE_LOOKUP:
      return lookup();
    case FUSE_GETATTR:
      return getattr();
    case kStatxOpcode:
      return statx();
    case FUSE_ACCESS:
      return access();
    case FUSE_OPEN:
      return open();
    case FUSE_RELEASE:
      return release();
    case FUSE_OPENDIR:
      return opendir();
    case FUSE_RELEASEDIR:
      return empty();
    case FUSE_READDIR:
      return readdir(false);
    case FUSE_READDIRPLUS:
      return readdir(true);
    case FUSE_IOCTL:
      // Python's open() asks whether each file is a terminal. The kernel makes ENOTTY of it.
      return error(ENOSYS);
    case FUSE_STATFS:
      return statfs();
    case FUSE_GETXATTR:
      return getxattr();
    case FUSE_LISTXATTR:
      return listxattr();
    default:
      return Outcome::kForward;
  }
}

void TreeRequests::take_back_references() {
  for (const uint32_t nodeid : referenced_) table_.drop_references(nodeid, 1, true);
  referenced_.clear();
}

template <class Number>
Number TreeRequests::field(size_t at) const {
  Number number;
  memcpy(&number, body_ + at, sizeof number);
  return number;
}

std::optional<std::string_view> TreeRequests::name(size_t at) const {
  if (at >= body_bytes_) return std::nullopt;
  const void* end = memchr(body_ + at, 0, body_bytes_ - at);
  if (end == nullptr) return std::nullopt;
  const auto* start = reinterpret_cast<const char*>(body_ + at);
  const auto bytes = static_cast<size_t>(static_cast<const char*>(end) - start);
  if (bytes > kNameMax) return std::nullopt;
  return std::string_view(start, bytes);
}

TreeRequests::Outcome TreeRequests::empty() {
  reply_.end();
  return Outcome::kReply;
}

TreeRequests::Outcome TreeRequests::error(int error) {
  reply_.end(error);
  return Outcome::kReply;
}

template <class Body>
TreeRequests::Outcome TreeRequests::with(const Body& body) {
  reply_.add(body);
  return empty();
}

TreeRequests::Outcome TreeRequests::lookup() {
  const auto wanted = name(0);
  const DirectoryListing* listing = table_.listing(header_.nodeid);
  if (!wanted || listing == nullptr) return Outcome::kForward;
  const auto index = listing->find(*wanted);
  if (!index) {
    if (!listing->has(DirectoryListing::kComplete)) return Outcome::kForward;
    return with(absent_entry(listing->has(DirectoryListing::kAbsenceLasts), *defaults_));
  }
  const uint32_t nodeid = listing->nodeid(*index);
  referenced_.push_back(nodeid);
  if (!table_.add_reference(nodeid, true)) {
    referenced_.pop_back();
    return Outcome::kForward;
  }
  const InodeRow* child = table_.find(nodeid);
  if (child == nullptr) return Outcome::kForward;
  return with(entry_of(nodeid, *child, *defaults_));
}

TreeRequests::Outcome TreeRequests::getattr() {
  if (row_->has(InodeRow::kAsk)) return Outcome::kForward;
  return with(attr_reply(header_.nodeid, *row_, *defaults_));
}

TreeRequests::Outcome TreeRequests::statx() {
  if (row_->has(InodeRow::kAsk)) return Outcome::kForward;
  return with(statx_reply(header_.nodeid, *row_, *defaults_));
}

TreeRequests::Outcome TreeRequests::access() {
  if (body_bytes_ < sizeof(fuse_access_in)) return Outcome::kForward;
  const auto mask = field<uint32_t>(offsetof(fuse_access_in, mask));
  if ((mask & W_OK) != 0 && defaults_->read_only) return error(EROFS);
  switch (permits(owned(*row_, *defaults_), mask, {header_.uid, header_.gid})) {
    case Permitted::kYes:
      return empty();
    case Permitted::kNo:
      return error(EACCES);
    default:
      return Outcome::kForward;
  }
}

TreeRequests::Outcome TreeRequests::open() {
  if (body_bytes_ < sizeof(fuse_open_in) || !row_->has(InodeRow::kReadable)) return Outcome::kForward;
  const auto flags = field<uint32_t>(offsetof(fuse_open_in, flags));
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC) != 0) return Outcome::kForward;
  // A refusal is the control plane's, which may know more groups.
  if (permits(owned(*row_, *defaults_), R_OK, {header_.uid, header_.gid}) != Permitted::kYes) return Outcome::kForward;
  fuse_open_out opened = {};
  opened.open_flags = FOPEN_KEEP_CACHE | FOPEN_NOFLUSH;
  return with(opened);
}

TreeRequests::Outcome TreeRequests::release() {
  if (body_bytes_ < sizeof(fuse_release_in) || !row_->has(InodeRow::kReadable)) return Outcome::kForward;
  if (field<uint64_t>(offsetof(fuse_release_in, fh)) != 0) return Outcome::kForward;
  return empty();
}

TreeRequests::Outcome TreeRequests::opendir() {
  if (!defaults_->no_opendir) return Outcome::kForward;
  if (*defaults_->no_opendir) return error(ENOSYS);
  fuse_open_out opened = {};
  opened.open_flags = FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR;
  return with(opened);
}

TreeRequests::Outcome TreeRequests::readdir(bool plus) {
  if (body_bytes_ < sizeof(fuse_read_in)) return Outcome::kForward;
  const auto handle = field<uint64_t>(offsetof(fuse_read_in, fh));
  const DirectoryQuery query = {.nodeid = header_.nodeid,
                                .offset = field<uint64_t>(offsetof(fuse_read_in, offset)),
                                .room = field<uint32_t>(offsetof(fuse_read_in, size)),
                                .plus = plus};
  if (handle > kMostHandle || query.room > kMostDirectoryBytes) return Outcome::kForward;
  return add_entries(table_, *defaults_, query, reply_, referenced_) ? empty() : Outcome::kForward;
}

TreeRequests::Outcome TreeRequests::statfs() {
  return defaults_->statfs ? with(*defaults_->statfs) : Outcome::kForward;
}

TreeRequests::Outcome TreeRequests::getxattr() {
  if (body_bytes_ < sizeof(fuse_getxattr_in)) return Outcome::kForward;
  const auto wanted = name(sizeof(fuse_getxattr_in));
  if (!wanted) return Outcome::kForward;
  if (!wanted->starts_with(kUserNamespace)) return error(EOPNOTSUPP);
  return row_->has(InodeRow::kNoXattrs) ? error(ENODATA) : Outcome::kForward;
}

TreeRequests::Outcome TreeRequests::listxattr() {
  if (body_bytes_ < sizeof(fuse_getxattr_in) || !row_->has(InodeRow::kNoXattrs)) return Outcome::kForward;
  // With room for names the answer is the names themselves, without it the size that they need.
  return field<uint32_t>(offsetof(fuse_getxattr_in, size)) > 0 ? empty() : with(fuse_getxattr_out{});
}

TreeRequests::Outcome TreeRequests::forget() {
  if (body_bytes_ < sizeof(fuse_forget_in)) return Outcome::kForward;
  const auto count = field<uint64_t>(offsetof(fuse_forget_in, nlookup));
  return table_.drop_references(header_.nodeid, count, true) ? Outcome::kFinished : Outcome::kForward;
}

TreeRequests::Outcome TreeRequests::forget_batch(uint8_t* message, size_t& length) {
  if (body_bytes_ < sizeof(fuse_batch_forget_in)) return Outcome::kForward;
  const auto count = field<uint32_t>(offsetof(fuse_batch_forget_in, count));
  if (count > (body_bytes_ - sizeof(fuse_batch_forget_in)) / sizeof(fuse_forget_one)) return Outcome::kForward;
  uint8_t* const first = message + sizeof header_ + sizeof(fuse_batch_forget_in);
  uint32_t left = 0;
  for (uint32_t i = 0; i < count; i++) {
    fuse_forget_one one;
    memcpy(&one, first + i * sizeof one, sizeof one);
    if (table_.drop_references(one.nodeid, one.nlookup, true)) continue;
    memcpy(first + left * sizeof one, &one, sizeof one);
    left++;
  }
  if (left == 0) return Outcome::kFinished;
  length = sizeof header_ + sizeof(fuse_batch_forget_in) + left * sizeof(fuse_forget_one);
  header_.len = static_cast<uint32_t>(length);
  memcpy(message, &header_, sizeof header_);
  memcpy(message + sizeof header_ + offsetof(fuse_batch_forget_in, count), &left, sizeof left);
  return Outcome::kForward;
}

}  // namespace mlfs
