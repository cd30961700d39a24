// Elements of any bits: their text reads back to the same bits, and rounding to a small format takes the nearest of its values.

#include <cmath>

#include "../../element_text.h"
#include "fuzz_input.h"

namespace {

using namespace mlfs;

void check_rounding(Format format, double value) {
  const auto type = small_float(format);
  if (!type || std::isnan(value)) return;
  const auto code = encode_small(*type, value);
  if (!code) return;
  HOLDS(*code < uint32_t{1} << type->bits);
  const double rounded = decode_small(*type, *code);
  HOLDS(!std::isnan(rounded));
  HOLDS(rounded == 0 || std::signbit(rounded) == std::signbit(value));
  if (std::isinf(rounded)) return;
  // The values right above and below are not nearer.
  const uint32_t sign = uint32_t{1} << (type->bits - 1);
  const uint32_t magnitude = *code & ~sign;
  for (const int step : {-1, 1}) {
    if (magnitude == 0 && step < 0) continue;
    const double next = decode_small(*type, (*code & sign) | (magnitude + static_cast<uint32_t>(step)));
    if (std::isfinite(next)) HOLDS(std::fabs(rounded - value) <= std::fabs(next - value));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzInput input(bytes, size);
  const auto [name, type] = fuzzed_type(input);
  TextLayout layout = {1 + input.below(5), input.byte() % 2 == 0 ? ' ' : ','};
  if (input.byte() % 4 == 0) {
    layout.outer = {1 + input.below(3), 1 + input.below(3)};
    layout.rows = 1 + input.below(3);
  }
  const double value = [&] {
    const uint64_t bits = input.number(8);
    double result;
    memcpy(&result, &bits, sizeof result);
    return result;
  }();
  check_rounding(type.format, value);

  const size_t count = input.left() / type.size();
  std::vector<uint8_t> elements(input.rest(), input.rest() + count * type.size());
  const std::vector<char> text = render_elements(type, elements.data(), count, layout);
  std::vector<uint8_t> same = elements;
  HOLDS(!parse_elements(type, text.data(), text.size(), same.data(), count, {layout.columns, layout.separator}));
  HOLDS(same == elements);
  for (const char c : text) HOLDS(c == '\n' || (c >= ' ' && c <= '~'));
  return 0;
}
