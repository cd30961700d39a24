#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "elements.h"

namespace mlfs {

/// Lays out elements in lines: `columns` per line, separated by `separator`, with a newline after each line.
struct TextLayout {
  uint64_t columns;
  char separator;
  /// For more than two dimensions, the sizes of all but the last two. Each slice begins with a comment that names it, `# [i, j, :, :]`.
  std::vector<uint64_t> outer = {};
  /// Lines per slice.
  uint64_t rows = 0;
};

/// The shortest decimal text of each element that reads back to the same value.
std::vector<char> render_elements(ElementType type, const uint8_t* bytes, size_t count, const TextLayout& layout);

struct TextFault {
  uint64_t line;
  uint64_t column;
  std::string reason;
};

/// Parses `count` elements into `elements`, which holds the present ones: a NaN that replaces a NaN keeps the present bits.
std::optional<TextFault> parse_elements(ElementType type, const char* text, size_t length, uint8_t* elements,
                                        size_t count, const TextLayout& layout);

}  // namespace mlfs
