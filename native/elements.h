#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace mlfs {

/// The numeric format of an element. Formats of at most 16 bits are small enough for tables. src/checkpoint/dtypes.ts has the same rows.
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

/// The elements of a torch dtype: one number of a format, or two for a complex dtype.
struct ElementType {
  Format format;
  bool complex = false;

  size_t size() const;
};

/// Finds a dtype by torch's name without `torch.`; a quantized dtype has the format of its integers. Empty for dtypes whose elements share bytes or
/// are not numbers.
std::optional<ElementType> element_type(std::string_view dtype);

size_t format_size(Format format);

/// A binary format of at most 16 bits, described like those of IEEE 754. `nan_code` is the code written for NaN.
struct SmallFloat {
  int bits;
  int mantissa_bits;
  int bias;
  uint32_t nan_code;
  bool has_infinity;
  /// The code of negative zero is NaN.
  bool unsigned_zero;
};

/// Empty for formats that are not small floats. float8_e8m0fnu, which has no mantissa, is handled separately.
std::optional<SmallFloat> small_float(Format format);

double decode_small(const SmallFloat& type, uint32_t code);

/// Rounds to nearest, ties to even. Empty when the value is too large for a format without infinity.
std::optional<uint32_t> encode_small(const SmallFloat& type, double value);

double decode_e8m0(uint8_t code);
std::optional<uint8_t> encode_e8m0(double value);

}  // namespace mlfs
