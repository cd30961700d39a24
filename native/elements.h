#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mlfs {

/// What the bytes of one element mean, as far as they are numbers. Formats of 16 bits and less are small enough for tables.
enum class Format {
  kFloat64,
  kFloat32,
  kFloat16,
  kBfloat16,
  kFloat8E4m3fn,
  kFloat8E5m2,
  kFloat8E4m3fnuz,
  kFloat8E5m2fnuz,
  kFloat8E8m0fnu,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kBool,
};

/// torch's dtypes: a format, once or as the real and the imaginary part.
struct ElementType {
  Format format;
  bool complex = false;

  size_t size() const;
};

/// By torch's name without `torch.`; quantized dtypes are their integers. Nothing for those that share bytes or are plain bits.
std::optional<ElementType> element_type(std::string_view dtype);

size_t format_size(Format format);

/// A binary format of at most 16 bits, described as IEEE 754 does. `nan_code` is what a NaN is written as.
struct SmallFloat {
  int bits;
  int mantissa_bits;
  int bias;
  uint32_t nan_code;
  bool has_infinity;
  /// The sign bit alone is NaN: there is no negative zero.
  bool unsigned_zero;
};

/// Nothing for formats that are no small floats; float8_e8m0fnu has no mantissa and is handled beside them.
std::optional<SmallFloat> small_float(Format format);

double decode_small(const SmallFloat& type, uint32_t code);

/// Rounds to nearest, ties to even. Nothing when the value is too large for a format without infinity.
std::optional<uint32_t> encode_small(const SmallFloat& type, double value);

double decode_e8m0(uint8_t code);
std::optional<uint8_t> encode_e8m0(double value);

}  // namespace mlfs
