// What computes with elements: text and back for every code of every format, broken text, statistics by many threads.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../element_text.h"
#include "../elements.h"
#include "../statistics.h"

namespace {

using namespace mlfs;

#define CHECK(condition)                                                      \
  do {                                                                        \
    if (!(condition)) {                                                       \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                                \
    }                                                                         \
  } while (false)

constexpr const char* kTypes[] = {"float64",       "float32",     "float16",         "bfloat16",        "float8_e4m3fn",
                                  "float8_e5m2",   "int8",        "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu",
                                  "int16",         "int32",       "int64",           "uint8",           "uint16",
                                  "uint32",        "uint64",      "bool",            "complex32",       "complex64",
                                  "complex128"};

void every_text_reads_back_to_the_bits_it_was_made_of() {
  std::mt19937_64 random(7);
  for (const char* name : kTypes) {
    const ElementType type = *element_type(name);
    const size_t count = type.size() == 1 ? 256 : 65536;
    std::vector<uint8_t> bytes(count * type.size());
    for (size_t i = 0; i < count; i++) {
      const uint64_t bits = type.size() <= 2 ? i : random();
      for (size_t at = 0; at < type.size(); at++) {
        bytes[i * type.size() + at] = static_cast<uint8_t>((at < 8 ? bits >> (8 * at) : random()) & 0xff);
      }
    }
    const TextLayout layout = {10, ','};
    const std::vector<char> text = render_elements(type, bytes.data(), count, layout);
    std::vector<uint8_t> same = bytes;
    CHECK(!parse_elements(type, text.data(), text.size(), same.data(), count, layout));
    CHECK(same == bytes);
  }
}

void broken_text_is_refused_and_never_read_beyond() {
  std::mt19937_64 random(11);
  const std::string alphabet = "0123456789.eE+-jnaif(), \n\t#\r";
  for (const char* name : kTypes) {
    const ElementType type = *element_type(name);
    for (int round = 0; round < 2000; round++) {
      std::string text;
      for (size_t length = random() % 24; text.size() < length;) text += alphabet[random() % alphabet.size()];
      // Exactly as long as the text: the sanitizer sees a step beyond.
      const std::vector<char> exact(text.begin(), text.end());
      std::vector<uint8_t> elements(3 * type.size());
      parse_elements(type, exact.data(), exact.size(), elements.data(), 3, {1 + random() % 3, ' '});
    }
  }
}

void statistics_do_not_depend_on_the_order_of_blocks() {
  std::vector<float> values(100000);
  for (size_t i = 0; i < values.size(); i++) values[i] = std::sin(static_cast<float>(i)) * 100;
  values[5] = NAN;
  values[70000] = INFINITY;
  values[9] = 1e-41F;
  static constexpr size_t kBlock = 10000;
  auto compute = [&](bool backwards) {
    Statistics statistics(*element_type("float32"));
    std::vector<std::thread> threads;
    for (size_t block = 0; block < values.size() / kBlock; block++) {
      const size_t which = backwards ? values.size() / kBlock - 1 - block : block;
      threads.emplace_back([&statistics, &values, which] {
        Statistics::Block block(statistics, which);
        block.add(reinterpret_cast<const uint8_t*>(values.data() + which * kBlock), kBlock / 2);
        block.add(reinterpret_cast<const uint8_t*>(values.data() + which * kBlock + kBlock / 2), kBlock / 2);
      });
    }
    for (auto& thread : threads) thread.join();
    uint64_t counted = 0;
    for (const Bucket& bucket : statistics.histogram()) {
      CHECK(bucket.from <= bucket.to);
      counted += bucket.count;
    }
    CHECK(counted == values.size() - 2);
    return statistics.summary();
  };
  const Summary one = compute(false);
  const Summary other = compute(true);
  CHECK(one.nans == 1 && one.infs == 1 && one.zeros == 1);
  CHECK(one.mean == other.mean && one.squares == other.squares && one.min == other.min && one.max == other.max);
}

}  // namespace

int main() {
  every_text_reads_back_to_the_bits_it_was_made_of();
  broken_text_is_refused_and_never_read_beyond();
  statistics_do_not_depend_on_the_order_of_blocks();
  return 0;
}
