#include "element_text.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <string_view>

namespace mlfs {
namespace {

/// A double has at most 24 characters, a complex number two and a `j`.
constexpr size_t kLongestNumber = 64;

template <typename T>
T load(const uint8_t* at) {
  T value;
  memcpy(&value, at, sizeof value);
  return value;
}

template <typename T>
void store(uint8_t* at, T value) {
  memcpy(at, &value, sizeof value);
}

char* put(char* out, std::string_view text) {
  memcpy(out, text.data(), text.size());
  return out + text.size();
}

template <typename T>
char* put_number(char* out, T value) {
  if constexpr (std::is_floating_point_v<T>) {
    // to_chars shows the sign and payload of NaN.
    if (std::isnan(value)) return put(out, "nan");
  }
  return std::to_chars(out, out + kLongestNumber, value).ptr;
}

/// The texts of all codes of a format of 8 or 16 bits.
class TextTable {
 public:
  explicit TextTable(Format format) {
    const size_t codes = format_size(format) == 1 ? 256 : 65536;
    texts_.resize(codes);
    for (uint32_t code = 0; code < codes; code++) texts_[code] = text_of(format, code);
  }

  const std::string& operator[](uint32_t code) const { return texts_[code]; }

 private:
  static std::string text_of(Format format, uint32_t code) {
    char buffer[kLongestNumber];
    if (format == Format::kFloat8E8m0fnu) return shortest(decode_e8m0(static_cast<uint8_t>(code)), [&](double value) {
      return encode_e8m0(value) == static_cast<uint8_t>(code);
    });
    if (auto small = small_float(format)) {
      return shortest(decode_small(*small, code), [&](double value) { return encode_small(*small, value) == code; });
    }
    char* end = buffer;
    switch (format) {
      case Format::kInt8:
        end = put_number(buffer, static_cast<int>(static_cast<int8_t>(code)));
        break;
      case Format::kInt16:
        end = put_number(buffer, static_cast<int>(static_cast<int16_t>(code)));
        break;
      case Format::kBool:
        end = put(buffer, code == 0 ? "False" : "True");
        break;
      default:
        end = put_number(buffer, code);
    }
    return {buffer, end};
  }

  /// Finds the fewest digits that round back, in their shortest notation.
  template <typename Same>
  static std::string shortest(double value, Same same) {
    char buffer[kLongestNumber];
    if (std::isfinite(value) && value != 0) {
      for (int digits = 0; digits < 17; digits++) {
        const char* end = std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::scientific, digits).ptr;
        double rounded = 0;
        std::from_chars(buffer, end, rounded);
        if (same(rounded)) {
          value = rounded;
          break;
        }
      }
    }
    return {buffer, put_number(buffer, value)};
  }

  std::vector<std::string> texts_;
};

/// Built on first use, since 65,536 texts take some 50 ms.
const TextTable& text_table(Format format) {
  static std::array<std::once_flag, 32> once;
  static std::array<std::unique_ptr<const TextTable>, 32> tables;
  const auto index = static_cast<size_t>(format);
  std::call_once(once[index], [&] { tables[index] = std::make_unique<const TextTable>(format); });
  return *tables[index];
}

char* put_element(char* out, Format format, const uint8_t* at) {
  switch (format) {
    case Format::kFloat64:
      return put_number(out, load<double>(at));
    case Format::kFloat32:
      return put_number(out, load<float>(at));
    case Format::kInt32:
      return put_number(out, load<int32_t>(at));
    case Format::kInt64:
      return put_number(out, load<int64_t>(at));
    case Format::kUint32:
      return put_number(out, load<uint32_t>(at));
    case Format::kUint64:
      return put_number(out, load<uint64_t>(at));
    default:
      return put(out, text_table(format)[format_size(format) == 1 ? *at : load<uint16_t>(at)]);
  }
}

char* put_complex(char* out, Format format, const uint8_t* at) {
  out = put_element(out, format, at);
  char* imaginary = out + 1;
  char* end = put_element(imaginary, format, at + format_size(format));
  if (*imaginary == '-') {
    memmove(out, imaginary, static_cast<size_t>(end - imaginary));
    end--;
  } else {
    *out = '+';
  }
  *end++ = 'j';
  return end;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }

bool equal_ignoring_case(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

/// Parses a decimal number, `nan`, `inf` or `infinity` with either sign; the whole text must be one. Overflow gives infinity and underflow zero,
/// like strtod. The value is rounded directly to T.
template <typename T>
std::optional<T> parse_real(std::string_view text) {
  bool negative = false;
  std::string_view digits = text;
  if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
    negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  if (digits.empty()) return std::nullopt;
  T value;
  if ((digits[0] >= '0' && digits[0] <= '9') || digits[0] == '.') {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (end != digits.data() + digits.size() || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      const std::string copy(digits);
      value = sizeof(T) == 4 ? static_cast<T>(strtof(copy.c_str(), nullptr)) : static_cast<T>(strtod(copy.c_str(), nullptr));
    }
  } else if (equal_ignoring_case(digits, "nan")) {
    value = std::numeric_limits<T>::quiet_NaN();
    negative = false;
  } else if (equal_ignoring_case(digits, "inf") || equal_ignoring_case(digits, "infinity")) {
    value = std::numeric_limits<T>::infinity();
  } else {
    return std::nullopt;
  }
  return negative ? -value : value;
}

/// What is wrong with a number; null if nothing is.
using Reason = const char*;

constexpr Reason kFine = nullptr;
constexpr Reason kNoNumber = "is not a number";
constexpr Reason kOutOfRange = "is out of range";
constexpr Reason kNoInteger = "is not an integer";
constexpr Reason kNoBool = "is neither True nor False";

template <typename T>
Reason parse_float(std::string_view text, uint8_t* at) {
  const auto value = parse_real<T>(text);
  if (!value) return kNoNumber;
  if (!(std::isnan(*value) && std::isnan(load<T>(at)))) store(at, *value);
  return kFine;
}

/// Rounded to double first, and from there: the second rounding differs from a direct one only for texts of more than 17 digits that lie within
/// 2^-53 of the middle between two values of the small format, which no shortest text does.
template <typename Code>
Reason parse_small(const SmallFloat& type, std::string_view text, uint8_t* at) {
  const auto value = parse_real<double>(text);
  if (!value) return kNoNumber;
  if (std::isnan(*value) && std::isnan(decode_small(type, load<Code>(at)))) return kFine;
  const auto code = encode_small(type, *value);
  if (!code) return kOutOfRange;
  store(at, static_cast<Code>(*code));
  return kFine;
}

template <typename T>
Reason parse_integer(std::string_view text, uint8_t* at) {
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  // `3.0` is an integer's value, too.
  if (const size_t dot = text.find('.'); dot != text.npos && dot > 0) {
    if (text.find_first_not_of('0', dot + 1) != text.npos) return kNoInteger;
    text = text.substr(0, dot);
  }
  T value;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::invalid_argument && !std::is_signed_v<T> && text.size() > 1 && text[0] == '-') {
    if (text.find_first_not_of("0123456789", 1) == text.npos) {
      if (text.find_first_not_of('0', 1) != text.npos) return kOutOfRange;
      store(at, T{0});
      return kFine;
    }
  }
  if (error == std::errc::result_out_of_range) return kOutOfRange;
  if (error != std::errc() || end != text.data() + text.size()) {
    return parse_real<double>(text) ? kNoInteger : kNoNumber;
  }
  store(at, value);
  return kFine;
}

Reason parse_bool(std::string_view text, uint8_t* at) {
  bool value;
  if (equal_ignoring_case(text, "true") || text == "1") {
    value = true;
  } else if (equal_ignoring_case(text, "false") || text == "0") {
    value = false;
  } else {
    return kNoBool;
  }
  // Any byte but 0 is true.
  if ((*at != 0) != value) *at = value ? 1 : 0;
  return kFine;
}

Reason parse_e8m0(std::string_view text, uint8_t* at) {
  const auto value = parse_real<double>(text);
  if (!value) return kNoNumber;
  const auto code = encode_e8m0(*value);
  if (!code) return kOutOfRange;
  *at = *code;
  return kFine;
}

Reason parse_part(Format format, std::string_view text, uint8_t* at) {
  switch (format) {
    case Format::kFloat64:
      return parse_float<double>(text, at);
    case Format::kFloat32:
      return parse_float<float>(text, at);
    case Format::kInt8:
      return parse_integer<int8_t>(text, at);
    case Format::kInt16:
      return parse_integer<int16_t>(text, at);
    case Format::kInt32:
      return parse_integer<int32_t>(text, at);
    case Format::kInt64:
      return parse_integer<int64_t>(text, at);
    case Format::kUint8:
      return parse_integer<uint8_t>(text, at);
    case Format::kUint16:
      return parse_integer<uint16_t>(text, at);
    case Format::kUint32:
      return parse_integer<uint32_t>(text, at);
    case Format::kUint64:
      return parse_integer<uint64_t>(text, at);
    case Format::kBool:
      return parse_bool(text, at);
    case Format::kFloat8E8m0fnu:
      return parse_e8m0(text, at);
    default: {
      const auto type = *small_float(format);
      return type.bits == 16 ? parse_small<uint16_t>(type, text, at) : parse_small<uint8_t>(type, text, at);
    }
  }
}

/// `1+2j`, `(1+2j)`, `2j`, `1`.
Reason parse_complex(Format format, std::string_view text, uint8_t* at) {
  if (text.size() > 1 && text.front() == '(' && text.back() == ')') text = text.substr(1, text.size() - 2);
  std::string_view real = "0";
  std::string_view imaginary = "0";
  if (!text.empty() && (text.back() == 'j' || text.back() == 'J')) {
    text.remove_suffix(1);
    // The sign between the parts is the last one that is not an exponent's.
    size_t sign = text.size();
    while (sign > 0) {
      sign--;
      const bool is_sign = text[sign] == '+' || text[sign] == '-';
      if (is_sign && (sign == 0 || (text[sign - 1] != 'e' && text[sign - 1] != 'E'))) break;
    }
    if (sign > 0) real = text.substr(0, sign);
    imaginary = text.substr(sign);
    if (imaginary == "+" || imaginary.empty()) imaginary = "1";
    if (imaginary == "-") imaginary = "-1";
  } else {
    real = text;
  }
  if (const Reason reason = parse_part(format, real, at)) return reason;
  return parse_part(format, imaginary, at + format_size(format));
}

std::string quoted(std::string_view token) {
  std::string text = "'";
  for (char c : token.substr(0, 40)) text += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
  return text + (token.size() > 40 ? "…'" : "'");
}

/// Parses a text line by line.
class Parser {
 public:
  Parser(ElementType type, std::string_view text, uint8_t* elements, size_t count, const TextLayout& layout)
      : type_(type), text_(text), elements_(elements), count_(count), layout_(layout) {}

  std::optional<TextFault> parse() {
    for (size_t start = 0; start < text_.size();) {
      size_t end = text_.find('\n', start);
      if (end == text_.npos) end = text_.size();
      line_++;
      if (auto fault = parse_line(text_.substr(start, end - start))) return fault;
      start = end + 1;
    }
    if (read_ == count_) return std::nullopt;
    return fault(line_ + 1, 0, "the text ends after " + std::to_string(read_) + " of " + std::to_string(count_) + " numbers");
  }

 private:
  std::optional<TextFault> parse_line(std::string_view line) {
    size_t at = 0;
    skip_spaces(line, at);
    if (at == line.size() || line[at] == '#') return std::nullopt;
    const uint64_t expected = std::min<uint64_t>(layout_.columns, count_ - read_);
    uint64_t found = 0;
    while (true) {
      const size_t start = at;
      while (at < line.size() && !is_space(line[at]) && line[at] != ',') at++;
      const std::string_view token = line.substr(start, at - start);
      if (token.empty()) return fault(line_, start, "a number is missing");
      if (found == expected) {
        if (expected == 0) return fault(line_, start, "there are more than the " + std::to_string(count_) + " numbers of the tensor");
        return fault(line_, start, "the line has more than " + std::to_string(expected) + " numbers");
      }
      uint8_t* element = elements_ + read_ * type_.size();
      const Reason reason = type_.complex ? parse_complex(type_.format, token, element) : parse_part(type_.format, token, element);
      if (reason != kFine) return fault(line_, start, quoted(token) + " " + reason);
      found++;
      read_++;
      skip_spaces(line, at);
      if (at == line.size()) break;
      if (line[at] == ',') {
        at++;
        skip_spaces(line, at);
      }
    }
    if (found < expected) {
      return fault(line_, line.size(), "the line has " + std::to_string(found) + " numbers and not " + std::to_string(expected));
    }
    return std::nullopt;
  }

  static void skip_spaces(std::string_view line, size_t& at) {
    while (at < line.size() && is_space(line[at])) at++;
  }

  static TextFault fault(uint64_t line, size_t position, std::string reason) {
    return {line, position + 1, std::move(reason)};
  }

  const ElementType type_;
  const std::string_view text_;
  uint8_t* const elements_;
  const size_t count_;
  const TextLayout layout_;
  uint64_t line_ = 0;
  uint64_t read_ = 0;
};

/// `# [i, j, :, :]`, with an empty line before all but the first.
std::string slice_comment(const TextLayout& layout, uint64_t slice) {
  std::string indices;
  uint64_t rest = slice;
  for (size_t dim = layout.outer.size(); dim-- > 0;) {
    indices = std::to_string(rest % layout.outer[dim]) + ", " + indices;
    rest /= layout.outer[dim];
  }
  return (slice == 0 ? "# [" : "\n# [") + indices + ":, :]\n";
}

}  // namespace

std::vector<char> render_elements(ElementType type, const uint8_t* bytes, size_t count, const TextLayout& layout) {
  std::vector<char> text;
  text.resize(count * 12 + 2 * kLongestNumber);
  size_t used = 0;
  uint64_t column = 0;
  const uint64_t slice_length = layout.outer.empty() ? 0 : layout.rows * layout.columns;
  for (size_t i = 0; i < count; i++) {
    if (slice_length > 0 && i % slice_length == 0) {
      const std::string comment = slice_comment(layout, i / slice_length);
      if (text.size() - used < comment.size()) text.resize(text.size() + text.size() / 2 + comment.size());
      used = static_cast<size_t>(put(text.data() + used, comment) - text.data());
    }
    if (text.size() - used < 2 * kLongestNumber) text.resize(text.size() + text.size() / 2);
    char* out = text.data() + used;
    const uint8_t* at = bytes + i * type.size();
    char* end = type.complex ? put_complex(out, type.format, at) : put_element(out, type.format, at);
    column++;
    const bool ends = column == layout.columns || i + 1 == count;
    *end++ = ends ? '\n' : layout.separator;
    if (ends) column = 0;
    used = static_cast<size_t>(end - text.data());
  }
  text.resize(used);
  return text;
}

std::optional<TextFault> parse_elements(ElementType type, const char* text, size_t length, uint8_t* elements,
                                        size_t count, const TextLayout& layout) {
  return Parser(type, {text, length}, elements, count, layout).parse();
}

}  // namespace mlfs
