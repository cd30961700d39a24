#include "statistics.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

#include "code_counts.h"
#include "run_sums.h"

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

/// A float's sign, exponent and two bits of its mantissa say its bucket; likewise a double's.
constexpr int kFloatShift = 21;
constexpr size_t kFloatCodes = size_t{1} << (32 - kFloatShift);
constexpr int kDoubleShift = 50;

/// From so many 16-bit elements in a block on, counting codes takes less time than computing with each element. It has a price of its own: all codes
/// are looked at in the end.
constexpr size_t kCountedElements = size_t{1} << 19;

template <typename T>
T load(const uint8_t* at) {
  T value;
  memcpy(&value, at, sizeof value);
  return value;
}

size_t bucket_of(double value) { return static_cast<size_t>(std::bit_cast<uint64_t>(value) >> kDoubleShift); }

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
  Tally(ElementType type, Kernels kernels) : type_(type), kernels_(kernels) {}

  /// `count` is that of the block, all of whose elements are counted in the same way, in whatever pieces they come. Returns how many totals `end`
  /// needs.
  size_t begin(size_t count) {
    counts_codes_ = CodeCounts::fits(type_) && (type_.size() == 1 || count >= kCountedElements);
    if (counts_codes_ && !codes_) codes_.emplace(type_.format);
    return counts_codes_ ? codes_->codes() : 0;
  }

  void add(const uint8_t* bytes, size_t count) {
    if (counts_codes_) return codes_->add(bytes, count);
    for (size_t done = 0; done < count; done += kRun) {
      const size_t length = std::min(kRun, count - done);
      add_run(bytes + done * type_.size(), length);
    }
  }

  const Histogram& histogram() const { return doubles_; }

  /// Ends the block. Counted codes are added to `totals`.
  Summary end(std::vector<uint64_t>& totals) {
    if (has_floats_) take_floats();
    has_floats_ = false;
    if (counts_codes_) codes_->move_to(totals);
    return std::exchange(summary_, Summary{});
  }

 private:
  void take_floats() {
    for (size_t code = 0; code < kFloatCodes; code++) {
      uint64_t count = 0;
      for (auto& table : floats_) count += std::exchange(table[code], 0);
      const uint32_t lower = static_cast<uint32_t>(code) << kFloatShift;
      // Zeros, subnormal numbers and non-finite elements are counted one by one.
      const uint32_t magnitude = lower & FloatBits<float>::kMagnitude;
      if (count == 0 || magnitude < FloatBits<float>::kSmallestNormal || magnitude >= FloatBits<float>::kInfinity) continue;
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
      case Format::kFloat16: {
        float values[kRun];
        (type_.format == Format::kFloat16 ? halves_to_floats : bfloats_to_floats)(bytes, count, values, kernels_);
        return add_values(values, count);
      }
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
      default:
        // The codes of one byte are counted.
        return;
    }
  }

  template <typename From, typename To, typename Convert>
  void add_converted(const uint8_t* bytes, size_t count, Convert convert) {
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
    const RunSums<T> sums = sum_run(values, count, pivot, kernels_);
    run.min = sums.min;
    run.max = sums.max;
    run.zeros = sums.zeros;
    run.nans = sums.nans;
    run.infs = sums.infs;
    if (run.finite() > 0) moments(values, count, pivot, sums.sum, sums.squares, run);
    summary_.join(run);
    count_buckets(values, count, sums.zeros, sums.below_normal);
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
    auto code = [values](size_t at) { return std::bit_cast<uint32_t>(values[at]) >> kFloatShift; };
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
      const uint32_t magnitude = std::bit_cast<uint32_t>(values[at]) & FloatBits<float>::kMagnitude;
      if (magnitude != 0 && magnitude < FloatBits<float>::kSmallestNormal) doubles_[bucket_of(values[at])]++;
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
  const Kernels kernels_;
  Summary summary_;
  bool counts_codes_ = false;
  std::optional<CodeCounts> codes_;
  bool has_floats_ = false;
  std::array<std::array<uint32_t, kFloatCodes>, 2> floats_ = {};
  Histogram doubles_ = {};
};

Statistics::Statistics(ElementType type, Kernels kernels) : type_(type), kernels_(kernels) {}
Statistics::~Statistics() = default;

// Takes all the memory that the destructor needs: a failure there would end the process.
Statistics::Block::Block(Statistics& all, size_t number, size_t count) : all_(all), number_(number) {
  std::unique_lock lock(all.mutex_);
  if (all.blocks_.size() <= number) all.blocks_.resize(number + 1);
  if (all.tallies_.empty()) {
    lock.unlock();
    auto tally = std::make_unique<Tally>(all.type_, all.kernels_);
    lock.lock();
    all.tallies_.reserve(all.tally_count_ + 1);
    all.tally_count_++;
    tally_ = std::move(tally);
  } else {
    tally_ = std::move(all.tallies_.back());
    all.tallies_.pop_back();
  }
  all.codes_.resize(std::max(all.codes_.size(), tally_->begin(count)));
}

Statistics::Block::~Block() {
  std::lock_guard lock(all_.mutex_);
  all_.blocks_[number_] = tally_->end(all_.codes_);
  all_.tallies_.push_back(std::move(tally_));
}

void Statistics::Block::add(const uint8_t* bytes, size_t count) { tally_->add(bytes, count); }

Summary Statistics::summary() const {
  std::lock_guard lock(mutex_);
  Summary all;
  for (const Summary& block : blocks_) all.join(block);
  all.join(summary_of_codes());
  return all;
}

Summary Statistics::summary_of_codes() const {
  struct Counted {
    double value;
    uint64_t count;
  };
  Summary summary;
  std::vector<Counted> finite;
  long double sum = 0;
  for (size_t code = 0; code < codes_.size(); code++) {
    const uint64_t count = codes_[code];
    if (count == 0) continue;
    const double value = value_of_code(type_.format, static_cast<uint32_t>(code));
    summary.count += count;
    if (std::isnan(value)) {
      summary.nans += count;
    } else if (std::isinf(value)) {
      summary.infs += count;
    } else {
      if (value == 0) summary.zeros += count;
      if (finite.empty() || value < summary.min) summary.min = value;
      if (finite.empty() || value > summary.max) summary.max = value;
      sum += static_cast<long double>(value) * static_cast<long double>(count);
      finite.push_back({value, count});
    }
  }
  if (finite.empty()) return summary;
  summary.mean = sum / static_cast<long double>(summary.finite());
  for (const auto& [value, count] : finite) {
    const long double distance = value - summary.mean;
    summary.squares += distance * distance * static_cast<long double>(count);
  }
  return summary;
}

std::vector<Bucket> Statistics::histogram() const {
  const uint64_t zeros = summary().zeros;
  std::lock_guard lock(mutex_);
  Histogram counts = {};
  for (const auto& tally : tallies_) {
    for (size_t code = 0; code < counts.size(); code++) counts[code] += tally->histogram()[code];
  }
  for (size_t code = 0; code < codes_.size(); code++) {
    if (codes_[code] == 0) continue;
    const double value = value_of_code(type_.format, static_cast<uint32_t>(code));
    if (value != 0) counts[bucket_of(value)] += codes_[code];
  }
  std::vector<Bucket> buckets;
  constexpr size_t kSign = kBuckets / 2;
  const size_t infinity = static_cast<size_t>(FloatBits<double>::kInfinity >> kDoubleShift);
  auto edge = [&](size_t code) {
    if (code >= infinity) return std::numeric_limits<double>::max();
    return std::bit_cast<double>(static_cast<uint64_t>(code) << kDoubleShift);
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
