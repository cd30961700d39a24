#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../../elements.h"

/// What a fuzzer must hold; a sanitizer or the fuzzer itself reports the abort with the input.
#define HOLDS(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition); \
      abort();                                                                  \
    }                                                                           \
  } while (false)

/// An input as a row of numbers; behind its end come zeros.
class FuzzInput {
 public:
  FuzzInput(const uint8_t* bytes, size_t size) : bytes_(bytes), left_(size) {}

  uint8_t byte() {
    if (left_ == 0) return 0;
    left_--;
    return *bytes_++;
  }
  uint64_t number(size_t width) {
    uint64_t value = 0;
    for (size_t i = 0; i < width; i++) value |= uint64_t{byte()} << (8 * i);
    return value;
  }
  /// From 0 to `limit` - 1.
  uint64_t below(uint64_t limit) { return limit <= 1 ? 0 : number(limit > 65536 ? 8 : limit > 256 ? 2 : 1) % limit; }
  size_t left() const { return left_; }
  const uint8_t* rest() const { return bytes_; }
  void skip(size_t count) {
    bytes_ += count;
    left_ -= count;
  }

 private:
  const uint8_t* bytes_;
  size_t left_;
};

inline constexpr const char* kFuzzedTypes[] = {
    "float64",         "float32",       "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz",
    "float8_e5m2fnuz", "float8_e8m0fnu", "int8",   "int16",    "int32",         "int64",       "uint8",
    "uint16",          "uint32",        "uint64",  "bool",     "complex32",     "complex64",   "complex128"};

struct FuzzedType {
  const char* name;
  mlfs::ElementType type;
};

inline FuzzedType fuzzed_type(FuzzInput& input) {
  const char* name = kFuzzedTypes[input.below(std::size(kFuzzedTypes))];
  return {name, *mlfs::element_type(name)};
}
