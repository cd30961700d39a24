#include "tree_binding.h"

#include <cmath>
#include <cstring>
#include <string>
#include <string_view>

namespace mlfs::tree_binding {

namespace {

/// Numbers of JavaScript are exact up to here.
constexpr double kLargest = 9007199254740991;

/// A whole number from `least` to `most`; throws a RangeError that names it.
template <class Number>
Number whole(Napi::Env env, double value, double least, double most, const char* name) {
  if (!(value >= least && value <= most) || value != std::floor(value)) {
    throw Napi::RangeError::New(env, std::string(name) + " is " + std::to_string(value));
  }
  return static_cast<Number>(value);
}

uint64_t nodeid_of(Napi::Env env, double value) {
  return whole<uint64_t>(env, value, 1, static_cast<double>(InodeTable::kCapacity - 1), "nodeid");
}

double number(const Napi::Value& value) { return value.As<Napi::Number>().DoubleValue(); }

/// What JavaScript may say of an inode.
constexpr uint8_t kPublicFlags = InodeRow::kReadable | InodeRow::kTell | InodeRow::kNoXattrs | InodeRow::kAsk;

/// The fields of one inode (INODE_FIELDS).
enum Field { kNodeid, kMode, kNlink, kSize, kSeconds, kNanoseconds, kParent, kFlags, kRoom, kFile, kOffset, kFields };

std::unique_ptr<const InodeRow> row_of(Napi::Env env, const double* fields, const Files& files) {
  const auto index = whole<int64_t>(env, fields[kFile], -1, kLargest, "file");
  BackingFile* file = nullptr;
  if (index >= 0) file = static_cast<size_t>(index) < files.size() ? files[static_cast<size_t>(index)] : nullptr;
  if (index >= 0 && file == nullptr) throw Napi::RangeError::New(env, "inode names no file");
  const auto size = whole<uint64_t>(env, fields[kSize], 0, kLargest, "size");
  const auto offset = whole<uint64_t>(env, fields[kOffset], 0, kLargest, "offset");
  if (file != nullptr && (offset > file->size || size > file->size - offset)) {
    throw Napi::RangeError::New(env, "inode leaves its file");
  }
  return std::unique_ptr<const InodeRow>(new InodeRow{
      .size = size,
      .mtime_seconds = whole<int64_t>(env, fields[kSeconds], -kLargest, kLargest, "seconds"),
      .offset = offset,
      .file = file,
      .changes = nullptr,
      .mtime_nanoseconds = whole<uint32_t>(env, fields[kNanoseconds], 0, 999'999'999, "nanoseconds"),
      .nlink = whole<uint32_t>(env, fields[kNlink], 0, UINT32_MAX, "nlink"),
      .parent = whole<uint32_t>(env, fields[kParent], 0, static_cast<double>(InodeTable::kCapacity - 1), "parent"),
      .mode = whole<uint16_t>(env, fields[kMode], 0, UINT16_MAX, "mode"),
      .flags = whole<uint8_t>(env, fields[kFlags], 0, kPublicFlags, "flags"),
      .room = whole<uint8_t>(env, fields[kRoom], 0, UINT8_MAX, "room")});
}

/// A nodeid that may be beyond the table.
uint64_t any_nodeid(const Napi::CallbackInfo& info) {
  return whole<uint64_t>(info.Env(), number(info[0]), 0, kLargest, "nodeid");
}

}  // namespace

/// addInodes(rows)
Napi::Value add_inodes(const Napi::CallbackInfo& info, InodeTable& table, const Files& files) {
  Napi::Env env = info.Env();
  auto fields = info[0].As<Napi::Float64Array>();
  if (fields.ElementLength() % kFields != 0) throw Napi::RangeError::New(env, "a row is not whole");
  std::vector<InodeTable::NewRow> rows;
  rows.reserve(fields.ElementLength() / kFields);
  for (size_t at = 0; at < fields.ElementLength(); at += kFields) {
    rows.push_back({nodeid_of(env, fields[at + kNodeid]), row_of(env, fields.Data() + at, files)});
  }
  table.add(std::move(rows));
  return env.Undefined();
}

/// changeInode(nodeid, mode, uid, gid, size, [atime s, ns, mtime s, ns, ctime s, ns]): boolean
Napi::Value change_inode(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  Napi::Env env = info.Env();
  auto times = info[5].As<Napi::Float64Array>();
  if (times.ElementLength() != 6) throw Napi::RangeError::New(env, "three times have six numbers");
  auto time = [&](size_t at) {
    return FileTime{whole<int64_t>(env, times[at], -kLargest, kLargest, "seconds"),
                    whole<uint32_t>(env, times[at + 1], 0, 999'999'999, "nanoseconds")};
  };
  auto changes = std::unique_ptr<const InodeChanges>(
      new InodeChanges{.mode = whole<uint32_t>(env, number(info[1]), 0, UINT16_MAX, "mode") & ~uint32_t{S_IFMT},
                       .uid = whole<uint32_t>(env, number(info[2]), 0, UINT32_MAX, "uid"),
                       .gid = whole<uint32_t>(env, number(info[3]), 0, UINT32_MAX, "gid"),
                       .size = whole<uint64_t>(env, number(info[4]), 0, kLargest, "size"),
                       .accessed = time(0),
                       .modified = time(2),
                       .changed = time(4)});
  return Napi::Boolean::New(env, table.change(nodeid_of(env, number(info[0])), std::move(changes)));
}

/// withdrawInodes(nodeids)
Napi::Value withdraw_inodes(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  auto nodeids = info[0].As<Napi::Float64Array>();
  for (size_t i = 0; i < nodeids.ElementLength(); i++) nodeid_of(info.Env(), nodeids[i]);
  for (size_t i = 0; i < nodeids.ElementLength(); i++) table.withdraw(static_cast<uint64_t>(nodeids[i]));
  return info.Env().Undefined();
}

/// publishListings(folders, names): folders is (nodeid, flags, count, count times (nodeid, offset, bytes of the name)) one after the other
Napi::Value publish_listings(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  Napi::Env env = info.Env();
  auto fields = info[0].As<Napi::Float64Array>();
  auto names = info[1].As<Napi::Uint8Array>();
  const std::string_view text(reinterpret_cast<const char*>(names.Data()), names.ByteLength());
  std::vector<InodeTable::NewListing> listings;
  std::vector<ListedName> entries;
  const size_t length = fields.ElementLength();
  size_t name_at = 0;
  for (size_t at = 0; at < length;) {
    if (length - at < 3) throw Napi::RangeError::New(env, "a folder is not whole");
    const uint64_t nodeid = nodeid_of(env, fields[at]);
    const auto flags = whole<uint8_t>(env, fields[at + 1], 0,
                                      DirectoryListing::kComplete | DirectoryListing::kAbsenceLasts, "folder flags");
    const auto count = whole<size_t>(env, fields[at + 2], 0, kLargest, "count");
    at += 3;
    if (count > (length - at) / 3) throw Napi::RangeError::New(env, "entries are missing");
    entries.clear();
    entries.reserve(count);
    for (size_t i = 0; i < count; i++, at += 3) {
      const auto bytes = whole<size_t>(env, fields[at + 2], 0, static_cast<double>(text.size() - name_at), "length of a name");
      entries.push_back({whole<uint64_t>(env, fields[at], 1, UINT32_MAX, "nodeid"),
                         whole<uint64_t>(env, fields[at + 1], 0, kLargest, "offset"), text.substr(name_at, bytes)});
      name_at += bytes;
    }
    auto listing = DirectoryListing::make(flags, entries.data(), count);
    if (listing == nullptr) throw Napi::RangeError::New(env, "offsets do not ascend");
    listings.push_back({nodeid, std::move(listing)});
  }
  table.publish_listings(std::move(listings));
  return env.Undefined();
}

/// withdrawListing(nodeid)
Napi::Value withdraw_listing(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  table.withdraw_listing(nodeid_of(info.Env(), number(info[0])));
  return info.Env().Undefined();
}

/// withdrawAll(firstNodeid, count)
Napi::Value withdraw_all(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  Napi::Env env = info.Env();
  table.withdraw_all(nodeid_of(env, number(info[0])), whole<uint64_t>(env, number(info[1]), 0, kLargest, "count"));
  return env.Undefined();
}

/// addReference(nodeid): boolean
Napi::Value add_reference(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  return Napi::Boolean::New(info.Env(), table.add_reference(any_nodeid(info), false));
}

/// dropReferences(nodeid, count): boolean
Napi::Value drop_references(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  const auto count = whole<uint64_t>(info.Env(), number(info[1]), 0, kLargest, "count");
  return Napi::Boolean::New(info.Env(), table.drop_references(any_nodeid(info), count, false));
}

/// references(nodeid): number
Napi::Value references(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  return Napi::Number::New(info.Env(), static_cast<double>(table.references(any_nodeid(info))));
}

Napi::Float64Array numbers(Napi::Env env, const std::vector<uint32_t>& nodeids) {
  auto result = Napi::Float64Array::New(env, nodeids.size());
  for (size_t i = 0; i < nodeids.size(); i++) result[i] = nodeids[i];
  return result;
}

/// takeRemembered(): Float64Array
Napi::Value take_remembered(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  return numbers(info.Env(), table.news()->take_remembered());
}

/// setTreeDefaults({uid, gid, readOnly, keepMs, noOpendir?})
Napi::Value set_tree_defaults(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  Napi::Env env = info.Env();
  auto options = info[0].As<Napi::Object>();
  auto defaults = table.defaults() == nullptr ? std::make_unique<TreeDefaults>()
                                              : std::make_unique<TreeDefaults>(*table.defaults());
  const double keep_ms = number(options.Get("keepMs"));
  defaults->uid = whole<uint32_t>(env, number(options.Get("uid")), 0, UINT32_MAX, "uid");
  defaults->gid = whole<uint32_t>(env, number(options.Get("gid")), 0, UINT32_MAX, "gid");
  defaults->read_only = options.Get("readOnly").ToBoolean();
  const auto whole_ms = whole<uint64_t>(env, keep_ms, 0, kLargest, "keepMs");
  defaults->keep_seconds = whole_ms / 1000;
  defaults->keep_nanoseconds = static_cast<uint32_t>(whole_ms % 1000 * 1'000'000);
  const Napi::Value no_opendir = options.Get("noOpendir");
  if (no_opendir.IsBoolean()) defaults->no_opendir = no_opendir.ToBoolean().Value();
  table.set_defaults(std::move(defaults));
  return env.Undefined();
}

/// setStatfs(body | undefined)
Napi::Value set_statfs(const Napi::CallbackInfo& info, InodeTable& table, const Files&) {
  Napi::Env env = info.Env();
  if (table.defaults() == nullptr) throw Napi::Error::New(env, "setTreeDefaults comes first");
  auto defaults = std::make_unique<TreeDefaults>(*table.defaults());
  defaults->statfs.reset();
  if (!info[0].IsUndefined()) {
    auto body = info[0].As<Napi::Uint8Array>();
    if (body.ByteLength() != TreeDefaults::kStatfsBytes) throw Napi::RangeError::New(env, "the body of STATFS has 80 bytes");
    memcpy(defaults->statfs.emplace().data(), body.Data(), body.ByteLength());
  }
  table.set_defaults(std::move(defaults));
  return env.Undefined();
}

}  // namespace mlfs::tree_binding
