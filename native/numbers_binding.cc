// N-API arguments and errors of the functions that compute with elements of tensors. The work is done in threads of libuv's pool.

#include "numbers_binding.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "descriptor.h"
#include "element_text.h"
#include "elements.h"
#include "statistics.h"

namespace mlfs {
namespace {

ElementType type_argument(const Napi::Value& value) {
  const auto type = element_type(value.As<Napi::String>().Utf8Value());
  if (!type) throw Napi::TypeError::New(value.Env(), "a dtype whose elements are not numbers");
  return *type;
}

uint64_t whole_number(const Napi::Value& value) { return static_cast<uint64_t>(value.As<Napi::Number>().DoubleValue()); }

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

  virtual Napi::Value result() { return Env().Undefined(); }

  void fail(int error, const std::string& message) {
    errno_ = error;
    SetError(message);
  }

 private:
  void OnOK() override { deferred_.Resolve(result()); }
  void OnError(const Napi::Error& error) override {
    if (errno_ != 0) error.Set("errno", Napi::Number::New(Env(), errno_));
    deferred_.Reject(error.Value());
  }

  Napi::Promise::Deferred deferred_;
  std::vector<Napi::ObjectReference> kept_;
  int errno_ = 0;
};

/// Adds a block from memory.
class AddBytes : public Work {
 public:
  AddBytes(const Napi::Object& owner, Statistics& statistics, size_t block, const Napi::Uint8Array& bytes)
      : Work(owner.Env()), statistics_(statistics), block_(block), bytes_(bytes.Data()), length_(bytes.ByteLength()) {
    keep(owner);
    keep(bytes);
  }

  void Execute() override {
    const size_t size = statistics_.type().size();
    Statistics::Block block(statistics_, block_, length_ / size);
    if (reinterpret_cast<uintptr_t>(bytes_) % 8 == 0) return block.add(bytes_, length_ / size);
    const std::vector<uint8_t> aligned(bytes_, bytes_ + length_);
    block.add(aligned.data(), length_ / size);
  }

 private:
  Statistics& statistics_;
  const size_t block_;
  const uint8_t* const bytes_;
  const size_t length_;
};

/// Adds a block from a file, which it reads piece by piece into a buffer of the thread.
class AddFromFile : public Work {
 public:
  AddFromFile(const Napi::Object& owner, Statistics& statistics, size_t block, Descriptor file, uint64_t offset,
              size_t length)
      : Work(owner.Env()), statistics_(statistics), block_(block), file_(std::move(file)), offset_(offset), length_(length) {
    keep(owner);
  }

  void Execute() override {
    thread_local std::vector<uint8_t> buffer(kPieceBytes);
    const size_t size = statistics_.type().size();
    Statistics::Block block(statistics_, block_, length_ / size);
    for (uint64_t done = 0; done < length_; done += kPieceBytes) {
      const size_t piece = std::min<uint64_t>(kPieceBytes, length_ - done);
      if (!read(buffer.data(), piece, offset_ + done)) return;
      block.add(buffer.data(), piece / size);
    }
  }

 private:
  /// Whole elements of every type; fits the second-level cache beside the tables.
  static constexpr size_t kPieceBytes = 128 * 1024;

  bool read(uint8_t* to, size_t length, uint64_t offset) {
    for (size_t got = 0; got < length;) {
      const ssize_t more = pread(file_.get(), to + got, length - got, static_cast<off_t>(offset + got));
      if (more < 0 && errno == EINTR) continue;
      if (more <= 0) {
        fail(more < 0 ? errno : EIO, more < 0 ? std::string("pread: ") + strerror(errno) : "the file has become shorter");
        return false;
      }
      got += static_cast<size_t>(more);
    }
    return true;
  }

  Statistics& statistics_;
  const size_t block_;
  const Descriptor file_;
  const uint64_t offset_;
  const size_t length_;
};

/// Statistics(dtype, plain?)
class NativeStatistics : public Napi::ObjectWrap<NativeStatistics> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Statistics",
                       {InstanceMethod<&NativeStatistics::Add>("add"),
                        InstanceMethod<&NativeStatistics::AddFromFile>("addFromFile"),
                        InstanceMethod<&NativeStatistics::Result>("result")});
  }

  explicit NativeStatistics(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NativeStatistics>(info), statistics_(type_argument(info[0]), info[1].IsUndefined() || !info[1].ToBoolean() ? Kernels::kBest : Kernels::kPlain) {}

 private:
  /// add(block, bytes): Promise
  Napi::Value Add(const Napi::CallbackInfo& info) {
    const auto block = static_cast<size_t>(whole_number(info[0]));
    return (new AddBytes(Value(), statistics_, block, info[1].As<Napi::Uint8Array>()))->start();
  }

  /// addFromFile(block, fd, offset, length): Promise
  Napi::Value AddFromFile(const Napi::CallbackInfo& info) {
    const auto block = static_cast<size_t>(whole_number(info[0]));
    const int own = fcntl(info[1].As<Napi::Number>().Int32Value(), F_DUPFD_CLOEXEC, 0);
    if (own < 0) {
      Napi::Error error = Napi::Error::New(info.Env(), std::string("dup: ") + strerror(errno));
      error.Set("errno", Napi::Number::New(info.Env(), errno));
      throw error;
    }
    const auto length = static_cast<size_t>(whole_number(info[3]));
    return (new mlfs::AddFromFile(Value(), statistics_, block, Descriptor(own), whole_number(info[2]), length))->start();
  }

  /// result(): { count, zeros, nans, infs, min, max, mean, std, sum, sumOfSquares, norm, histogram: Float64Array of (from, to, count) };
  /// min and max of 64-bit integers are bigints.
  Napi::Value Result(const Napi::CallbackInfo& info) {
    const Summary summary = statistics_.summary();
    Napi::Object result = Napi::Object::New(info.Env());
    result.Set("count", static_cast<double>(summary.count));
    result.Set("zeros", static_cast<double>(summary.zeros));
    result.Set("nans", static_cast<double>(summary.nans));
    result.Set("infs", static_cast<double>(summary.infs));
    switch (statistics_.type().format) {
      case Format::kInt64:
        result.Set("min", Napi::BigInt::New(info.Env(), static_cast<int64_t>(summary.least)));
        result.Set("max", Napi::BigInt::New(info.Env(), static_cast<int64_t>(summary.greatest)));
        break;
      case Format::kUint64:
        result.Set("min", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(summary.least)));
        result.Set("max", Napi::BigInt::New(info.Env(), static_cast<uint64_t>(summary.greatest)));
        break;
      default:
        result.Set("min", summary.min);
        result.Set("max", summary.max);
    }
    result.Set("mean", static_cast<double>(summary.whole_mean()));
    result.Set("std", summary.deviation());
    result.Set("sum", summary.sum());
    result.Set("sumOfSquares", summary.sum_of_squares());
    result.Set("norm", summary.norm());
    const std::vector<Bucket> buckets = statistics_.histogram();
    auto triples = Napi::Float64Array::New(info.Env(), buckets.size() * 3);
    for (size_t i = 0; i < buckets.size(); i++) {
      triples[i * 3] = buckets[i].from;
      triples[i * 3 + 1] = buckets[i].to;
      triples[i * 3 + 2] = static_cast<double>(buckets[i].count);
    }
    result.Set("histogram", triples);
    return result;
  }

  Statistics statistics_;
};

TextLayout layout_argument(const Napi::Value& columns, const Napi::Value& separator) {
  const std::string text = separator.As<Napi::String>().Utf8Value();
  return {.columns = whole_number(columns), .separator = text.empty() ? ' ' : text[0]};
}

class Render : public Work {
 public:
  Render(ElementType type, const Napi::Uint8Array& bytes, const TextLayout& layout)
      : Work(bytes.Env()), type_(type), bytes_(bytes.Data()), count_(bytes.ByteLength() / type.size()), layout_(layout) {
    keep(bytes);
  }

  void Execute() override { text_ = render_elements(type_, bytes_, count_, layout_); }

  Napi::Value result() override {
    auto owned = std::make_unique<std::vector<char>>(std::move(text_));
    auto* raw = owned.release();
    return Napi::Buffer<char>::New(
        Env(), raw->data(), raw->size(), [](Napi::Env, char*, std::vector<char>* vector) { delete vector; }, raw);
  }

 private:
  const ElementType type_;
  const uint8_t* const bytes_;
  const size_t count_;
  const TextLayout layout_;
  std::vector<char> text_;
};

class Parse : public Work {
 public:
  Parse(ElementType type, const Napi::Uint8Array& text, Napi::Uint8Array elements, const TextLayout& layout)
      : Work(text.Env()), type_(type), text_(reinterpret_cast<const char*>(text.Data())), length_(text.ByteLength()),
        elements_(elements.Data()), count_(elements.ByteLength() / type.size()), layout_(layout) {
    keep(text);
    keep(elements);
  }

  void Execute() override { fault_ = parse_elements(type_, text_, length_, elements_, count_, layout_); }

  Napi::Value result() override {
    if (!fault_) return Env().Undefined();
    Napi::Object fault = Napi::Object::New(Env());
    fault.Set("line", static_cast<double>(fault_->line));
    fault.Set("column", static_cast<double>(fault_->column));
    fault.Set("reason", fault_->reason);
    return fault;
  }

 private:
  const ElementType type_;
  const char* const text_;
  const size_t length_;
  uint8_t* const elements_;
  const size_t count_;
  const TextLayout layout_;
  std::optional<TextFault> fault_;
};

/// renderElements(dtype, bytes, columns, separator, outer, rows): Promise<Buffer>
Napi::Value RenderElements(const Napi::CallbackInfo& info) {
  TextLayout layout = layout_argument(info[2], info[3]);
  const auto outer = info[4].As<Napi::Array>();
  for (uint32_t dim = 0; dim < outer.Length(); dim++) layout.outer.push_back(whole_number(outer.Get(dim)));
  layout.rows = whole_number(info[5]);
  return (new Render(type_argument(info[0]), info[1].As<Napi::Uint8Array>(), layout))->start();
}

/// parseElements(dtype, text, elements, columns, separator): Promise<{ line, column, reason } | undefined>
Napi::Value ParseElements(const Napi::CallbackInfo& info) {
  const TextLayout layout = layout_argument(info[3], info[4]);
  return (new Parse(type_argument(info[0]), info[1].As<Napi::Uint8Array>(), info[2].As<Napi::Uint8Array>(), layout))->start();
}

/// isNumber(dtype): boolean
Napi::Value IsNumber(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), element_type(info[0].As<Napi::String>().Utf8Value()).has_value());
}

}  // namespace

void define_numbers(Napi::Env env, Napi::Object exports) {
  exports.Set("isNumber", Napi::Function::New<IsNumber>(env));
  exports.Set("renderElements", Napi::Function::New<RenderElements>(env));
  exports.Set("parseElements", Napi::Function::New<ParseElements>(env));
  exports.Set("Statistics", NativeStatistics::Define(env));
}

}  // namespace mlfs
