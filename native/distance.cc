#include "distance.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <type_traits>

#include "code_counts.h"
#include "run_sums.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mlfs {
namespace {

/// Numbers processed at a time: as floats or doubles both runs fit the first-level cache.
constexpr size_t kRun = 1024;
constexpr size_t kLanes = 8;

/// Sums of squares between these bounds have lost nothing that matters.
constexpr double kVanishing = 0x1p-900;

template <typename T>
using Word = typename FloatBits<T>::Word;

template <typename T>
Word<T> magnitude_of(T value) {
  return std::bit_cast<Word<T>>(value) & FloatBits<T>::kMagnitude;
}

/// The sums of one pass over two runs, in lanes of vector registers.
template <typename T>
struct Lanes {
  double sum[kLanes] = {};
  double squares[kLanes] = {};
  double own[kLanes] = {};
  double max[kLanes] = {};
  Word<T> magnitude[kLanes] = {};
};

template <typename T>
[[gnu::always_inline]] inline void pass(const T* a, const T* b, size_t count, Lanes<T>& lanes) {
  for (size_t i = 0; i < count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; lane++) {
      const T one = a[i + lane];
      const T other = b[i + lane];
      const Word<T> magnitude = std::bit_cast<Word<T>>(one) & FloatBits<T>::kMagnitude;
      const Word<T> other_magnitude = std::bit_cast<Word<T>>(other) & FloatBits<T>::kMagnitude;
      const Word<T> larger = magnitude > other_magnitude ? magnitude : other_magnitude;
      lanes.magnitude[lane] = larger > lanes.magnitude[lane] ? larger : lanes.magnitude[lane];
      const double difference = std::fabs(static_cast<double>(one) - static_cast<double>(other));
      lanes.sum[lane] += difference;
      lanes.squares[lane] += difference * difference;
      lanes.own[lane] += static_cast<double>(one) * static_cast<double>(one);
      lanes.max[lane] = difference > lanes.max[lane] ? difference : lanes.max[lane];
    }
  }
}

/// How many of `count` pieces of a type differ.
template <typename T>
uint64_t different_in(const uint8_t* a, const uint8_t* b, size_t count) {
  uint64_t different = 0;
  for (size_t at = 0; at < count * sizeof(T); at += sizeof(T)) different += memcmp(a + at, b + at, sizeof(T)) != 0 ? 1 : 0;
  return different;
}

#if defined(__x86_64__)
template <typename T>
[[gnu::target("avx2,fma,f16c"), gnu::optimize("O3")]] void pass_avx2(const T* a, const T* b, size_t count, Lanes<T>& lanes) {
  pass<T>(a, b, count, lanes);
}
template <typename T>
[[gnu::target("avx2")]] uint64_t different_avx2(const uint8_t* a, const uint8_t* b, size_t count) {
  constexpr size_t kPieces = 32 / sizeof(T);
  const size_t whole = count - count % kPieces;
  // One in each piece of the vector.
  const __m256i ones = sizeof(T) == 1   ? _mm256_set1_epi8(1)
                       : sizeof(T) == 2 ? _mm256_set1_epi16(1)
                       : sizeof(T) == 4 ? _mm256_set1_epi32(1)
                                        : _mm256_set1_epi64x(1);
  __m256i equal = _mm256_setzero_si256();
  for (size_t at = 0; at < whole * sizeof(T); at += 32) {
    const __m256i one = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a + at));
    const __m256i other = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(b + at));
    const __m256i same = sizeof(T) == 1   ? _mm256_cmpeq_epi8(one, other)
                         : sizeof(T) == 2 ? _mm256_cmpeq_epi16(one, other)
                         : sizeof(T) == 4 ? _mm256_cmpeq_epi32(one, other)
                                          : _mm256_cmpeq_epi64(one, other);
    // The sum of the bytes is the number of ones.
    equal = _mm256_add_epi64(equal, _mm256_sad_epu8(_mm256_and_si256(same, ones), _mm256_setzero_si256()));
  }
  uint64_t sums[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums), equal);
  const size_t done = whole * sizeof(T);
  return whole - (sums[0] + sums[1] + sums[2] + sums[3]) + different_in<T>(a + done, b + done, count - whole);
}
#endif

template <typename T>
[[gnu::optimize("O3")]] void best_pass(const T* a, const T* b, size_t count, Lanes<T>& lanes, [[maybe_unused]] Kernels kernels) {
#if defined(__x86_64__)
  if (use_avx2(kernels)) return pass_avx2<T>(a, b, count, lanes);
#endif
  pass<T>(a, b, count, lanes);
}

template <typename T>
[[gnu::optimize("O3")]] uint64_t different(const uint8_t* a, const uint8_t* b, size_t count, [[maybe_unused]] Kernels kernels) {
#if defined(__x86_64__)
  if (use_avx2(kernels)) return different_avx2<T>(a, b, count);
#endif
  return different_in<T>(a, b, count);
}

uint64_t different_elements(size_t size, const uint8_t* a, const uint8_t* b, size_t count, Kernels kernels) {
  switch (size) {
    case 1:
      return different<uint8_t>(a, b, count, kernels);
    case 2:
      return different<uint16_t>(a, b, count, kernels);
    case 4:
      return different<uint32_t>(a, b, count, kernels);
    default:
      return different<uint64_t>(a, b, count, kernels);
  }
}

template <typename From, typename To>
void convert(const uint8_t* bytes, size_t count, To* values) {
  for (size_t i = 0; i < count; i++) {
    From value;
    memcpy(&value, bytes + i * sizeof value, sizeof value);
    values[i] = static_cast<To>(value);
  }
}

/// 32 and 64-bit formats become doubles, except float32; all others become floats, which hold them exactly.
template <typename T>
void decode(Format format, const uint8_t* bytes, size_t count, T* values, Kernels kernels) {
  if constexpr (std::is_same_v<T, double>) {
    if (format == Format::kInt32) return convert<int32_t>(bytes, count, values);
    if (format == Format::kUint32) return convert<uint32_t>(bytes, count, values);
    if (format == Format::kInt64) return convert<int64_t>(bytes, count, values);
    return convert<uint64_t>(bytes, count, values);
  } else {
    if (format == Format::kFloat16) return halves_to_floats(bytes, count, values, kernels);
    if (format == Format::kInt16) return convert<int16_t>(bytes, count, values);
    if (format == Format::kUint16) return convert<uint16_t>(bytes, count, values);
    if (format == Format::kInt8) return convert<int8_t>(bytes, count, values);
    // Any byte of a bool is a number of its own: another byte is another element, although both are true.
    if (format == Format::kUint8 || format == Format::kBool) return convert<uint8_t>(bytes, count, values);
    if (format == Format::kBfloat16) return bfloats_to_floats(bytes, count, values, kernels);
    for (size_t i = 0; i < count; i++) values[i] = static_cast<float>(value_of_code(format, bytes[i]));
  }
}

/// The elements themselves where they are of the type that is computed with, otherwise `decoded`.
template <typename T>
const T* numbers_of(Format format, const uint8_t* bytes, size_t count, T* decoded, Kernels kernels) {
  if (format == (std::is_same_v<T, float> ? Format::kFloat32 : Format::kFloat64)) return reinterpret_cast<const T*>(bytes);
  decode(format, bytes, count, decoded, kernels);
  return decoded;
}

void add_measured(double distance, Distance& to) {
  to.measured++;
  to.max = std::max(to.max, distance);
  to.sum += distance;
  to.squares += static_cast<long double>(distance) * distance;
}

void add_element(bool finite, bool other_finite, double distance, Distance& to) {
  to.elements++;
  if (!finite || !other_finite) {
    if (finite) to.became_non_finite++;
    else if (other_finite) to.became_finite++;
    else to.stayed_non_finite++;
  } else if (std::isinf(distance)) {
    to.beyond_double++;
  } else {
    add_measured(distance, to);
  }
}

/// Element by element, for runs with NaN or infinities and for complex numbers.
template <typename T>
void add_each(const T* a, const T* b, const uint8_t* bytes, const uint8_t* others, size_t size, size_t count, size_t parts, Distance& to) {
  for (size_t i = 0; i < count; i++) {
    if (memcmp(bytes + i * size, others + i * size, size) == 0) continue;
    bool finite = true;
    bool other_finite = true;
    double distances[2] = {};
    for (size_t part = 0; part < parts; part++) {
      const T one = a[i * parts + part];
      const T other = b[i * parts + part];
      finite = finite && std::isfinite(one);
      other_finite = other_finite && std::isfinite(other);
      distances[part] = std::fabs(static_cast<double>(one) - static_cast<double>(other));
    }
    add_element(finite, other_finite, parts == 1 ? distances[0] : std::hypot(distances[0], distances[1]), to);
  }
}

template <typename T>
void add_own(const T* values, size_t count, Kernels kernels, Distance& to) {
  const double squares = sum_run(values, count, T{0}, kernels).squares;
  if (std::isfinite(squares) && squares >= kVanishing) {
    to.own_squares += squares;
    return;
  }
  for (size_t i = 0; i < count; i++) {
    if (std::isfinite(values[i])) to.own_squares += static_cast<long double>(values[i]) * values[i];
  }
}

/// The usual run, which is finite throughout and whose squares are ordinary doubles. Returns false, and adds nothing, for any other.
template <typename T>
bool add_finite(const T* a, const T* b, size_t count, uint64_t elements, Kernels kernels, Distance& to) {
  Lanes<T> lanes;
  const size_t whole = count - count % kLanes;
  best_pass(a, b, whole, lanes, kernels);
  if (whole < count) {
    T rest[kLanes] = {};
    T other_rest[kLanes] = {};
    std::copy(a + whole, a + count, rest);
    std::copy(b + whole, b + count, other_rest);
    best_pass(rest, other_rest, kLanes, lanes, kernels);
  }
  if (*std::max_element(lanes.magnitude, lanes.magnitude + kLanes) >= FloatBits<T>::kInfinity) return false;
  double sum = 0;
  double squares = 0;
  double own = 0;
  for (size_t lane = 0; lane < kLanes; lane++) {
    sum += lanes.sum[lane];
    squares += lanes.squares[lane];
    own += lanes.own[lane];
  }
  const double max = *std::max_element(lanes.max, lanes.max + kLanes);
  const bool ordinary = std::isfinite(sum) && std::isfinite(squares) && std::isfinite(own) && (squares >= kVanishing || max == 0) &&
                        own >= kVanishing;
  if (!ordinary) return false;
  to.elements += elements;
  to.measured += elements;
  to.max = std::max(to.max, max);
  to.sum += sum;
  to.squares += squares;
  to.own_squares += own;
  return true;
}

template <typename T>
void add_integers(const uint8_t* a, const uint8_t* b, size_t count, Distance& to) {
  for (size_t i = 0; i < count; i++) {
    T one;
    T other;
    memcpy(&one, a + i * sizeof one, sizeof one);
    memcpy(&other, b + i * sizeof other, sizeof other);
    if (one == other) continue;
    const uint64_t distance = one > other ? static_cast<uint64_t>(one) - static_cast<uint64_t>(other)
                                          : static_cast<uint64_t>(other) - static_cast<uint64_t>(one);
    to.elements++;
    to.max_integer = std::max(to.max_integer, distance);
    add_measured(static_cast<double>(distance), to);
  }
}

template <typename T>
void add_run(ElementType type, const uint8_t* a, const uint8_t* b, size_t count, Kernels kernels, Distance& to) {
  const size_t parts = type.complex ? 2 : 1;
  const size_t size = type.size();
  T decoded[2 * kRun];
  const T* const values = numbers_of(type.format, a, count * parts, decoded, kernels);
  const uint64_t bytes = memcmp(a, b, count * size) == 0 ? 0 : different<uint8_t>(a, b, count * size, kernels);
  to.bytes += bytes;
  if (bytes == 0) return add_own(values, count * parts, kernels, to);
  if (type.format == Format::kInt64 || type.format == Format::kUint64) {
    add_own(values, count, kernels, to);
    return type.format == Format::kInt64 ? add_integers<int64_t>(a, b, count, to) : add_integers<uint64_t>(a, b, count, to);
  }
  T other_decoded[2 * kRun];
  const T* const others = numbers_of(type.format, b, count * parts, other_decoded, kernels);
  if (!type.complex) {
    const uint64_t elements = size == 1 ? bytes : different_elements(size, a, b, count, kernels);
    if (add_finite(values, others, count, elements, kernels, to)) return;
  }
  add_own(values, count * parts, kernels, to);
  add_each(values, others, a, b, size, count, parts, to);
}

}  // namespace

void Distance::join(const Distance& other) {
  elements += other.elements;
  bytes += other.bytes;
  became_non_finite += other.became_non_finite;
  became_finite += other.became_finite;
  stayed_non_finite += other.stayed_non_finite;
  beyond_double += other.beyond_double;
  measured += other.measured;
  max = std::max(max, other.max);
  max_integer = std::max(max_integer, other.max_integer);
  sum += other.sum;
  squares += other.squares;
  own_squares += other.own_squares;
}

void add_distance(ElementType type, const uint8_t* a, const uint8_t* b, size_t count, Kernels kernels, Distance& distance) {
  const bool wide = format_size(type.format) >= 4 && type.format != Format::kFloat32;
  const size_t size = type.size();
  for (size_t done = 0; done < count; done += kRun) {
    const size_t length = std::min(kRun, count - done);
    const uint8_t* one = a + done * size;
    const uint8_t* other = b + done * size;
    if (wide) add_run<double>(type, one, other, length, kernels, distance);
    else add_run<float>(type, one, other, length, kernels, distance);
  }
}

}  // namespace mlfs
