#pragma once

#include <napi.h>

#include <string>
#include <utility>
#include <vector>

#include "block_source.h"
#include "descriptor.h"
#include "elements.h"
#include "kernels.h"

namespace mlfs {

/// Work that settles a promise. The buffers that it reads and writes are kept alive until then.
class Work : public Napi::AsyncWorker {
 public:
  explicit Work(Napi::Env env) : Napi::AsyncWorker(env, "mlfs-numbers"), deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise start() {
    Napi::Promise promise = deferred_.Promise();
    Queue();
    return promise;
  }

 protected:
  void keep(const Napi::Value& value) { kept_.push_back(Napi::Persistent(value.As<Napi::Object>())); }

  /// A block that JavaScript gives as bytes, or as { fd, offset, length } of a file. Throws an Error with `errno`.
  BlockSource source(const Napi::Value& value);

  /// Says why a source has no more bytes: a rejection without `errno` if its file is too short.
  void fail(const BlockSource& source);

  /// Adds properties to the error of a rejection.
  virtual void describe(Napi::Object) {}

  virtual Napi::Value result() { return Env().Undefined(); }

  void fail(int error, const std::string& message) {
    errno_ = error;
    SetError(message);
  }

 private:
  void OnOK() override { deferred_.Resolve(result()); }
  void OnError(const Napi::Error& error) override {
    if (errno_ != 0) error.Set("errno", Napi::Number::New(Env(), errno_));
    describe(error.Value());
    deferred_.Reject(error.Value());
  }

  Napi::Promise::Deferred deferred_;
  std::vector<Napi::ObjectReference> kept_;
  /// What JavaScript calls the descriptor, and our own duplicate, which stays open whatever JavaScript does.
  std::vector<std::pair<int, Descriptor>> files_;
  int errno_ = 0;
};

/// Throws a TypeError for a dtype whose elements are not numbers.
ElementType type_argument(const Napi::Value& value);
inline uint64_t whole_number(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()); }
/// In bytes, of what `Work::source` takes.
size_t source_length(const Napi::Value& value);
inline Kernels kernels_argument(const Napi::Value& plain) { return !plain.IsUndefined() && plain.ToBoolean() ? Kernels::kPlain : Kernels::kBest; }

}  // namespace mlfs
