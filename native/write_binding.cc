#include "write_binding.h"

#include <linux/fuse.h>

#include <cstring>

#include "place_binding.h"

namespace mlfs {

namespace {

double number(const Napi::CallbackInfo& info, size_t at) { return info[at].As<Napi::Number>().DoubleValue(); }
uint64_t whole(const Napi::CallbackInfo& info, size_t at) { return static_cast<uint64_t>(number(info, at)); }

/// The reply to a WRITE.
std::vector<uint8_t> written_reply(uint64_t unique, uint32_t bytes) {
  fuse_out_header header = {};
  fuse_write_out body = {};
  header.len = sizeof header + sizeof body;
  header.unique = unique;
  body.size = bytes;
  std::vector<uint8_t> reply(header.len);
  memcpy(reply.data(), &header, sizeof header);
  memcpy(reply.data() + sizeof header, &body, sizeof body);
  return reply;
}

}  // namespace

void NativeWriteLanes::grant(const Napi::CallbackInfo& info, double file, BackingFile& image) {
  auto others = info[5].As<Napi::Uint32Array>();
  const uint64_t offset = whole(info, 2);
  const uint64_t size = whole(info, 3);
  if (offset > image.size || size > image.size - offset) throw Napi::RangeError::New(info.Env(), "the grant leaves its image");
  std::shared_ptr<WriteLane>& lane = lanes_[file];
  if (lane == nullptr) {
    lane = session_.make_lane(
        image,
        [this](uint64_t unique, uint64_t nodeid, uint32_t bytes) {
          events_.written(static_cast<double>(nodeid), written_reply(unique, bytes));
        },
        [this, file] { events_.logged(file); });
  }
  auto grant = std::make_shared<WriteGrant>();
  grant->nodeid = whole(info, 1);
  grant->offset = offset;
  grant->size = size;
  grant->others.assign(others.Data(), others.Data() + others.ElementLength());
  grant->lane = lane;
  grant->alone = info[6].ToBoolean().Value();
  session_.grants().add(whole(info, 0), std::move(grant));
}

void NativeWriteLanes::open(const Napi::CallbackInfo& info, BackingFile* segment) {
  auto numbers = info[3].As<Napi::Float64Array>();
  if (numbers.ElementLength() != 4 || numbers[1] < 1) throw Napi::RangeError::New(info.Env(), "a lane needs four numbers");
  lane(info)->open({.segment = segment,
                    .place = names_of_place(info[2]),
                    .position = static_cast<uint64_t>(numbers[0]),
                    .sequence = static_cast<uint64_t>(numbers[1]),
                    .durable = static_cast<uint64_t>(numbers[2]),
                    .room = static_cast<uint64_t>(numbers[3])});
}

Napi::Value NativeWriteLanes::revoke(const Napi::CallbackInfo& info) {
  session_.grants().remove(whole(info, 0));
  return info.Env().Undefined();
}

Napi::Value NativeWriteLanes::none_alone(const Napi::CallbackInfo& info) {
  session_.grants().none_alone();
  return info.Env().Undefined();
}

Napi::Value NativeWriteLanes::set_alone(const Napi::CallbackInfo& info) {
  session_.grants().set_alone(whole(info, 0));
  return info.Env().Undefined();
}

/// closeLane(file): boolean — false: the event `idle` tells when the running write is over
Napi::Value NativeWriteLanes::close(const Napi::CallbackInfo& info) {
  const double file = number(info, 0);
  return Napi::Boolean::New(info.Env(), lane(info)->close([this, file] { events_.idle(file); }));
}

Napi::Value NativeWriteLanes::set_durable(const Napi::CallbackInfo& info) {
  lane(info)->set_durable(whole(info, 1));
  return info.Env().Undefined();
}

/// takeWrites(file): Float64Array | undefined — whether the segment is torn, the number of writes, then (nodeid, bytes, time, runs) for each
/// write, then (start, end, offset in the segment, difference of the CRC-32) for each run
Napi::Value NativeWriteLanes::take(const Napi::CallbackInfo& info) {
  const WriteLane::Taken taken = lane(info)->take();
  if (taken.writes.empty() && !taken.torn) return info.Env().Undefined();
  auto numbers = Napi::Float64Array::New(info.Env(), 2 + 4 * (taken.writes.size() + taken.runs.size()));
  double* to = numbers.Data();
  *to++ = taken.torn ? 1 : 0;
  *to++ = static_cast<double>(taken.writes.size());
  for (const WriteLane::Written& write : taken.writes) {
    *to++ = static_cast<double>(write.nodeid);
    *to++ = static_cast<double>(write.bytes);
    *to++ = static_cast<double>(write.at_ms);
    *to++ = write.runs;
  }
  for (const WriteLane::Run& run : taken.runs) {
    *to++ = static_cast<double>(run.start);
    *to++ = static_cast<double>(run.end);
    *to++ = static_cast<double>(run.offset);
    *to++ = run.difference;
  }
  return numbers;
}

Napi::Value NativeWriteLanes::applied(const Napi::CallbackInfo& info) {
  lane(info)->applied();
  return info.Env().Undefined();
}

Napi::Value NativeWriteLanes::remove(const Napi::CallbackInfo& info) {
  session_.remove_lane(lane(info));
  lanes_.erase(number(info, 0));
  return info.Env().Undefined();
}

const std::shared_ptr<WriteLane>& NativeWriteLanes::lane(const Napi::CallbackInfo& info) const {
  auto found = lanes_.find(number(info, 0));
  if (found == lanes_.end()) throw Napi::RangeError::New(info.Env(), "the image has no write lane");
  return found->second;
}

}  // namespace mlfs
