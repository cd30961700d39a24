#include "counters_binding.h"

#include <linux/fuse.h>

#include "attribute_reply.h"

namespace mlfs::counters_binding {

namespace {

/// The counters of requests that session threads answer from the inode table.
constexpr struct {
  uint32_t opcode;
  const char* name;
} kTreeOpcodes[] = {
    {FUSE_LOOKUP, "native_lookups_total"},           {FUSE_FORGET, "native_forgets_total"},
    {FUSE_GETATTR, "native_getattrs_total"},         {FUSE_OPEN, "native_opens_total"},
    {FUSE_STATFS, "native_statfses_total"},          {FUSE_RELEASE, "native_releases_total"},
    {FUSE_GETXATTR, "native_getxattrs_total"},       {FUSE_LISTXATTR, "native_listxattrs_total"},
    {FUSE_OPENDIR, "native_opendirs_total"},         {FUSE_READDIR, "native_readdirs_total"},
    {FUSE_RELEASEDIR, "native_releasedirs_total"},   {FUSE_ACCESS, "native_accesses_total"},
    {FUSE_BATCH_FORGET, "native_batch_forgets_total"}, {FUSE_READDIRPLUS, "native_readdirpluses_total"},
    {kStatxOpcode, "native_statxs_total"},           {FUSE_IOCTL, "native_ioctls_total"},
};

}  // namespace

Napi::Object counters(Napi::Env env, Session& session) {
  const Counters& counters = session.counters();
  Napi::Object result = Napi::Object::New(env);
  auto set = [&](const char* name, uint64_t value) { result.Set(name, static_cast<double>(value)); };
  set("requests_total", counters.requests);
  set("forwarded_requests_total", counters.forwarded);
  set("native_reads_total", counters.native_reads.reads());
  set("native_read_bytes_total", counters.native_reads.bytes());
  set("native_read_errors_total", counters.native_read_errors);
  set("native_writes_total", counters.native_writes);
  set("near_periods_total", counters.near_periods);
  if (const AnswerComparison* comparison = session.comparison()) {
    set("native_answers_compared_total", comparison->totals().compared);
    set("native_answer_differences_total", comparison->totals().different);
  }
  set("native_refusals_total", counters.answers.refusals());
  set("native_inodes_known", session.inodes().referenced());
  for (const auto& [opcode, name] : kTreeOpcodes) set(name, counters.answers.answers(opcode));
  return result;
}

Napi::Value read_tally(Napi::Env env, Session& session) {
  auto seconds = [](uint64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e9; };
  auto bounds = Napi::Array::New(env);
  for (uint64_t bound : ReadTally::kBoundsNanoseconds) {
    bounds.Set(bounds.Length(), Napi::Number::New(env, seconds(bound)));
  }
  auto rooms = Napi::Array::New(env);
  for (const ReadTally::Room& room : session.counters().native_reads.rooms()) {
    auto durations = Napi::Array::New(env);
    for (const auto& count : room.durations) {
      durations.Set(durations.Length(), Napi::Number::New(env, static_cast<double>(count.load())));
    }
    Napi::Object one = Napi::Object::New(env);
    one.Set("bytes", static_cast<double>(room.bytes.load()));
    one.Set("seconds", seconds(room.nanoseconds.load()));
    one.Set("durations", durations);
    rooms.Set(rooms.Length(), one);
  }
  Napi::Object tally = Napi::Object::New(env);
  tally.Set("bounds", bounds);
  tally.Set("rooms", rooms);
  return tally;
}

Napi::Value open_files_by_room(Napi::Env env, Session& session) {
  const AnswerTally& tally = session.counters().answers;
  auto open = Napi::Float64Array::New(env, AnswerTally::kRooms);
  for (size_t room = 0; room < AnswerTally::kRooms; room++) {
    open[room] = static_cast<double>(tally.opens(room)) - static_cast<double>(tally.releases(room));
  }
  return open;
}

Napi::Value take_differences(Napi::Env env, Session& session) {
  auto result = Napi::Array::New(env);
  if (session.comparison() == nullptr) return result;
  for (const std::string& one : session.comparison()->take_differences()) {
    result.Set(result.Length(), Napi::String::New(env, one));
  }
  return result;
}

}  // namespace mlfs::counters_binding
