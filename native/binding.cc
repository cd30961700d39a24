// The only file that knows N-API: arguments in, errors out, and the bridge from session threads to JavaScript.

#include <fcntl.h>
#include <napi.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "device.h"
#include "page_cache.h"
#include "session.h"

namespace {

using namespace mlfs;

Napi::Error system_error(Napi::Env env, int error, const std::string& message) {
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("errno", Napi::Number::New(env, error));
  return result;
}

std::string text(const Napi::Object& options, const char* name) {
  return options.Get(name).As<Napi::String>().Utf8Value();
}

bool flag(const Napi::Object& options, const char* name) { return options.Get(name).ToBoolean().Value(); }

uint64_t bytes(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()); }

MountOptions mount_options(const Napi::Object& options) {
  return {.mountpoint = text(options, "mountpoint"),
          .fsname = text(options, "fsname"),
          .read_only = flag(options, "readOnly"),
          .allow_other = flag(options, "allowOther"),
          .default_permissions = flag(options, "defaultPermissions")};
}

Napi::Value device_or_throw(Napi::Env env, MountResult result) {
  if (result.error != 0) throw system_error(env, result.error, result.message);
  return Napi::Number::New(env, result.device.release());
}

/// mountDirectly(options): number — the descriptor of the FUSE device.
Napi::Value MountDirectly(const Napi::CallbackInfo& info) {
  return device_or_throw(info.Env(), mount_directly(mount_options(info[0].As<Napi::Object>())));
}

/// mountWithFusermount(options, program): number
Napi::Value MountWithFusermount(const Napi::CallbackInfo& info) {
  MountOptions options = mount_options(info[0].As<Napi::Object>());
  return device_or_throw(info.Env(), mount_with_fusermount(options, info[1].As<Napi::String>().Utf8Value()));
}

/// evictFromPageCache(fd, offset, length)
void EvictFromPageCache(const Napi::CallbackInfo& info) {
  int error = evict_from_page_cache(info[0].As<Napi::Number>().Int32Value(), bytes(info[1]), bytes(info[2]));
  if (error != 0) throw system_error(info.Env(), error, std::string("posix_fadvise: ") + strerror(error));
}

/// What crosses from a session thread to JavaScript: a request, or the end.
struct Event {
  std::vector<uint8_t> message;
  int end_error = 0;
  bool end = false;
};

struct Handlers {
  Napi::FunctionReference on_message;
  Napi::FunctionReference on_end;
};

void deliver(Napi::Env env, Napi::Function, Handlers* handlers, Event* raw) {
  std::unique_ptr<Event> event(raw);
  if (env == nullptr) return;  // the environment is going away
  Napi::HandleScope scope(env);
  if (event->end) {
    handlers->on_end.Call({Napi::Number::New(env, event->end_error)});
    return;
  }
  handlers->on_message.Call({Napi::Buffer<uint8_t>::Copy(env, event->message.data(), event->message.size())});
}

using EventQueue = Napi::TypedThreadSafeFunction<Handlers, Event, deliver>;

/// Session(fd, { threads, maxWriteBytes, nearServer })
class NativeSession : public Napi::ObjectWrap<NativeSession> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Session",
                       {InstanceMethod<&NativeSession::Start>("start"), InstanceMethod<&NativeSession::Reply>("reply"),
                        InstanceMethod<&NativeSession::AddFile>("addFile"),
                        InstanceMethod<&NativeSession::Publish>("publish"),
                        InstanceMethod<&NativeSession::Withdraw>("withdraw"),
                        InstanceMethod<&NativeSession::ReadCounters>("counters"),
                        InstanceMethod<&NativeSession::Stop>("stop")});
  }

  explicit NativeSession(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeSession>(info) {
    auto options = info[1].As<Napi::Object>();
    SessionOptions settings;
    settings.threads = options.Get("threads").As<Napi::Number>().Uint32Value();
    settings.max_write_bytes = bytes(options.Get("maxWriteBytes"));
    settings.near_server = flag(options, "nearServer");
    session_ = std::make_unique<Session>(Descriptor(info[0].As<Napi::Number>().Int32Value()), settings);
    // Threads must not outlive the environment they post to.
    info.Env().AddCleanupHook([](NativeSession* self) { self->session_->stop(); }, this);
    Ref();  // lives until the environment ends: session threads hold on to it
  }

 private:
  void Start(const Napi::CallbackInfo& info) {
    auto* handlers = new Handlers{Napi::Persistent(info[0].As<Napi::Function>()),
                                  Napi::Persistent(info[1].As<Napi::Function>())};
    queue_ = EventQueue::New(info.Env(), "mlfs-session", 0, 1, handlers,
                             [](Napi::Env, void*, Handlers* owned) { delete owned; }, static_cast<void*>(nullptr));
    session_->start(
        [this](std::vector<uint8_t> message) { post(new Event{.message = std::move(message)}); },
        [this](int error) {
          post(new Event{.message = {}, .end_error = error, .end = true});
          queue_.Release();
        });
  }

  void post(Event* event) {
    if (queue_.NonBlockingCall(event) != napi_ok) delete event;
  }

  /// reply(message): number — 0 or an errno
  Napi::Value Reply(const Napi::CallbackInfo& info) {
    auto message = info[0].As<Napi::Uint8Array>();
    return Napi::Number::New(info.Env(), session_->reply(message.Data(), message.ByteLength()));
  }

  /// addFile(fd, size): number — the index that extents name it by
  Napi::Value AddFile(const Napi::CallbackInfo& info) {
    int own = fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw system_error(info.Env(), errno, std::string("dup: ") + strerror(errno));
    files_.push_back(session_->add_file(Descriptor(own), bytes(info[1])));
    return Napi::Number::New(info.Env(), static_cast<double>(files_.size() - 1));
  }

  /// publish(nodeid, extents, inline): extents is a Float64Array of (file, offset, length), file -1 for inline bytes
  void Publish(const Napi::CallbackInfo& info) {
    auto triples = info[1].As<Napi::Float64Array>();
    auto stored = info[2].As<Napi::Uint8Array>();
    std::vector<Extent> extents;
    extents.reserve(triples.ElementLength() / 3);
    for (size_t i = 0; i + 2 < triples.ElementLength(); i += 3) {
      double index = triples[i];
      auto offset = static_cast<uint64_t>(triples[i + 1]);
      auto length = static_cast<uint64_t>(triples[i + 2]);
      BackingFile* file = nullptr;
      uint64_t limit = stored.ByteLength();
      if (index >= 0) {
        if (index >= static_cast<double>(files_.size())) {
          throw Napi::RangeError::New(info.Env(), "extent names no file");
        }
        file = files_[static_cast<size_t>(index)];
        limit = file->size;
      }
      if (offset > limit || length > limit - offset) {
        throw Napi::RangeError::New(info.Env(), "extent leaves its file");
      }
      extents.push_back({file, offset, length});
    }
    std::vector<uint8_t> inline_bytes(stored.Data(), stored.Data() + stored.ByteLength());
    auto layout = std::make_unique<const FileLayout>(std::move(extents), std::move(inline_bytes));
    if (!session_->extents().publish(bytes(info[0]), std::move(layout))) {
      throw Napi::RangeError::New(info.Env(), "nodeid is out of range");
    }
  }

  void Withdraw(const Napi::CallbackInfo& info) { session_->extents().publish(bytes(info[0]), nullptr); }

  Napi::Value ReadCounters(const Napi::CallbackInfo& info) {
    const Counters& counters = session_->counters();
    Napi::Object result = Napi::Object::New(info.Env());
    auto set = [&](const char* name, uint64_t value) { result.Set(name, static_cast<double>(value)); };
    set("requests_total", counters.requests);
    set("forwarded_requests_total", counters.forwarded);
    set("native_reads_total", counters.native_reads);
    set("native_read_bytes_total", counters.native_read_bytes);
    set("native_read_errors_total", counters.native_read_errors);
    set("near_periods_total", counters.near_periods);
    return result;
  }

  void Stop(const Napi::CallbackInfo&) { session_->stop(); }

  std::unique_ptr<Session> session_;
  std::vector<BackingFile*> files_;
  EventQueue queue_;
};

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("mountDirectly", Napi::Function::New<MountDirectly>(env));
  exports.Set("mountWithFusermount", Napi::Function::New<MountWithFusermount>(env));
  exports.Set("evictFromPageCache", Napi::Function::New<EvictFromPageCache>(env));
  exports.Set("Session", NativeSession::Define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(mlfs_native, Initialize)
