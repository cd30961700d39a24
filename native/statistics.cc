#include "statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

namespace mlfs {
namespace {

/// Elements processed at a time: as floats or doubles they fit the first-level cache.
constexpr size_t kRun = 2048;

/// Sums of squares below this may have lost squares that no double can hold.
constexpr double kVanishing = 0x1p-900;
/// A spread that is so small a part of the squares it was computed from has lost half of its digits.
constexpr double kCancelling = 0x1p-26;

/// Integers up to here are exact as doubles.
constexpr Int128 kExactInteger = Int128{1} << 53;

template <typename T>
struct Bits;

template <>
struct Bits<float> {
  using Word = uint32_t;
  static constexpr Word kMagnitude = 0x7fffffff;
  static constexpr Word kInfinity = 0x7f800000;
  static constexpr Word kSmallestNormal = 0x00800000;
  /// Leaves sign, exponent and two bits of the mantissa.
  static constexpr int kShift = 21;
  static constexpr size_t kCounters = 2048;
};

template <>
struct Bits<double> {
  using Word = uint64_t;
  static constexpr Word kMagnitude = 0x7fffffffffffffff;
  static constexpr Word kInfinity = 0x7ff0000000000000;
  static constexpr Word kSmallestNormal = 0x0010000000000000;
  static constexpr int kShift = 50;
  static constexpr size_t kCounters = 16384;
};

template <typename T>
constexpr size_t kLanes = 32 / sizeof(T);

/// The sums of one pass over a run, in lanes of a vector register.
template <typename T>
struct Lanes {
  using Word = typename Bits<T>::Word;
  double sum[kLanes<T>] = {};
  double squares[kLanes<T>] = {};
  T min[kLanes<T>];
  T max[kLanes<T>];
  Word zeros[kLanes<T>] = {};
  /// Zeros and subnormal numbers.
  Word below_normal[kLanes<T>] = {};
  Word nans[kLanes<T>] = {};
  Word infs[kLanes<T>] = {};
};

/// Elements that are not finite count as the pivot, which is one of the finite ones: they change neither the extremes nor the sums of
/// distances from it. `count` is a multiple of the lanes.
template <typename T>
[[gnu::always_inline]] inline void pass(const T* values, size_t count, T pivot, Lanes<T>& lanes) {
  using B = Bits<T>;
  using Word = typename B::Word;
  for (size_t i = 0; i < count; i += kLanes<T>) {
    for (size_t lane = 0; lane < kLanes<T>; lane++) {
      const T value = values[i + lane];
      const Word magnitude = std::bit_cast<Word>(value) & B::kMagnitude;
      const T finite = magnitude < B::kInfinity ? value : pivot;
      const double distance = static_cast<double>(finite) - static_cast<double>(pivot);
      lanes.sum[lane] += distance;
      lanes.squares[lane] += distance * distance;
      lanes.min[lane] = finite < lanes.min[lane] ? finite : lanes.min[lane];
      lanes.max[lane] = finite > lanes.max[lane] ? finite : lanes.max[lane];
      lanes.zeros[lane] += magnitude == 0 ? 1 : 0;
      lanes.below_normal[lane] += magnitude < B::kSmallestNormal ? 1 : 0;
      lanes.nans[lane] += magnitude > B::kInfinity ? 1 : 0;
      lanes.infs[lane] += magnitude == B::kInfinity ? 1 : 0;
    }
  }
}

#if defined(__x86_64__)
[[gnu::target("avx2,fma"), gnu::optimize("O3")]] void pass_avx2(const float* values, size_t count, float pivot,
                                                                Lanes<float>& lanes) {
  pass<float>(values, count, pivot, lanes);
}
[[gnu::target("avx2,fma"), gnu::optimize("O3")]] void pass_avx2(const double* values, size_t count, double pivot,
                                                                Lanes<double>& lanes) {
  pass<double>(values, count, pivot, lanes);
}
const bool kHasAvx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#endif

template <typename T>
[[gnu::optimize("O3")]] void pass_plain(const T* values, size_t count, T pivot, Lanes<T>& lanes) {
  pass<T>(values, count, pivot, lanes);
}

template <typename T>
void best_pass(const T* values, size_t count, T pivot, Lanes<T>& lanes) {
#if defined(__x86_64__)
  if (kHasAvx2) return pass_avx2(values, count, pivot, lanes);
#endif
  pass_plain(values, count, pivot, lanes);
}

template <typename T>
T load(const uint8_t* at) {
  T value;
  memcpy(&value, at, sizeof value);
  return value;
}

size_t bucket_of(double value) { return static_cast<size_t>(std::bit_cast<uint64_t>(value) >> Bits<double>::kShift); }

}  // namespace

void Summary::join(const Summary& other) {
  const auto here = static_cast<long double>(finite());
  const auto there = static_cast<long double>(other.finite());
  if (there > 0) {
    if (here == 0) {
      min = other.min;
      max = other.max;
      least = other.least;
      greatest = other.greatest;
      origin = other.origin;
      mean = other.mean;
      squares = other.squares;
    } else {
      min = std::min(min, other.min);
      max = std::max(max, other.max);
      least = std::min(least, other.least);
      greatest = std::max(greatest, other.greatest);
      const long double distance = static_cast<long double>(other.origin - origin) + (other.mean - mean);
      const long double all = here + there;
      squares += other.squares + distance * distance * (here / all) * there;
      mean += distance * (there / all);
    }
  }
  count += other.count;
  zeros += other.zeros;
  nans += other.nans;
  infs += other.infs;
}

double Summary::deviation() const { return static_cast<double>(std::sqrt(squares / static_cast<long double>(finite()))); }

double Summary::sum() const { return static_cast<double>(whole_mean() * static_cast<long double>(finite())); }

long double Summary::wide_sum_of_squares() const {
  return squares + whole_mean() * whole_mean() * static_cast<long double>(finite());
}

double Summary::sum_of_squares() const { return static_cast<double>(wide_sum_of_squares()); }

double Summary::norm() const { return static_cast<double>(std::sqrt(wide_sum_of_squares())); }

/// The counters that threads use in turn: the histogram of all blocks counted in it, and the summary of the present block.
class Statistics::Tally {
 public:
  explicit Tally(ElementType type) : type_(type) {}

  void add(const uint8_t* bytes, size_t count) {
    for (size_t done = 0; done < count; done += kRun) {
      const size_t length = std::min(kRun, count - done);
      add_run(bytes + done * type_.size(), length);
    }
  }

  const Histogram& histogram() const { return doubles_; }

  /// Ends the block.
  Summary take_summary() {
    if (has_floats_) take_floats();
    return std::exchange(summary_, Summary{});
  }

 private:
  void take_floats() {
    for (size_t code = 0; code < Bits<float>::kCounters; code++) {
      uint64_t count = 0;
      for (auto& table : floats_) count += std::exchange(table[code], 0);
      const uint32_t lower = static_cast<uint32_t>(code) << Bits<float>::kShift;
      // Zeros, subnormal numbers and non-finite elements are counted one by one.
      const uint32_t magnitude = lower & Bits<float>::kMagnitude;
      if (count == 0 || magnitude < Bits<float>::kSmallestNormal || magnitude >= Bits<float>::kInfinity) continue;
      doubles_[bucket_of(std::bit_cast<float>(lower))] += count;
    }
  }

  void add_run(const uint8_t* bytes, size_t count) {
    if (type_.complex) return add_magnitudes(bytes, count);
    switch (type_.format) {
      case Format::kFloat32:
        return add_values(reinterpret_cast<const float*>(bytes), count);
      case Format::kFloat64:
        return add_values(reinterpret_cast<const double*>(bytes), count);
      case Format::kBfloat16:
        return add_converted<uint16_t, float>(bytes, count, [](uint16_t code) {
          return std::bit_cast<float>(static_cast<uint32_t>(code) << 16);
        });
      case Format::kFloat16:
        return add_converted<uint16_t, float>(bytes, count, [](uint16_t code) { return half_to_float(code); });
      case Format::kInt8:
        return add_converted<int8_t, float>(bytes, count, [](int8_t value) { return static_cast<float>(value); });
      case Format::kUint8:
        return add_converted<uint8_t, float>(bytes, count, [](uint8_t value) { return static_cast<float>(value); });
      case Format::kBool:
        return add_converted<uint8_t, float>(bytes, count, [](uint8_t value) { return value == 0 ? 0.0F : 1.0F; });
      case Format::kInt16:
        return add_converted<int16_t, float>(bytes, count, [](int16_t value) { return static_cast<float>(value); });
      case Format::kUint16:
        return add_converted<uint16_t, float>(bytes, count, [](uint16_t value) { return static_cast<float>(value); });
      case Format::kInt32:
        return add_converted<int32_t, double>(bytes, count, [](int32_t value) { return static_cast<double>(value); });
      case Format::kUint32:
        return add_converted<uint32_t, double>(bytes, count, [](uint32_t value) { return static_cast<double>(value); });
      case Format::kInt64:
        return add_integers<int64_t>(bytes, count);
      case Format::kUint64:
        return add_integers<uint64_t>(bytes, count);
      case Format::kFloat8E8m0fnu:
        return add_converted<uint8_t, double>(bytes, count, decode_e8m0);
      default: {
        const SmallFloat type = *small_float(type_.format);
        float values[256];
        for (uint32_t code = 0; code < 256; code++) values[code] = static_cast<float>(decode_small(type, code));
        return add_converted<uint8_t, float>(bytes, count, [&values](uint8_t code) { return values[code]; });
      }
    }
  }

  /// Exact, subnormal numbers included: the exponent is put right by a multiplication.
  [[gnu::always_inline]] static inline float half_to_float(uint16_t code) {
    const uint32_t magnitude = static_cast<uint32_t>(code & 0x7fff) << 13;
    const float scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
    const uint32_t bits = (code & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : std::bit_cast<uint32_t>(scaled);
    return std::bit_cast<float>(bits | (static_cast<uint32_t>(code & 0x8000) << 16));
  }

  template <typename From, typename To, typename Convert>
  [[gnu::optimize("O3")]] void add_converted(const uint8_t* bytes, size_t count, Convert convert) {
    To values[kRun];
    for (size_t i = 0; i < count; i++) values[i] = convert(load<From>(bytes + i * sizeof(From)));
    add_values(values, count);
  }

  void add_magnitudes(const uint8_t* bytes, size_t count) {
    const size_t part = format_size(type_.format);
    double values[kRun];
    for (size_t i = 0; i < count; i++) {
      const uint8_t* at = bytes + i * 2 * part;
      values[i] = std::hypot(part_at(at), part_at(at + part));
    }
    add_values(values, count);
  }

  double part_at(const uint8_t* at) const {
    if (type_.format == Format::kFloat64) return load<double>(at);
    if (type_.format == Format::kFloat32) return load<float>(at);
    return half_to_float(load<uint16_t>(at));
  }

  template <typename T>
  void add_values(const T* values, size_t count) {
    Summary run;
    run.count = count;
    const T* first = std::find_if(values, values + count, [](T value) { return std::isfinite(value); });
    const T pivot = first == values + count ? T{0} : *first;
    Lanes<T> lanes;
    std::fill_n(lanes.min, kLanes<T>, pivot);
    std::fill_n(lanes.max, kLanes<T>, pivot);
    uint64_t below_normal = 0;
    const size_t whole = count - count % kLanes<T>;
    best_pass(values, whole, pivot, lanes);
    if (whole < count) {
      T rest[kLanes<T>];
      std::fill_n(rest, kLanes<T>, pivot);
      std::copy(values + whole, values + count, rest);
      best_pass(rest, kLanes<T>, pivot, lanes);
      const size_t filled = kLanes<T> - (count - whole);
      if (pivot == 0) run.zeros -= filled;
      if (std::abs(pivot) < std::numeric_limits<T>::min()) below_normal -= filled;
    }
    double sum = 0;
    double squares = 0;
    run.min = pivot;
    run.max = pivot;
    for (size_t lane = 0; lane < kLanes<T>; lane++) {
      sum += lanes.sum[lane];
      squares += lanes.squares[lane];
      run.min = std::min<double>(run.min, lanes.min[lane]);
      run.max = std::max<double>(run.max, lanes.max[lane]);
      run.zeros += lanes.zeros[lane];
      below_normal += lanes.below_normal[lane];
      run.nans += lanes.nans[lane];
      run.infs += lanes.infs[lane];
    }
    if (run.finite() > 0) moments(values, count, pivot, sum, squares, run);
    summary_.join(run);
    count_buckets(values, count, run.zeros, below_normal);
  }

  /// Mean and squares of a run, of the sums of distances from the pivot.
  template <typename T>
  void moments(const T* values, size_t count, T pivot, double sum, double squares, Summary& run) {
    const auto finite = static_cast<double>(run.finite());
    const double spread = squares - sum * sum / finite;
    const bool overflowed = !std::isfinite(squares) || !std::isfinite(sum);
    const bool vanished = squares < kVanishing && run.min != run.max;
    if (overflowed || vanished) return wide_moments(values, count, run);
    const double mean = static_cast<double>(pivot) + sum / finite;
    // The pivot is far from the others: what is left of the difference of two large numbers is noise. Their own mean is a better pivot.
    if (spread < squares * kCancelling) return wide_moments(values, count, run);
    run.mean = mean;
    run.squares = std::max(0.0, spread);
  }

  /// Two passes in the widest type, for the few runs that need them.
  template <typename T>
  void wide_moments(const T* values, size_t count, Summary& run) {
    const auto finite = static_cast<long double>(run.finite());
    long double sum = 0;
    for (size_t i = 0; i < count; i++) {
      if (std::isfinite(values[i])) sum += values[i];
    }
    run.mean = sum / finite;
    run.squares = 0;
    for (size_t i = 0; i < count; i++) {
      if (!std::isfinite(values[i])) continue;
      const long double distance = values[i] - run.mean;
      run.squares += distance * distance;
    }
  }

  /// 64-bit integers: sums are exact, and distances are taken before anything is rounded to a double.
  template <typename T>
  void add_integers(const uint8_t* bytes, size_t count) {
    T integers[kRun];
    memcpy(integers, bytes, count * sizeof(T));
    double values[kRun];
    Summary run;
    run.count = count;
    const auto [least, greatest] = std::minmax_element(integers, integers + count);
    run.least = *least;
    run.greatest = *greatest;
    run.min = static_cast<double>(*least);
    run.max = static_cast<double>(*greatest);
    Int128 sum = 0;
    for (size_t i = 0; i < count; i++) {
      sum += integers[i];
      values[i] = static_cast<double>(integers[i]);
      run.zeros += integers[i] == 0 ? 1 : 0;
    }
    const auto signed_count = static_cast<Int128>(count);
    run.origin = sum / signed_count;
    run.mean = static_cast<long double>(sum % signed_count) / static_cast<long double>(count);
    run.squares = run.greatest - run.least < kExactInteger ? narrow_squares(integers, count, run) : wide_squares(integers, count, run);
    summary_.join(run);
    count_buckets(values, count, run.zeros, 0);
  }

  /// Of integers whose distances are exact as doubles.
  template <typename T>
  static double narrow_squares(const T* integers, size_t count, const Summary& run) {
    const auto origin = static_cast<uint64_t>(run.origin);
    const auto mean = static_cast<double>(run.mean);
    double squares = 0;
    for (size_t i = 0; i < count; i++) {
      const auto offset = static_cast<int64_t>(static_cast<uint64_t>(integers[i]) - origin);
      const double distance = static_cast<double>(offset) - mean;
      squares += distance * distance;
    }
    return squares;
  }

  template <typename T>
  static long double wide_squares(const T* integers, size_t count, const Summary& run) {
    long double squares = 0;
    for (size_t i = 0; i < count; i++) {
      const long double distance = static_cast<long double>(integers[i] - run.origin) - run.mean;
      squares += distance * distance;
    }
    return squares;
  }

  /// Two tables, so that equal neighbours do not wait for each other's count.
  void count_buckets(const float* values, size_t count, uint64_t zeros, uint64_t below_normal) {
    has_floats_ = true;
    auto code = [values](size_t at) { return std::bit_cast<uint32_t>(values[at]) >> Bits<float>::kShift; };
    size_t at = 0;
    for (; at + 4 <= count; at += 4) {
      floats_[0][code(at)]++;
      floats_[1][code(at + 1)]++;
      floats_[0][code(at + 2)]++;
      floats_[1][code(at + 3)]++;
    }
    for (; at < count; at++) floats_[0][code(at)]++;
    if (below_normal == zeros) return;
    for (at = 0; at < count; at++) {
      const uint32_t magnitude = std::bit_cast<uint32_t>(values[at]) & Bits<float>::kMagnitude;
      if (magnitude != 0 && magnitude < Bits<float>::kSmallestNormal) doubles_[bucket_of(values[at])]++;
    }
  }

  void count_buckets(const double* values, size_t count, uint64_t zeros, uint64_t) {
    for (size_t at = 0; at < count; at++) doubles_[bucket_of(values[at])]++;
    // The bucket of zero and the smallest subnormal numbers is one; zeros are counted elsewhere.
    if (zeros == 0) return;
    for (size_t at = 0; at < count; at++) {
      if (values[at] == 0) doubles_[bucket_of(values[at])]--;
    }
  }

  const ElementType type_;
  Summary summary_;
  bool has_floats_ = false;
  std::array<std::array<uint32_t, Bits<float>::kCounters>, 2> floats_ = {};
  Histogram doubles_ = {};
};

Statistics::Statistics(ElementType type) : type_(type) {}
Statistics::~Statistics() = default;

Statistics::Block::Block(Statistics& all, size_t number) : all_(all), number_(number) {
  std::unique_lock lock(all.mutex_);
  if (all.tallies_.empty()) {
    lock.unlock();
    tally_ = std::make_unique<Tally>(all.type_);
  } else {
    tally_ = std::move(all.tallies_.back());
    all.tallies_.pop_back();
  }
}

Statistics::Block::~Block() {
  const Summary summary = tally_->take_summary();
  std::lock_guard lock(all_.mutex_);
  if (all_.blocks_.size() <= number_) all_.blocks_.resize(number_ + 1);
  all_.blocks_[number_] = summary;
  all_.tallies_.push_back(std::move(tally_));
}

void Statistics::Block::add(const uint8_t* bytes, size_t count) { tally_->add(bytes, count); }

Summary Statistics::summary() const {
  std::lock_guard lock(mutex_);
  Summary all;
  for (const Summary& block : blocks_) all.join(block);
  return all;
}

std::vector<Bucket> Statistics::histogram() const {
  const uint64_t zeros = summary().zeros;
  std::lock_guard lock(mutex_);
  Histogram counts = {};
  for (const auto& tally : tallies_) {
    for (size_t code = 0; code < counts.size(); code++) counts[code] += tally->histogram()[code];
  }
  std::vector<Bucket> buckets;
  constexpr size_t kSign = kBuckets / 2;
  const size_t infinity = static_cast<size_t>(Bits<double>::kInfinity >> Bits<double>::kShift);
  auto edge = [&](size_t code) {
    if (code >= infinity) return std::numeric_limits<double>::max();
    return std::bit_cast<double>(static_cast<uint64_t>(code) << Bits<double>::kShift);
  };
  for (size_t code = infinity; code-- > 0;) {
    if (uint64_t count = counts[kSign + code]) buckets.push_back({-edge(code + 1), -edge(code), count});
  }
  if (zeros > 0) buckets.push_back({0, 0, zeros});
  for (size_t code = 0; code < infinity; code++) {
    if (uint64_t count = counts[code]) buckets.push_back({edge(code), edge(code + 1), count});
  }
  return buckets;
}

}  // namespace mlfs
