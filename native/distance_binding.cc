// N-API arguments and results of what compares tensors and looks for NaN and infinities. The work is done in threads of libuv's pool.

#include "distance_binding.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <mutex>
#include <vector>

#include "distance.h"
#include "non_finite.h"
#include "work_binding.h"

namespace mlfs {
namespace {

/// The distance of a tensor whose blocks are added by any threads in any order.
struct Blocks {
  explicit Blocks(ElementType element_type, Kernels best) : type(element_type), kernels(best) {}

  const ElementType type;
  const Kernels kernels;
  std::mutex mutex;
  std::vector<Distance> distances;

  Distance joined() {
    std::lock_guard lock(mutex);
    Distance all;
    for (const Distance& distance : distances) all.join(distance);
    return all;
  }
};

class AddPair : public Work {
 public:
  AddPair(const Napi::Object& owner, Blocks& blocks, size_t block, const Napi::Value& a, const Napi::Value& b)
      : Work(owner.Env()), blocks_(blocks), block_(block), a_(source(a)), b_(source(b)), length_(source_length(a)) {
    keep(owner);
  }

  void Execute() override {
    thread_local std::vector<uint8_t> buffer;
    thread_local std::vector<uint8_t> other_buffer;
    Distance distance;
    for (size_t done = 0; done < length_; done += BlockSource::kPieceBytes) {
      const size_t piece = std::min(BlockSource::kPieceBytes, length_ - done);
      const uint8_t* a = a_.piece(done, piece, buffer);
      if (a == nullptr) return fail_first();
      const uint8_t* b = b_.piece(done, piece, other_buffer);
      if (b == nullptr) return fail_second();
      add_distance(blocks_.type, a, b, piece / blocks_.type.size(), blocks_.kernels, distance);
    }
    if (!a_.finish()) return fail_first();
    if (!b_.finish()) return fail_second();
    std::lock_guard lock(blocks_.mutex);
    if (blocks_.distances.size() <= block_) blocks_.distances.resize(block_ + 1);
    blocks_.distances[block_] = distance;
  }

 private:
  void fail_first() { fail(a_); }
  void fail_second() {
    second_ = true;
    fail(b_);
  }
  void describe(Napi::Object error) override { error.Set("second", second_); }

  Blocks& blocks_;
  const size_t block_;
  BlockSource a_;
  BlockSource b_;
  const size_t length_;
  bool second_ = false;
};

/// Distance(dtype, plain?)
class NativeDistance : public Napi::ObjectWrap<NativeDistance> {
 public:
  static Napi::Function Define(Napi::Env env) {
    return DefineClass(
        env, "Distance",
        {InstanceMethod<&NativeDistance::Add>("add"), InstanceMethod<&NativeDistance::Result>("result")});
  }

  explicit NativeDistance(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<NativeDistance>(info), blocks_(type_argument(info[0]), kernels_argument(info[1])) {}

 private:
  /// add(block, a, b): Promise. The sources have the same length.
  Napi::Value Add(const Napi::CallbackInfo& info) {
    if (source_length(info[1]) != source_length(info[2])) throw Napi::RangeError::New(info.Env(), "blocks of different lengths");
    const auto block = static_cast<size_t>(whole_number(info[0]));
    return (new AddPair(Value(), blocks_, block, info[1], info[2]))->start();
  }

  /// result(elementsTotal)
  Napi::Value Result(const Napi::CallbackInfo& info) {
    const Distance all = blocks_.joined();
    Napi::Object result = Napi::Object::New(info.Env());
    const auto set = [&result](const char* name, uint64_t count) { result.Set(name, static_cast<double>(count)); };
    set("elements", all.elements);
    set("bytes", all.bytes);
    set("becameNonFinite", all.became_non_finite);
    set("becameFinite", all.became_finite);
    set("stayedNonFinite", all.stayed_non_finite);
    set("beyondDouble", all.beyond_double);
    set("measured", all.measured);
    const bool integers = blocks_.type.format == Format::kInt64 || blocks_.type.format == Format::kUint64;
    if (integers) result.Set("max", Napi::BigInt::New(info.Env(), all.max_integer));
    else result.Set("max", all.max);
    // Rounding can push a mean of the largest doubles beyond the largest.
    const auto mean = static_cast<double>(all.sum / static_cast<long double>(whole_number(info[0])));
    result.Set("mean", std::min(mean, std::numeric_limits<double>::max()));
    const auto relative = static_cast<double>(std::sqrt(all.squares) / std::sqrt(all.own_squares));
    if (all.own_squares > 0 && std::isfinite(relative)) result.Set("relative", relative);
    else result.Set("relative", info.Env().Null());
    return result;
  }

  Blocks blocks_;
};

/// Counts NaN and infinities of several tensors, or blocks of tensors.
class FindNonFinite : public Work {
 public:
  FindNonFinite(const Napi::Array& dtypes, const Napi::Array& sources) : Work(dtypes.Env()) {
    for (uint32_t i = 0; i < sources.Length(); i++) {
      const Napi::Value bytes = sources.Get(i);
      parts_.push_back({type_argument(dtypes.Get(i)), source(bytes), source_length(bytes), {}});
    }
  }

  void Execute() override {
    thread_local std::vector<uint8_t> buffer;
    for (size_t index = 0; index < parts_.size(); index++) {
      auto& [type, source, length, found] = parts_[index];
      for (size_t done = 0; done < length; done += BlockSource::kPieceBytes) {
        const size_t piece = std::min(BlockSource::kPieceBytes, length - done);
        const uint8_t* bytes = source.piece(done, piece, buffer);
        if (bytes == nullptr) {
          failed_ = index;
          return fail(source);
        }
        count_non_finite(type, bytes, piece / type.size(), found);
      }
      if (!source.finish()) {
        failed_ = index;
        return fail(source);
      }
    }
  }

  Napi::Value result() override {
    auto counts = Napi::Float64Array::New(Env(), parts_.size() * 2);
    for (size_t i = 0; i < parts_.size(); i++) {
      counts[i * 2] = static_cast<double>(parts_[i].found.nans);
      counts[i * 2 + 1] = static_cast<double>(parts_[i].found.infs);
    }
    return counts;
  }

 private:
  struct Part {
    ElementType type;
    BlockSource source;
    size_t length;
    NonFinite found;
  };

  void describe(Napi::Object error) override { error.Set("index", static_cast<double>(failed_)); }

  std::vector<Part> parts_;
  size_t failed_ = 0;
};

/// findNonFinite(dtypes, sources): Promise<Float64Array of (NaN, infinities)>
Napi::Value FindNonFiniteElements(const Napi::CallbackInfo& info) {
  return (new FindNonFinite(info[0].As<Napi::Array>(), info[1].As<Napi::Array>()))->start();
}

}  // namespace

void define_distance(Napi::Env env, Napi::Object exports) {
  exports.Set("Distance", NativeDistance::Define(env));
  exports.Set("findNonFinite", Napi::Function::New<FindNonFiniteElements>(env));
}

}  // namespace mlfs
