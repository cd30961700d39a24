#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "kernels.h"

namespace mlfs {

template <typename T>
struct FloatBits;

template <>
struct FloatBits<float> {
  using Word = uint32_t;
  static constexpr Word kMagnitude = 0x7fffffff;
  static constexpr Word kInfinity = 0x7f800000;
  static constexpr Word kSmallestNormal = 0x00800000;
};

template <>
struct FloatBits<double> {
  using Word = uint64_t;
  static constexpr Word kMagnitude = 0x7fffffffffffffff;
  static constexpr Word kInfinity = 0x7ff0000000000000;
  static constexpr Word kSmallestNormal = 0x0010000000000000;
};

/// One pass over a run. The sums are those of the distances of finite elements from the pivot. If no element is finite, the extremes are the pivot.
template <typename T>
struct RunSums {
  double sum = 0;
  double squares = 0;
  T min;
  T max;
  uint64_t zeros = 0;
  /// Zeros and subnormal numbers.
  uint64_t below_normal = 0;
  uint64_t nans = 0;
  uint64_t infs = 0;
};

/// `pivot` is a finite element of the run, or 0 if there is none.
RunSums<float> sum_run(const float* values, size_t count, float pivot, Kernels kernels);
RunSums<double> sum_run(const double* values, size_t count, double pivot, Kernels kernels);

/// Exact, subnormal numbers included.
inline float half_to_float(uint16_t code) {
  const uint32_t magnitude = static_cast<uint32_t>(code & 0x7fff) << 13;
  // The multiplication puts the exponent right.
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  const uint32_t bits = (code & 0x7c00) == 0x7c00 ? magnitude | 0x7f800000 : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(bits | (static_cast<uint32_t>(code & 0x8000) << 16));
}

inline float bfloat_to_float(uint16_t code) { return std::bit_cast<float>(static_cast<uint32_t>(code) << 16); }

/// `codes` may be unaligned.
void halves_to_floats(const uint8_t* codes, size_t count, float* values, Kernels kernels);
void bfloats_to_floats(const uint8_t* codes, size_t count, float* values, Kernels kernels);

}  // namespace mlfs
