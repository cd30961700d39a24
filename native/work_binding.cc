#include "work_binding.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace mlfs {

BlockSource Work::source(const Napi::Value& value) {
  if (value.IsTypedArray()) {
    keep(value);
    return BlockSource(value.As<Napi::Uint8Array>().Data());
  }
  const auto run = value.As<Napi::Object>();
  const int fd = run.Get("fd").As<Napi::Number>().Int32Value();
  auto own = std::find_if(files_.begin(), files_.end(), [fd](const auto& file) { return file.first == fd; });
  if (own == files_.end()) {
    Descriptor duplicate(fcntl(fd, F_DUPFD_CLOEXEC, 0));
    if (!duplicate) {
      Napi::Error error = Napi::Error::New(Env(), std::string("dup: ") + strerror(errno));
      error.Set("errno", Napi::Number::New(Env(), errno));
      throw error;
    }
    own = files_.emplace(files_.end(), fd, std::move(duplicate));
  }
  return BlockSource(own->second.get(), whole_number(run.Get("offset")), source_length(value));
}

void Work::fail(const BlockSource& source) {
  if (source.error() == 0) SetError("the file has become shorter");
  else fail(source.error(), std::string("reading: ") + strerror(source.error()));
}

ElementType type_argument(const Napi::Value& value) {
  const auto type = element_type(value.As<Napi::String>().Utf8Value());
  if (!type) throw Napi::TypeError::New(value.Env(), "a dtype whose elements are not numbers");
  return *type;
}

size_t source_length(const Napi::Value& value) {
  if (value.IsTypedArray()) return value.As<Napi::Uint8Array>().ByteLength();
  return static_cast<size_t>(whole_number(value.As<Napi::Object>().Get("length")));
}

}  // namespace mlfs
