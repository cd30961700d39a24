#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "elements.h"

namespace mlfs {

/// Elements in lines: so many a line, a separator between them, a newline after each line.
struct TextLayout {
  uint64_t columns;
  char separator;
  /// Of more than two dimensions: those before the last two. Each of their slices begins with a comment that names it, `# [i, j, :, :]`.
  std::vector<uint64_t> outer = {};
  /// Lines a slice.
  uint64_t rows = 0;
};

/// The shortest decimal text of each element that reads back to the same value.
std::vector<char> render_elements(ElementType type, const uint8_t* bytes, size_t count, const TextLayout& layout);

struct TextFault {
  uint64_t line;
  uint64_t column;
  std::string reason;
};

/// Reads `count` elements into `elements`, which holds the present ones: a NaN where a NaN is keeps its bits.
std::optional<TextFault> parse_elements(ElementType type, const char* text, size_t length, uint8_t* elements,
                                        size_t count, const TextLayout& layout);

}  // namespace mlfs
