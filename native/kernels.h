#pragma once

namespace mlfs {

/// Which versions of a computation may be used. Both give the same counts and extremes; sums may differ in their last digits.
enum class Kernels {
  /// The fastest that the processor has.
  kBest,
  /// Those that every processor has. For tests.
  kPlain,
};

/// Whether the processor has AVX2, FMA and F16C, and they may be used.
inline bool use_avx2(Kernels kernels) {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
  return has && kernels == Kernels::kBest;
#else
  static_cast<void>(kernels);
  return false;
#endif
}

}  // namespace mlfs
