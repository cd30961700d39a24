// The addon for N-API: arguments in, errors out, and the bridge from session threads to JavaScript. Only the files *_binding.cc know N-API, too.

#include <fcntl.h>
#include <napi.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "copy_binding.h"
#include "counters_binding.h"
#include "crc32c.h"
#include "device.h"
#include "file_times.h"
#include "distance_binding.h"
#include "mapping_binding.h"
#include "numbers_binding.h"
#include "page_cache.h"
#include "place_binding.h"
#include "session.h"
#include "storage_binding.h"
#include "tree_binding.h"
#include "view_binding.h"
#include "write_binding.h"

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

/// fakeDevice(): [device, kernel]
Napi::Value MakeFakeDevice(const Napi::CallbackInfo& info) {
  FakeDevice ends = fake_device();
  if (!ends.device) throw system_error(info.Env(), errno, std::string("socketpair: ") + strerror(errno));
  auto result = Napi::Array::New(info.Env());
  result.Set(0u, ends.device.release());
  result.Set(1u, ends.kernel.release());
  return result;
}

/// evictFromPageCache(fd, offset, length)
void EvictFromPageCache(const Napi::CallbackInfo& info) {
  int error = evict_from_page_cache(info[0].As<Napi::Number>().Int32Value(), bytes(info[1]), bytes(info[2]));
  if (error != 0) throw system_error(info.Env(), error, std::string("posix_fadvise: ") + strerror(error));
}

/// readIfCached(fd, buffer, offset): number — bytes read, or -1
Napi::Value ReadIfCached(const Napi::CallbackInfo& info) {
  auto buffer = info[1].As<Napi::Uint8Array>();
  ssize_t got = read_if_cached(info[0].As<Napi::Number>().Int32Value(), buffer.Data(), buffer.ByteLength(), bytes(info[2]));
  return Napi::Number::New(info.Env(), static_cast<double>(got));
}

/// crc32c(bytes, previous): number
Napi::Value Crc32c(const Napi::CallbackInfo& info) {
  auto message = info[0].As<Napi::Uint8Array>();
  uint32_t previous = info[1].As<Napi::Number>().Uint32Value();
  return Napi::Number::New(info.Env(), crc32c(message.Data(), message.ByteLength(), previous));
}

/// tryLock(fd, shared): boolean
Napi::Value TryLock(const Napi::CallbackInfo& info) {
  const int kind = info[1].ToBoolean() ? LOCK_SH : LOCK_EX;
  int result;
  do {
    result = flock(info[0].As<Napi::Number>().Int32Value(), kind | LOCK_NB);
  } while (result != 0 && errno == EINTR);
  if (result != 0 && errno != EWOULDBLOCK) {
    throw system_error(info.Env(), errno, std::string("flock: ") + strerror(errno));
  }
  return Napi::Boolean::New(info.Env(), result == 0);
}

/// Changes times in a thread of libuv's pool, because that may wait for the disk.
class TimesChange : public Napi::AsyncWorker {
 public:
  TimesChange(Napi::Env env, int fd, const timespec& accessed, const timespec& modified)
      : Napi::AsyncWorker(env, "mlfs-times"),
        deferred_(Napi::Promise::Deferred::New(env)),
        fd_(fd),
        times_{accessed, modified} {}

  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

 private:
  void Execute() override { error_ = set_file_times(fd_, times_); }

  void OnOK() override {
    if (error_ == 0) return deferred_.Resolve(Env().Undefined());
    deferred_.Reject(system_error(Env(), error_, std::string("utimensat: ") + strerror(error_)).Value());
  }

  Napi::Promise::Deferred deferred_;
  const int fd_;
  const timespec times_[2];
  int error_ = 0;
};

/// setTimes(fd, accessedSeconds, accessedNanoseconds, modifiedSeconds, modifiedNanoseconds): Promise<void>
Napi::Value SetTimes(const Napi::CallbackInfo& info) {
  auto time = [&info](size_t at) {
    return timespec{.tv_sec = static_cast<time_t>(info[at].As<Napi::Number>().Int64Value()),
                    .tv_nsec = static_cast<long>(info[at + 1].As<Napi::Number>().Int64Value())};
  };
  auto* change = new TimesChange(info.Env(), info[0].As<Napi::Number>().Int32Value(), time(1), time(3));
  return change->start();
}

/// What crosses from a thread of the session to JavaScript: a request, a notification that was sent, forgotten inodes, news of a write lane,
/// or the end.
struct Event {
  enum class Kind { kMessage, kNotified, kForgotten, kWritten, kLogged, kIdle, kEnd };
  Kind kind;
  std::vector<uint8_t> message;
  double notification = 0;
  int error = 0;
};

struct Handlers {
  Napi::FunctionReference on_message;
  Napi::FunctionReference on_notified;
  Napi::FunctionReference on_end;
  Napi::FunctionReference on_forgotten;
  Napi::FunctionReference on_lane;
  std::shared_ptr<ReferenceNews> news;
};

/// Messages of at least this size are handed over without another copy. Smaller ones are not worth a finalizer.
constexpr size_t kHandOverBytes = 16384;

Napi::Buffer<uint8_t> to_buffer(Napi::Env env, std::vector<uint8_t> message) {
  if (message.size() < kHandOverBytes) return Napi::Buffer<uint8_t>::Copy(env, message.data(), message.size());
  auto owned = std::make_unique<std::vector<uint8_t>>(std::move(message));
  auto* raw = owned.release();
  return Napi::Buffer<uint8_t>::New(
      env, raw->data(), raw->size(), [](Napi::Env, uint8_t*, std::vector<uint8_t>* vector) { delete vector; }, raw);
}

void deliver(Napi::Env env, Napi::Function, Handlers* handlers, Event* raw) {
  std::unique_ptr<Event> event(raw);
  if (env == nullptr) return;  // the environment is going away
  Napi::HandleScope scope(env);
  switch (event->kind) {
    case Event::Kind::kMessage:
      handlers->on_message.Call({to_buffer(env, std::move(event->message))});
      return;
    case Event::Kind::kNotified:
      handlers->on_notified.Call({Napi::Number::New(env, event->notification), Napi::Number::New(env, event->error)});
      return;
    case Event::Kind::kForgotten: {
      const std::vector<uint32_t> forgotten = handlers->news->take_forgotten();
      if (!forgotten.empty()) handlers->on_forgotten.Call({tree_binding::numbers(env, forgotten)});
      return;
    }
    case Event::Kind::kWritten:
    case Event::Kind::kLogged:
    case Event::Kind::kIdle:
      if (handlers->on_lane.IsEmpty()) return;
      // kIdle: the lane's file; kWritten: the inode and the reply that is to be sent.
      handlers->on_lane.Call({Napi::String::New(env, event->kind == Event::Kind::kWritten  ? "written"
                                                     : event->kind == Event::Kind::kLogged ? "logged"
                                                                                           : "idle"),
                              Napi::Number::New(env, event->notification), to_buffer(env, std::move(event->message))});
      return;
    case Event::Kind::kEnd:
      handlers->on_end.Call({Napi::Number::New(env, event->error)});
      return;
  }
}

using EventQueue = Napi::TypedThreadSafeFunction<Handlers, Event, deliver>;

/// Session(fd, { threads, maxWriteBytes, nearServer, compare })
class NativeSession : public Napi::ObjectWrap<NativeSession> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Session",
                       {InstanceMethod<&NativeSession::Start>("start"), InstanceMethod<&NativeSession::Reply>("reply"),
                        InstanceMethod<&NativeSession::Notify>("notify"),
                        InstanceMethod<&NativeSession::OpenBacking>("openBacking"),
                        InstanceMethod<&NativeSession::CloseBacking>("closeBacking"),
                        InstanceMethod<&NativeSession::AddFile>("addFile"),
                        InstanceMethod<&NativeSession::RemoveFile>("removeFile"),
                        InstanceMethod<&NativeSession::SwitchOverlay>("switchOverlay"),
                        InstanceMethod<&NativeSession::Publish>("publish"),
                        InstanceMethod<&NativeSession::Withdraw>("withdraw"),
                        InstanceMethod<&NativeSession::GrantWrites>("grantWrites"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::revoke>>("revokeWrites"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::none_alone>>("noWritesAlone"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::set_alone>>("writesAlone"),
                        InstanceMethod<&NativeSession::OpenLane>("openLane"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::close>>("closeLane"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::set_durable>>("laneDurable"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::take>>("takeWrites"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::applied>>("writesApplied"),
                        InstanceMethod<&NativeSession::Lanes<&NativeWriteLanes::remove>>("removeLane"),
                        InstanceMethod<&NativeSession::ExpectView>("expectView"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::add_inodes>>("addInodes"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::change_inode>>("changeInode"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::withdraw_inodes>>("withdrawInodes"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::publish_listings>>("publishListings"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::withdraw_listing>>("withdrawListing"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::withdraw_all>>("withdrawAll"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::add_reference>>("addReference"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::drop_references>>("dropReferences"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::references>>("references"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::take_remembered>>("takeRemembered"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::set_tree_defaults>>("setTreeDefaults"),
                        InstanceMethod<&NativeSession::Tree<tree_binding::set_statfs>>("setStatfs"),
                        InstanceMethod<&NativeSession::OpenFilesByRoom>("openFilesByRoom"),
                        InstanceMethod<&NativeSession::TakeDifferences>("takeDifferences"),
                        InstanceMethod<&NativeSession::ReadCounters>("counters"),
                        InstanceMethod<&NativeSession::ReadReadTally>("readTally"),
                        InstanceMethod<&NativeSession::Close>("close")});
  }

  explicit NativeSession(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeSession>(info) {
    auto options = info[1].As<Napi::Object>();
    SessionOptions settings;
    settings.threads = options.Get("threads").As<Napi::Number>().Uint32Value();
    settings.max_write_bytes = bytes(options.Get("maxWriteBytes"));
    settings.near_server = flag(options, "nearServer");
    settings.compare = flag(options, "compare");
    session_ = std::make_unique<Session>(Descriptor(info[0].As<Napi::Number>().Int32Value()), settings);
    lanes_ = std::make_unique<NativeWriteLanes>(
        *session_, NativeWriteLanes::Events{
                       .written =
                           [this](double nodeid, std::vector<uint8_t> reply) {
                             post(new Event{.kind = Event::Kind::kWritten, .message = std::move(reply), .notification = nodeid});
                           },
                       .logged = [this](double file) { post(new Event{.kind = Event::Kind::kLogged, .message = {}, .notification = file}); },
                       .idle = [this](double file) { post(new Event{.kind = Event::Kind::kIdle, .message = {}, .notification = file}); }});
    // Threads must not outlive the environment they post to.
    hook_ = info.Env().AddCleanupHook(&NativeSession::end, this);
    Ref();  // until `close`: session threads hold on to it
  }

 private:
  static void end(NativeSession* self) { self->session_->stop(); }

  void Start(const Napi::CallbackInfo& info) {
    auto handler = [&info](size_t at) {
      return info[at].IsFunction() ? Napi::Persistent(info[at].As<Napi::Function>()) : Napi::FunctionReference();
    };
    auto* handlers = new Handlers{handler(0), handler(1), handler(2), handler(3), handler(4), session().inodes().news()};
    if (!handlers->on_forgotten.IsEmpty()) handlers->news->on_forgotten([this] { post(new Event{.kind = Event::Kind::kForgotten, .message = {}}); });
    queue_ = EventQueue::New(info.Env(), "mlfs-session", 0, 1, handlers,
                             [](Napi::Env, void*, Handlers* owned) { delete owned; }, static_cast<void*>(nullptr));
    session().start(
        [this](std::vector<uint8_t> message) {
          post(new Event{.kind = Event::Kind::kMessage, .message = std::move(message)});
        },
        [this](int error) {
          post(new Event{.kind = Event::Kind::kEnd, .message = {}, .error = error});
          queue_.Release();
        });
  }

  template <Napi::Value (*Function)(const Napi::CallbackInfo&, InodeTable&, const tree_binding::Files&)>
  Napi::Value Tree(const Napi::CallbackInfo& info) {
    try {
      return Function(info, session().inodes(), files_);
    } catch (const std::bad_alloc&) {
      throw system_error(info.Env(), ENOMEM, "there is no memory for more inodes in the table");
    }
  }

  /// Throws after `close`.
  Session& session() {
    if (session_ == nullptr) throw Napi::Error::New(Env(), "the session is closed");
    return *session_;
  }

  void post(Event* event) {
    if (queue_.NonBlockingCall(event) != napi_ok) delete event;
  }

  /// reply(message): number — 0 or an errno
  Napi::Value Reply(const Napi::CallbackInfo& info) {
    auto message = info[0].As<Napi::Uint8Array>();
    return Napi::Number::New(info.Env(), session().reply(message.Data(), message.ByteLength()));
  }

  /// notify(number, message): the number comes back with an errno when the kernel has taken it
  void Notify(const Napi::CallbackInfo& info) {
    double number = info[0].As<Napi::Number>().DoubleValue();
    auto message = info[1].As<Napi::Uint8Array>();
    session().notifier().notify({message.Data(), message.Data() + message.ByteLength()}, [this, number](int error) {
      post(new Event{.kind = Event::Kind::kNotified, .message = {}, .notification = number, .error = error});
    });
  }

  /// openBacking(fd): number — an id, or a negative errno
  Napi::Value OpenBacking(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), session().open_backing(info[0].As<Napi::Number>().Int32Value()));
  }

  void CloseBacking(const Napi::CallbackInfo& info) {
    session().close_backing(info[0].As<Napi::Number>().Int32Value());
  }

  /// addFile(fd, size): number — the index that extents and pieces name it by
  Napi::Value AddFile(const Napi::CallbackInfo& info) {
    int own = fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0);
    if (own < 0) throw system_error(info.Env(), errno, std::string("dup: ") + strerror(errno));
    BackingFile* file = session().add_file(Descriptor(own), bytes(info[1]));
    auto free = std::find(files_.begin(), files_.end(), nullptr);
    if (free == files_.end()) free = files_.insert(free, nullptr);
    *free = file;
    return Napi::Number::New(info.Env(), static_cast<double>(free - files_.begin()));
  }

  /// removeFile(index): nothing that is published may name it any more
  void RemoveFile(const Napi::CallbackInfo& info) {
    BackingFile*& file = files_.at(static_cast<size_t>(bytes(info[0])));
    session().remove_file(file);
    file = nullptr;
  }

  BackingFile* file_at(Napi::Env env, double index) {
    BackingFile* file = index < static_cast<double>(files_.size()) ? files_[static_cast<size_t>(index)] : nullptr;
    if (file == nullptr) throw Napi::RangeError::New(env, "extent names no file");
    return file;
  }

  /// publish(nodeid, extents, inline, room): extents is a Float64Array of (file, offset, length); file -1 is a run of the inline bytes,
  /// -2 is computed by the control plane
  void Publish(const Napi::CallbackInfo& info) {
    auto triples = info[1].As<Napi::Float64Array>();
    auto stored = info[2].As<Napi::Uint8Array>();
    std::vector<Extent> extents;
    extents.reserve(triples.ElementLength() / 3);
    for (size_t i = 0; i + 2 < triples.ElementLength(); i += 3) {
      double index = triples[i];
      Extent extent = {Extent::Kind::kImage, nullptr, static_cast<uint64_t>(triples[i + 1]),
                       static_cast<uint64_t>(triples[i + 2])};
      uint64_t limit = stored.ByteLength();
      if (index == -2) {
        extent.kind = Extent::Kind::kComputed;
        limit = UINT64_MAX;
      } else if (index == -1) {
        extent.kind = Extent::Kind::kInline;
      } else {
        extent.file = file_at(info.Env(), index);
        limit = extent.file->size;
      }
      if (extent.offset > limit || extent.length > limit - extent.offset) {
        throw Napi::RangeError::New(info.Env(), "extent leaves its file");
      }
      extents.push_back(extent);
    }
    std::vector<uint8_t> inline_bytes(stored.Data(), stored.Data() + stored.ByteLength());
    auto layout = std::make_unique<const FileLayout>(std::move(extents), std::move(inline_bytes),
                                                     static_cast<uint8_t>(bytes(info[3])));
    if (!session().layouts().publish(bytes(info[0]), std::move(layout))) {
      throw Napi::RangeError::New(info.Env(), "nodeid is out of range");
    }
  }

  /// switchOverlay(file, chunks): chunks is a Float64Array of (index, count, count times (start, end, file, offset))
  void SwitchOverlay(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    BackingFile* image = file_at(env, info[0].As<Napi::Number>().DoubleValue());
    auto numbers = info[1].As<Napi::Float64Array>();
    std::vector<ChunkChange> changes;
    for (size_t at = 0; at + 1 < numbers.ElementLength();) {
      auto index = static_cast<uint64_t>(numbers[at]);
      auto count = static_cast<size_t>(numbers[at + 1]);
      at += 2;
      if (count > (numbers.ElementLength() - at) / 4) throw Napi::RangeError::New(env, "pieces are missing");
      auto chunk = std::make_unique<OverlayChunk>();
      uint64_t from = index * Overlay::kChunkBytes;
      const uint64_t end = from + Overlay::kChunkBytes;
      for (size_t i = 0; i < count; i++, at += 4) {
        Piece piece = {static_cast<uint64_t>(numbers[at]), static_cast<uint64_t>(numbers[at + 1]),
                       file_at(env, numbers[at + 2]), static_cast<uint64_t>(numbers[at + 3])};
        if (piece.start < from || piece.end <= piece.start || piece.end > end) {
          throw Napi::RangeError::New(env, "pieces are out of order or leave their chunk");
        }
        from = piece.end;
        chunk->pieces.push_back(piece);
      }
      changes.push_back({index, count == 0 ? nullptr : std::move(chunk)});
    }
    session().switch_overlay(*image, std::move(changes));
  }

  void Withdraw(const Napi::CallbackInfo& info) { session().layouts().publish(bytes(info[0]), nullptr); }

  /// grantWrites(handle, nodeid, offset, size, file, others, alone): WRITEs of this handle go to `size` bytes at `offset` of the image
  void GrantWrites(const Napi::CallbackInfo& info) {
    session();
    const double file = info[4].As<Napi::Number>().DoubleValue();
    lanes_->grant(info, file, *file_at(info.Env(), file));
  }

  /// openLane(file, segment, place, numbers): numbers are position, sequence, durable sequence, and room in bytes
  void OpenLane(const Napi::CallbackInfo& info) {
    session();
    lanes_->open(info, file_at(info.Env(), info[1].As<Napi::Number>().DoubleValue()));
  }

  template <Napi::Value (NativeWriteLanes::*Function)(const Napi::CallbackInfo&)>
  Napi::Value Lanes(const Napi::CallbackInfo& info) {
    session();
    return (lanes_.get()->*Function)(info);
  }

  /// expectView(first, end): KernelView — the OPENs of these nodeids wait for it; first called before `start`
  Napi::Value ExpectView(const Napi::CallbackInfo& info) { return NativeKernelView::Expect(info, session().view_opens()); }

  Napi::Value ReadCounters(const Napi::CallbackInfo& info) {
    Napi::Object result = counters_binding::counters(info.Env(), session());
    set_view_counters(result, session().view_opens()->counters());
    return result;
  }
  Napi::Value ReadReadTally(const Napi::CallbackInfo& info) { return counters_binding::read_tally(info.Env(), session()); }
  Napi::Value OpenFilesByRoom(const Napi::CallbackInfo& info) {
    return counters_binding::open_files_by_room(info.Env(), session());
  }
  Napi::Value TakeDifferences(const Napi::CallbackInfo& info) {
    return counters_binding::take_differences(info.Env(), session());
  }

  /// close(): ends the threads and gives back every descriptor; nothing else may be called any more
  void Close(const Napi::CallbackInfo& info) {
    session().stop();
    hook_.Remove(info.Env());
    lanes_.reset();
    session_.reset();
    Unref();
  }

  std::unique_ptr<Session> session_;
  Napi::Env::CleanupHook<void (*)(NativeSession*), NativeSession> hook_;
  std::vector<BackingFile*> files_;
  std::unique_ptr<NativeWriteLanes> lanes_;
  EventQueue queue_;
};

Napi::Object Initialize(Napi::Env env, Napi::Object exports) {
  exports.Set("mountDirectly", Napi::Function::New<MountDirectly>(env));
  exports.Set("mountWithFusermount", Napi::Function::New<MountWithFusermount>(env));
  exports.Set("fakeDevice", Napi::Function::New<MakeFakeDevice>(env));
  exports.Set("evictFromPageCache", Napi::Function::New<EvictFromPageCache>(env));
  exports.Set("readIfCached", Napi::Function::New<ReadIfCached>(env));
  exports.Set("crc32c", Napi::Function::New<Crc32c>(env));
  exports.Set("tryLock", Napi::Function::New<TryLock>(env));
  exports.Set("setTimes", Napi::Function::New<SetTimes>(env));
  define_numbers(env, exports);
  define_distance(env, exports);
  define_copy(env, exports);
  define_place(env, exports);
  define_mapping(env, exports);
  define_storage(env, exports);
  NativeKernelView::Define(env, exports);
  exports.Set("Session", NativeSession::Define(env));
  return exports;
}

}  // namespace

NODE_API_MODULE(mlfs_native, Initialize)
