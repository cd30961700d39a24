// A guarded mapping as an ArrayBuffer. Both the object and the buffer hold the mapping: it ends when it is closed, or when both are gone.

#include "mapping_binding.h"

#include <cstring>
#include <memory>
#include <string>

#include "guarded_mapping.h"

namespace mlfs {
namespace {

/// Mapping(fd, offset, length, intent, privateCopy): throws an Error with `errno`, or with `noExternalBuffers` where the engine has none.
class NativeMapping : public Napi::ObjectWrap<NativeMapping> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Mapping",
                       {InstanceMethod<&NativeMapping::Buffer>("buffer"), InstanceMethod<&NativeMapping::Torn>("torn"),
                        InstanceMethod<&NativeMapping::Close>("close")});
  }

  explicit NativeMapping(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NativeMapping>(info), mapping_(std::make_shared<GuardedMapping>()) {
    const auto access = info[4].ToBoolean() ? MappingAccess::kPrivateCopy : MappingAccess::kRead;
    const int error = mapping_->open(info[0].As<Napi::Number>().Int32Value(), bytes(info[1]), bytes(info[2]),
                                     static_cast<MappingIntent>(info[3].As<Napi::Number>().Int32Value()), access);
    if (error == 0) return;
    Napi::Error failure = Napi::Error::New(info.Env(), std::string("mmap: ") + strerror(error));
    failure.Set("errno", Napi::Number::New(info.Env(), error));
    throw failure;
  }

 private:
  static uint64_t bytes(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()); }

  /// buffer(): ArrayBuffer — the mapped bytes themselves; to be called once
  Napi::Value Buffer(const Napi::CallbackInfo& info) {
    const Napi::Env env = info.Env();
    auto owner = std::make_unique<std::shared_ptr<GuardedMapping>>(mapping_);
    napi_value buffer;
    const napi_status status =
        napi_create_external_arraybuffer(env, const_cast<uint8_t*>(mapping_->data()), mapping_->size(), release, owner.get(), &buffer);
    if (status == napi_ok) {
      owner.release();
      // Weak: the object must not keep alive what the program has dropped.
      buffer_ = Napi::Weak(Napi::ArrayBuffer(env, buffer));
      return Napi::Value(env, buffer);
    }
    Napi::Error failure = Napi::Error::New(env, "the engine made no buffer of mapped memory");
    failure.Set("noExternalBuffers", Napi::Boolean::New(env, status == napi_no_external_buffers_allowed));
    throw failure;
  }

  static void release(napi_env, void*, void* hint) { delete static_cast<std::shared_ptr<GuardedMapping>*>(hint); }

  /// torn(): boolean
  Napi::Value Torn(const Napi::CallbackInfo& info) { return Napi::Boolean::New(info.Env(), mapping_->torn()); }

  /// close(): detaches the buffer, so that nothing can reach the memory, and releases it
  void Close(const Napi::CallbackInfo& info) {
    Napi::HandleScope scope(info.Env());
    // A program can move the memory into another buffer (ArrayBuffer.prototype.transfer): then it stays until that one is collected.
    if (!buffer_.IsEmpty()) {
      Napi::ArrayBuffer buffer = buffer_.Value();
      if (!buffer.IsEmpty() && !buffer.IsDetached()) {
        buffer.Detach();
        mapping_->close();
      }
    }
    mapping_ = std::make_shared<GuardedMapping>();
    buffer_.Reset();
  }

  std::shared_ptr<GuardedMapping> mapping_;
  Napi::Reference<Napi::ArrayBuffer> buffer_;
};

}  // namespace

void define_mapping(Napi::Env env, Napi::Object exports) { exports.Set("Mapping", NativeMapping::Define(env)); }

}  // namespace mlfs
