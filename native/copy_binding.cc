// N-API arguments and errors of copies by descriptor. The work is done in the threads of libuv's pool.

#include "copy_binding.h"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "descriptor.h"
#include "file_copy.h"

namespace mlfs {
namespace {

/// Holds duplicates of both descriptors, so that the caller may close its own at any time.
class Copy : public Napi::AsyncWorker {
 public:
  Copy(const Napi::CallbackInfo& info, bool clone)
      : Napi::AsyncWorker(info.Env(), "mlfs-copy"),
        deferred_(Napi::Promise::Deferred::New(info.Env())),
        clone_(clone),
        from_(duplicate(info[0])),
        to_(duplicate(info[1])),
        offset_(clone ? 0 : whole_number(info[2])),
        length_(clone ? 0 : whole_number(info[3])) {}

  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

  void Execute() override {
    copied_ = clone_ ? -clone_file(from_.get(), to_.get()) : copy_file_bytes(from_.get(), to_.get(), offset_, length_);
    // In this thread: close(2) writes back what was written to a file on NFS or FUSE, and waits for it.
    from_.reset();
    to_.reset();
    if (copied_ < 0) SetError(std::string(clone_ ? "FICLONE: " : "copy_file_range: ") + strerror(static_cast<int>(-copied_)));
  }

 private:
  static Descriptor duplicate(const Napi::Value& value) {
    return Descriptor(fcntl(value.As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0));
  }

  static uint64_t whole_number(const Napi::Value& value) {
    return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue());
  }

  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), static_cast<double>(copied_))); }

  void OnError(const Napi::Error& error) override {
    error.Set("errno", Napi::Number::New(Env(), static_cast<double>(-copied_)));
    deferred_.Reject(error.Value());
  }

  Napi::Promise::Deferred deferred_;
  const bool clone_;
  Descriptor from_;
  Descriptor to_;
  const uint64_t offset_;
  const uint64_t length_;
  int64_t copied_ = 0;
};

/// cloneFile(from, to): Promise<0>
Napi::Value CloneFile(const Napi::CallbackInfo& info) { return (new Copy(info, true))->start(); }

/// copyFileBytes(from, to, offset, length): Promise<number>
Napi::Value CopyFileBytes(const Napi::CallbackInfo& info) { return (new Copy(info, false))->start(); }

}  // namespace

void define_copy(Napi::Env env, Napi::Object exports) {
  exports.Set("cloneFile", Napi::Function::New<CloneFile>(env));
  exports.Set("copyFileBytes", Napi::Function::New<CopyFileBytes>(env));
}

}  // namespace mlfs
