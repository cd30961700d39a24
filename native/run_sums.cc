#include "run_sums.h"

#include <algorithm>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace mlfs {
namespace {

template <typename T>
constexpr size_t kLanes = 32 / sizeof(T);

/// The sums of one pass over a run, in lanes of a vector register.
template <typename T>
struct Lanes {
  using Word = typename FloatBits<T>::Word;
  double sum[kLanes<T>] = {};
  double squares[kLanes<T>] = {};
  T min[kLanes<T>];
  T max[kLanes<T>];
  Word zeros[kLanes<T>] = {};
  Word below_normal[kLanes<T>] = {};
  Word nans[kLanes<T>] = {};
  Word infs[kLanes<T>] = {};
};

/// Elements that are not finite count as the pivot, which is one of the finite ones: they change neither the extremes nor the sums of
/// distances from it. `count` is a multiple of the lanes.
template <typename T>
[[gnu::always_inline]] inline void pass(const T* values, size_t count, T pivot, Lanes<T>& lanes) {
  using B = FloatBits<T>;
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
#define MLFS_AVX2 [[gnu::target("avx2,fma,f16c")]]

template <typename T>
MLFS_AVX2 [[gnu::optimize("O3")]] void pass_avx2(const T* values, size_t count, T pivot, Lanes<T>& lanes) {
  pass<T>(values, count, pivot, lanes);
}
#endif

template <typename T>
[[gnu::optimize("O3")]] void pass_plain(const T* values, size_t count, T pivot, Lanes<T>& lanes) {
  pass<T>(values, count, pivot, lanes);
}

template <typename T>
void best_pass(const T* values, size_t count, T pivot, Lanes<T>& lanes, [[maybe_unused]] Kernels kernels) {
#if defined(__x86_64__)
  if (use_avx2(kernels)) return pass_avx2<T>(values, count, pivot, lanes);
#endif
  pass_plain<T>(values, count, pivot, lanes);
}

template <typename T>
RunSums<T> sum_any(const T* values, size_t count, T pivot, Kernels kernels) {
  Lanes<T> lanes;
  std::fill_n(lanes.min, kLanes<T>, pivot);
  std::fill_n(lanes.max, kLanes<T>, pivot);
  RunSums<T> run = {.min = pivot, .max = pivot};
  const size_t whole = count - count % kLanes<T>;
  best_pass(values, whole, pivot, lanes, kernels);
  if (whole < count) {
    T rest[kLanes<T>];
    std::fill_n(rest, kLanes<T>, pivot);
    std::copy(values + whole, values + count, rest);
    best_pass(rest, kLanes<T>, pivot, lanes, kernels);
    const size_t filled = kLanes<T> - (count - whole);
    const auto magnitude = std::bit_cast<typename FloatBits<T>::Word>(pivot) & FloatBits<T>::kMagnitude;
    if (magnitude == 0) run.zeros -= filled;
    if (magnitude < FloatBits<T>::kSmallestNormal) run.below_normal -= filled;
  }
  for (size_t lane = 0; lane < kLanes<T>; lane++) {
    run.sum += lanes.sum[lane];
    run.squares += lanes.squares[lane];
    run.min = std::min(run.min, lanes.min[lane]);
    run.max = std::max(run.max, lanes.max[lane]);
    run.zeros += lanes.zeros[lane];
    run.below_normal += lanes.below_normal[lane];
    run.nans += lanes.nans[lane];
    run.infs += lanes.infs[lane];
  }
  return run;
}

#if defined(__x86_64__)
/// The usual run, in which every number is finite: only sums and extremes are computed for each element. Returns false, and no sums, if a number of
/// the run is not finite. Counts of zeros and subnormal numbers need a second pass, and only if the smallest magnitude says that there are any.
/// `count` is a multiple of 8 and not 0.
MLFS_AVX2 bool sum_finite_avx2(const float* values, size_t count, float pivot, RunSums<float>& run) {
  using B = FloatBits<float>;
  const __m256d pivots = _mm256_set1_pd(pivot);
  const __m256i mask = _mm256_set1_epi32(static_cast<int>(B::kMagnitude));
  __m256d sums[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
  __m256d squares[2] = {_mm256_setzero_pd(), _mm256_setzero_pd()};
  __m256 min = _mm256_set1_ps(pivot);
  __m256 max = min;
  __m256i least = mask;
  __m256i greatest = _mm256_setzero_si256();
  for (size_t i = 0; i < count; i += 8) {
    const __m256 eight = _mm256_loadu_ps(values + i);
    const __m256i magnitudes = _mm256_and_si256(_mm256_castps_si256(eight), mask);
    least = _mm256_min_epu32(least, magnitudes);
    greatest = _mm256_max_epu32(greatest, magnitudes);
    min = _mm256_min_ps(eight, min);
    max = _mm256_max_ps(eight, max);
    const __m256d low = _mm256_sub_pd(_mm256_cvtps_pd(_mm256_castps256_ps128(eight)), pivots);
    const __m256d high = _mm256_sub_pd(_mm256_cvtps_pd(_mm256_extractf128_ps(eight, 1)), pivots);
    sums[0] = _mm256_add_pd(sums[0], low);
    sums[1] = _mm256_add_pd(sums[1], high);
    squares[0] = _mm256_fmadd_pd(low, low, squares[0]);
    squares[1] = _mm256_fmadd_pd(high, high, squares[1]);
  }
  uint32_t words[8];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), greatest);
  if (*std::max_element(words, words + 8) >= B::kInfinity) return false;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), least);
  const uint32_t smallest = *std::min_element(words, words + 8);
  float extremes[8];
  _mm256_storeu_ps(extremes, min);
  run.min = *std::min_element(extremes, extremes + 8);
  _mm256_storeu_ps(extremes, max);
  run.max = *std::max_element(extremes, extremes + 8);
  double four[4];
  _mm256_storeu_pd(four, _mm256_add_pd(sums[0], sums[1]));
  run.sum = four[0] + four[1] + (four[2] + four[3]);
  _mm256_storeu_pd(four, _mm256_add_pd(squares[0], squares[1]));
  run.squares = four[0] + four[1] + (four[2] + four[3]);
  if (smallest >= B::kSmallestNormal) return true;

  __m256i zeros = _mm256_setzero_si256();
  __m256i below_normal = _mm256_setzero_si256();
  const __m256i smallest_normal = _mm256_set1_epi32(static_cast<int>(B::kSmallestNormal));
  for (size_t i = 0; i < count; i += 8) {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + i));
    const __m256i magnitudes = _mm256_and_si256(bits, mask);
    // A comparison that is true is -1.
    zeros = _mm256_sub_epi32(zeros, _mm256_cmpeq_epi32(magnitudes, _mm256_setzero_si256()));
    below_normal = _mm256_sub_epi32(below_normal, _mm256_cmpgt_epi32(smallest_normal, magnitudes));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), zeros);
  for (uint32_t count_of_lane : words) run.zeros += count_of_lane;
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), below_normal);
  for (uint32_t count_of_lane : words) run.below_normal += count_of_lane;
  return true;
}

MLFS_AVX2 size_t halves_to_floats_avx2(const uint8_t* codes, size_t count, float* values) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i * 2));
    _mm256_storeu_ps(values + i, _mm256_cvtph_ps(eight));
  }
  return i;
}

MLFS_AVX2 size_t bfloats_to_floats_avx2(const uint8_t* codes, size_t count, float* values) {
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i eight = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i * 2));
    const __m256i bits = _mm256_slli_epi32(_mm256_cvtepu16_epi32(eight), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(values + i), bits);
  }
  return i;
}
#endif

}  // namespace

RunSums<float> sum_run(const float* values, size_t count, float pivot, Kernels kernels) {
#if defined(__x86_64__)
  RunSums<float> run = {.min = pivot, .max = pivot};
  if (count > 0 && count % 8 == 0 && use_avx2(kernels) && sum_finite_avx2(values, count, pivot, run)) return run;
#endif
  return sum_any(values, count, pivot, kernels);
}

RunSums<double> sum_run(const double* values, size_t count, double pivot, Kernels kernels) {
  return sum_any(values, count, pivot, kernels);
}

void halves_to_floats(const uint8_t* codes, size_t count, float* values, [[maybe_unused]] Kernels kernels) {
  size_t done = 0;
#if defined(__x86_64__)
  if (use_avx2(kernels)) done = halves_to_floats_avx2(codes, count, values);
#endif
  for (; done < count; done++) {
    uint16_t code;
    memcpy(&code, codes + done * 2, sizeof code);
    values[done] = half_to_float(code);
  }
}

void bfloats_to_floats(const uint8_t* codes, size_t count, float* values, [[maybe_unused]] Kernels kernels) {
  size_t done = 0;
#if defined(__x86_64__)
  if (use_avx2(kernels)) done = bfloats_to_floats_avx2(codes, count, values);
#endif
  for (; done < count; done++) {
    uint16_t code;
    memcpy(&code, codes + done * 2, sizeof code);
    values[done] = bfloat_to_float(code);
  }
}

}  // namespace mlfs
