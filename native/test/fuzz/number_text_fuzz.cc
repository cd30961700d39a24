// Texts of numbers. What is taken must be what C's own strtod, strtof and strtoll read, and its own text must read back to the same bits.

#include <cerrno>
#include <cmath>
#include <string>

#include "../../element_text.h"
#include "fuzz_input.h"

namespace {

using namespace mlfs;

/// The words of the text, as docs/FORMATS.md has it: comments and empty lines are passed over.
std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  size_t start = 0;
  while (start < text.size()) {
    size_t end = text.find('\n', start);
    if (end == text.npos) end = text.size();
    const std::string line = text.substr(start, end - start);
    const size_t first = line.find_first_not_of(" \t\r\f\v");
    if (first != line.npos && line[first] != '#') {
      std::string word;
      for (char c : line + " ") {
        if (strchr(" \t\r\f\v,", c) == nullptr) {
          word += c;
        } else if (!word.empty()) {
          words.push_back(word);
          word.clear();
        }
      }
    }
    start = end + 1;
  }
  return words;
}

template <typename T>
T load(const std::vector<uint8_t>& bytes, size_t index) {
  T value;
  memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
  return value;
}

template <typename T>
void check_float(const std::string& word, T actual) {
  char* end = nullptr;
  T expected;
  if constexpr (sizeof(T) == 8) {
    expected = strtod(word.c_str(), &end);
  } else {
    expected = strtof(word.c_str(), &end);
  }
  // C has no words for some of Python's, and none that MLFS takes are unknown to it but for these.
  if (*end != 0) return;
  HOLDS(std::isnan(expected) ? std::isnan(actual) : expected == actual && std::signbit(expected) == std::signbit(actual));
}

template <typename T>
void check_integer(const std::string& word, T actual) {
  if (word.find_first_not_of("+-0123456789") != word.npos) return;
  errno = 0;
  if constexpr (std::is_signed_v<T>) {
    HOLDS(strtoll(word.c_str(), nullptr, 10) == static_cast<long long>(actual) && errno == 0);
  } else {
    HOLDS(strtoull(word.c_str(), nullptr, 10) == static_cast<unsigned long long>(actual) && errno == 0);
  }
}

void check_word(const std::string& type, const std::string& word, const std::vector<uint8_t>& elements, size_t index) {
  if (type == "float64") check_float(word, load<double>(elements, index));
  if (type == "float32") check_float(word, load<float>(elements, index));
  if (type == "int8") check_integer(word, load<int8_t>(elements, index));
  if (type == "int16") check_integer(word, load<int16_t>(elements, index));
  if (type == "int32") check_integer(word, load<int32_t>(elements, index));
  if (type == "int64") check_integer(word, load<int64_t>(elements, index));
  if (type == "uint8") check_integer(word, load<uint8_t>(elements, index));
  if (type == "uint16") check_integer(word, load<uint16_t>(elements, index));
  if (type == "uint32") check_integer(word, load<uint32_t>(elements, index));
  if (type == "uint64") check_integer(word, load<uint64_t>(elements, index));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzInput input(bytes, size);
  const auto [name, type] = fuzzed_type(input);
  const TextLayout layout = {1 + input.below(4), input.byte() % 2 == 0 ? ' ' : ','};
  const size_t count = 1 + input.below(6);
  // Exactly as long as the text, so that a step beyond is seen.
  const std::vector<char> exact(input.rest(), input.rest() + input.left());
  std::vector<uint8_t> elements(count * type.size());
  const auto fault = parse_elements(type, exact.data(), exact.size(), elements.data(), count, layout);
  if (fault) {
    HOLDS(fault->line >= 1 && fault->column >= 1 && fault->reason.size() < 300);
    return 0;
  }
  const auto words = words_of(std::string(exact.begin(), exact.end()));
  HOLDS(words.size() == count);
  for (size_t i = 0; i < count; i++) check_word(name, words[i], elements, i);

  const std::vector<char> text = render_elements(type, elements.data(), count, layout);
  std::vector<uint8_t> same = elements;
  HOLDS(!parse_elements(type, text.data(), text.size(), same.data(), count, layout));
  HOLDS(same == elements);
  return 0;
}
