// The place of a file as an object, so that a look at it, which goes along with every acknowledged write, converts no arguments.

#include "place_binding.h"

namespace mlfs {
namespace {

/// FilePlace(paths, numbers): of each path, a device and an inode
class NativeFilePlace : public Napi::ObjectWrap<NativeFilePlace> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "FilePlace", {InstanceMethod<&NativeFilePlace::IsInPlace>("isInPlace")});
  }

  explicit NativeFilePlace(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NativeFilePlace>(info) {
    auto paths = info[0].As<Napi::Array>();
    auto numbers = info[1].As<Napi::Float64Array>();
    if (numbers.ElementLength() != 2 * static_cast<size_t>(paths.Length())) {
      throw Napi::RangeError::New(info.Env(), "a device and an inode are needed for each path");
    }
    for (uint32_t at = 0; at < paths.Length(); at++) {
      names_.push_back({paths.Get(at).As<Napi::String>().Utf8Value(), numbers[2 * at], numbers[2 * at + 1]});
    }
  }

  const std::vector<PlacedName>& names() const { return names_; }

 private:
  Napi::Value IsInPlace(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), all_in_place(names_));
  }

  std::vector<PlacedName> names_;
};

}  // namespace

std::vector<PlacedName> names_of_place(const Napi::Value& place) {
  return NativeFilePlace::Unwrap(place.As<Napi::Object>())->names();
}

void define_place(Napi::Env env, Napi::Object exports) { exports.Set("FilePlace", NativeFilePlace::Define(env)); }

}  // namespace mlfs
