#include "elements.h"

#include <cmath>
#include <limits>

namespace mlfs {

std::optional<ElementType> element_type(std::string_view dtype) {
  struct Named {
    std::string_view name;
    ElementType type;
  };
  static constexpr Named kTypes[] = {
      {"float64", {Format::kFloat64}},
      {"float32", {Format::kFloat32}},
      {"float16", {Format::kFloat16}},
      {"bfloat16", {Format::kBfloat16}},
      {"float8_e4m3fn", {Format::kFloat8E4m3fn}},
      {"float8_e5m2", {Format::kFloat8E5m2}},
      {"float8_e4m3fnuz", {Format::kFloat8E4m3fnuz}},
      {"float8_e5m2fnuz", {Format::kFloat8E5m2fnuz}},
      {"float8_e8m0fnu", {Format::kFloat8E8m0fnu}},
      {"int8", {Format::kInt8}},
      {"int16", {Format::kInt16}},
      {"int32", {Format::kInt32}},
      {"int64", {Format::kInt64}},
      {"uint8", {Format::kUint8}},
      {"uint16", {Format::kUint16}},
      {"uint32", {Format::kUint32}},
      {"uint64", {Format::kUint64}},
      {"bool", {Format::kBool}},
      {"qint8", {Format::kInt8}},
      {"quint8", {Format::kUint8}},
      {"qint32", {Format::kInt32}},
      {"complex32", {Format::kFloat16, true}},
      {"complex64", {Format::kFloat32, true}},
      {"complex128", {Format::kFloat64, true}},
  };
  for (const auto& [name, type] : kTypes) {
    if (name == dtype) return type;
  }
  return std::nullopt;
}

size_t format_size(Format format) {
  switch (format) {
    case Format::kFloat64:
    case Format::kInt64:
    case Format::kUint64:
      return 8;
    case Format::kFloat32:
    case Format::kInt32:
    case Format::kUint32:
      return 4;
    case Format::kFloat16:
    case Format::kBfloat16:
    case Format::kInt16:
    case Format::kUint16:
      return 2;
    default:
      return 1;
  }
}

size_t ElementType::size() const { return format_size(format) * (complex ? 2 : 1); }

std::optional<SmallFloat> small_float(Format format) {
  switch (format) {
    case Format::kFloat16:
      return SmallFloat{16, 10, 15, 0x7e00, true, false};
    case Format::kBfloat16:
      return SmallFloat{16, 7, 127, 0x7fc0, true, false};
    case Format::kFloat8E5m2:
      return SmallFloat{8, 2, 15, 0x7f, true, false};
    case Format::kFloat8E4m3fn:
      return SmallFloat{8, 3, 7, 0x7f, false, false};
    case Format::kFloat8E4m3fnuz:
      return SmallFloat{8, 3, 8, 0x80, false, true};
    case Format::kFloat8E5m2fnuz:
      return SmallFloat{8, 2, 16, 0x80, false, true};
    default:
      return std::nullopt;
  }
}

double decode_small(const SmallFloat& type, uint32_t code) {
  const uint32_t sign_bit = uint32_t{1} << (type.bits - 1);
  const uint32_t magnitude = code & (sign_bit - 1);
  if (type.unsigned_zero && code == sign_bit) return std::numeric_limits<double>::quiet_NaN();
  const uint32_t mantissa = magnitude & ((uint32_t{1} << type.mantissa_bits) - 1);
  const uint32_t exponent = magnitude >> type.mantissa_bits;
  const uint32_t top = (sign_bit - 1) >> type.mantissa_bits;
  double value;
  if (type.has_infinity && exponent == top) {
    value = mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
  } else if (!type.has_infinity && !type.unsigned_zero && magnitude == sign_bit - 1) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, 1 - type.bias - type.mantissa_bits);
  } else {
    value = std::ldexp((uint32_t{1} << type.mantissa_bits) + mantissa,
                       static_cast<int>(exponent) - type.bias - type.mantissa_bits);
  }
  return (code & sign_bit) != 0 ? -value : value;
}

std::optional<uint32_t> encode_small(const SmallFloat& type, double value) {
  if (std::isnan(value)) return type.nan_code;
  const uint32_t sign_bit = uint32_t{1} << (type.bits - 1);
  const uint32_t sign = std::signbit(value) ? sign_bit : 0;
  // The largest finite code: below infinity, below NaN, or the last one of all.
  const uint32_t all = sign_bit - 1;
  const uint32_t top = all >> type.mantissa_bits;
  const uint32_t largest = type.has_infinity     ? (top << type.mantissa_bits) - 1
                           : type.unsigned_zero ? all
                                                : all - 1;
  const double magnitude = std::fabs(value);
  uint32_t code = largest + 1;
  if (magnitude == 0) {
    code = 0;
  } else if (std::isfinite(magnitude)) {
    int exponent;
    std::frexp(magnitude, &exponent);
    exponent = exponent - 1 < 1 - type.bias ? 1 - type.bias : exponent - 1;
    // In units of the last place: exact, and rounded as the processor rounds, to nearest even.
    const double units = std::nearbyint(std::ldexp(magnitude, type.mantissa_bits - exponent));
    const double whole =
        std::ldexp(static_cast<double>(exponent + type.bias - 1), type.mantissa_bits) + units;
    if (whole <= largest) code = static_cast<uint32_t>(whole);
  }
  if (code > largest) {
    if (!type.has_infinity) return std::nullopt;
    return sign | (largest + 1);
  }
  if (code == 0 && type.unsigned_zero) return 0;
  return sign | code;
}

double decode_e8m0(uint8_t code) {
  return code == 0xff ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, static_cast<int>(code) - 127);
}

std::optional<uint8_t> encode_e8m0(double value) {
  if (std::isnan(value)) return 0xff;
  if (!(value >= std::ldexp(1.0, -127) && value < std::ldexp(1.5, 127))) return std::nullopt;
  int exponent;
  const double fraction = std::frexp(value, &exponent);
  return static_cast<uint8_t>(exponent - 1 + 127 + (fraction >= 0.75 ? 1 : 0));
}

}  // namespace mlfs
