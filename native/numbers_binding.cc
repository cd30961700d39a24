// N-API arguments and errors of the functions that compute with elements of tensors. The work is done in threads of libuv's pool.

#include "numbers_binding.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "element_text.h"
#include "elements.h"
#include "statistics.h"
#include "work_binding.h"

namespace mlfs {
namespace {

/// Adds a block, which it reads piece by piece.
class AddBlock : public Work {
 public:
  AddBlock(const Napi::Object& owner, Statistics& statistics, size_t block, const Napi::Value& bytes)
      : Work(owner.Env()), statistics_(statistics), block_(block), source_(source(bytes)), length_(source_length(bytes)) {
    keep(owner);
  }

  void Execute() override {
    thread_local std::vector<uint8_t> buffer;
    const size_t size = statistics_.type().size();
    Statistics::Block block(statistics_, block_, length_ / size);
    for (size_t done = 0; done < length_; done += BlockSource::kPieceBytes) {
      const size_t piece = std::min(BlockSource::kPieceBytes, length_ - done);
      const uint8_t* bytes = source_.piece(done, piece, buffer);
      if (bytes == nullptr) return fail(source_);
      block.add(bytes, piece / size);
    }
    if (!source_.finish()) fail(source_);
  }

 private:
  Statistics& statistics_;
  const size_t block_;
  BlockSource source_;
  const size_t length_;
};

/// Statistics(dtype, plain?)
class NativeStatistics : public Napi::ObjectWrap<NativeStatistics> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(env, "Statistics",
                       {InstanceMethod<&NativeStatistics::Add>("add"),
                        InstanceMethod<&NativeStatistics::Result>("result")});
  }

  explicit NativeStatistics(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NativeStatistics>(info), statistics_(type_argument(info[0]), kernels_argument(info[1])) {}

 private:
  /// add(block, source): Promise
  Napi::Value Add(const Napi::CallbackInfo& info) {
    const auto block = static_cast<size_t>(whole_number(info[0]));
    return (new AddBlock(Value(), statistics_, block, info[1]))->start();
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
