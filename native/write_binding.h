#pragma once

#include <napi.h>

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "session.h"

namespace mlfs {

/// The write lanes of a session, by the index of the image's file, and the functions of the session that change them, as src/storage/native.ts
/// declares them.
class NativeWriteLanes {
 public:
  /// Called from session threads.
  struct Events {
    std::function<void(double nodeid, std::vector<uint8_t> reply)> written;
    std::function<void(double file)> logged;
    std::function<void(double file)> idle;
  };

  NativeWriteLanes(Session& session, Events events) : session_(session), events_(std::move(events)) {}

  void grant(const Napi::CallbackInfo& info, double file, BackingFile& image);
  void open(const Napi::CallbackInfo& info, BackingFile* segment);
  Napi::Value revoke(const Napi::CallbackInfo& info);
  Napi::Value none_alone(const Napi::CallbackInfo& info);
  Napi::Value set_alone(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value set_durable(const Napi::CallbackInfo& info);
  Napi::Value take(const Napi::CallbackInfo& info);
  Napi::Value applied(const Napi::CallbackInfo& info);
  Napi::Value remove(const Napi::CallbackInfo& info);

 private:
  /// Throws a RangeError if the image has no lane.
  const std::shared_ptr<WriteLane>& lane(const Napi::CallbackInfo& info) const;

  Session& session_;
  const Events events_;
  std::map<double, std::shared_ptr<WriteLane>> lanes_;
};

}  // namespace mlfs
