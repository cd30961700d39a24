// The kernel view of a tree as an object: what its files are, and attaching it in a thread of libuv's pool.

#include "view_binding.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "view_mount.h"

namespace mlfs {
namespace {

std::vector<uint64_t> numbers(const Napi::Value& value) {
  auto array = value.As<Napi::Float64Array>();
  std::vector<uint64_t> result(array.ElementLength());
  for (size_t i = 0; i < result.size(); i++) result[i] = static_cast<uint64_t>(array[i]);
  return result;
}

/// Mounts an image in a thread of libuv's pool. Arguments: the checkpoint's descriptor and size, the image, its copies as (offset in the
/// image, offset in the file, length), and the beginnings of its devices.
class ViewWorker : public Napi::AsyncWorker {
 public:
  explicit ViewWorker(const Napi::CallbackInfo& info)
      : Napi::AsyncWorker(info.Env(), "mlfs-view"),
        deferred_(Napi::Promise::Deferred::New(info.Env())),
        checkpoint_(fcntl(info[0].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0)) {
    if (!checkpoint_) failure_ = {errno, "duplicating the checkpoint's descriptor"};
    auto bytes = info[2].As<Napi::Uint8Array>();
    kept_ = Napi::Persistent(bytes);
    image_.bytes = bytes.Data();
    image_.length = bytes.ByteLength();
    image_.checkpoint_bytes = static_cast<uint64_t>(info[1].As<Napi::Number>().DoubleValue());
    std::vector<uint64_t> triples = numbers(info[3]);
    for (size_t at = 0; at + 2 < triples.size(); at += 3) {
      image_.copies.push_back({triples[at], triples[at + 1], triples[at + 2]});
    }
    image_.begins = numbers(info[4]);
  }

  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

 protected:
  /// In the thread: the view was mounted, or not.
  virtual void mounted(Descriptor root) = 0;
  virtual void failed() = 0;
  virtual Napi::Value result() = 0;

 private:
  void Execute() override {
    Descriptor root;
    if (!failure_) failure_ = mount_view(image_, checkpoint_.get(), root);
    checkpoint_.reset();
    if (failure_) {
      failed();
    } else {
      mounted(std::move(root));
    }
  }

  void OnOK() override {
    if (failure_) return reject(failure_);
    deferred_.Resolve(result());
  }

  /// Execute threw. Only a lack of memory does that, and the promise must be settled nevertheless: the end of a mount waits for it.
  void OnError(const Napi::Error&) override {
    failed();
    reject({ENOMEM, "attaching the view"});
  }

  void reject(const Failure& failure) {
    Napi::Error error = Napi::Error::New(Env(), failure.step + " failed: " + strerror(failure.error));
    error.Set("errno", Napi::Number::New(Env(), failure.error));
    deferred_.Reject(error.Value());
  }

  Napi::Promise::Deferred deferred_;
  Napi::Reference<Napi::Uint8Array> kept_;
  ViewImage image_;
  Descriptor checkpoint_;
  Failure failure_;
};

/// Hands the mount to the session threads at once, so that a blocked event loop keeps nobody waiting.
class Attachment : public ViewWorker {
 public:
  Attachment(const Napi::CallbackInfo& info, std::shared_ptr<ViewOpens> opens, std::shared_ptr<KernelView> view)
      : ViewWorker(info), opens_(std::move(opens)), view_(std::move(view)) {}

 private:
  void mounted(Descriptor root) override { opens_->attach(*view_, std::move(root)); }
  void failed() override { opens_->end(*view_); }
  Napi::Value result() override { return Env().Undefined(); }

  std::shared_ptr<ViewOpens> opens_;
  std::shared_ptr<KernelView> view_;
};

/// Hands the mount to JavaScript, as a descriptor of its root.
class TrialMount : public ViewWorker {
 public:
  using ViewWorker::ViewWorker;

 private:
  void mounted(Descriptor root) override { root_ = std::move(root); }
  void failed() override {}
  Napi::Value result() override { return Napi::Number::New(Env(), root_.release()); }

  Descriptor root_;
};

/// mountView(fd, bytes of the checkpoint, image, copies, begins): Promise<number>
Napi::Value MountView(const Napi::CallbackInfo& info) { return (new TrialMount(info))->start(); }

Napi::FunctionReference& constructor() {
  static thread_local Napi::FunctionReference reference;
  return reference;
}

/// What a new object is made of; JavaScript makes none itself.
struct Made {
  std::shared_ptr<ViewOpens> opens;
  std::shared_ptr<KernelView> view;
};

}  // namespace

void NativeKernelView::Define(Napi::Env env, Napi::Object exports) {
  exports.Set("mountView", Napi::Function::New<MountView>(env));
  Napi::Function made = DefineClass(env, "KernelView",
                                    {InstanceMethod<&NativeKernelView::Select>("select"),
                                     InstanceMethod<&NativeKernelView::Attach>("attach"),
                                     InstanceMethod<&NativeKernelView::StopWaiting>("stopWaiting"),
                                     InstanceMethod<&NativeKernelView::Suspend>("suspend"),
                                     InstanceMethod<&NativeKernelView::End>("end")});
  constructor() = Napi::Persistent(made);
  constructor().SuppressDestruct();
}

Napi::Value NativeKernelView::Expect(const Napi::CallbackInfo& info, std::shared_ptr<ViewOpens> opens) {
  auto number = [&info](size_t at) { return static_cast<uint64_t>(info[at].As<Napi::Number>().DoubleValue()); };
  Made made = {opens, opens->expect(number(0), number(1))};
  return constructor().New({Napi::External<Made>::New(info.Env(), &made)});
}

NativeKernelView::NativeKernelView(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeKernelView>(info) {
  const Made& made = *info[0].As<Napi::External<Made>>().Data();
  opens_ = made.opens;
  view_ = made.view;
}

/// select(nodeids): a Uint32Array
Napi::Value NativeKernelView::Select(const Napi::CallbackInfo& info) {
  auto nodeids = info[0].As<Napi::Uint32Array>();
  opens_->select(*view_, {nodeids.Data(), nodeids.Data() + nodeids.ElementLength()});
  return info.Env().Undefined();
}

/// attach(fd, bytes of the checkpoint, image, copies, begins): Promise<void>
Napi::Value NativeKernelView::Attach(const Napi::CallbackInfo& info) { return (new Attachment(info, opens_, view_))->start(); }

/// stopWaiting()
void NativeKernelView::StopWaiting(const Napi::CallbackInfo&) { opens_->stop_waiting(*view_); }

/// suspend(suspended)
void NativeKernelView::Suspend(const Napi::CallbackInfo& info) { opens_->suspend(*view_, info[0].ToBoolean().Value()); }

/// end()
void NativeKernelView::End(const Napi::CallbackInfo&) { opens_->end(*view_); }

void set_view_counters(Napi::Object result, const ViewOpens::Counters& counters) {
  auto set = [&](const char* name, uint64_t value) { result.Set(name, static_cast<double>(value)); };
  set("kernel_view_opens_total", counters.opens);
  set("kernel_view_plain_opens_total", counters.plain_opens);
  set("kernel_view_failures_total", counters.failures);
  set("kernel_view_open_files", counters.open_files);
}

}  // namespace mlfs
