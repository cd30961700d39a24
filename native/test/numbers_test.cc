// What computes with elements: text and back for every code of every format, broken text, statistics by many threads.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../distance.h"
#include "../element_text.h"
#include "../elements.h"
#include "../non_finite.h"
#include "../statistics.h"
#include "refused_memory.h"
#include "check.h"

namespace {

using namespace mlfs;

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
        Statistics::Block block(statistics, which, kBlock);
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

template <typename T>
T at(const std::vector<uint8_t>& bytes, size_t offset) {
  T value;
  memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// One number, decoded in the plainest way; 64-bit integers are rounded.
long double number_at(Format format, const std::vector<uint8_t>& bytes, size_t offset) {
  switch (format) {
    case Format::kFloat64: return at<double>(bytes, offset);
    case Format::kFloat32: return at<float>(bytes, offset);
    case Format::kInt8: return at<int8_t>(bytes, offset);
    case Format::kInt16: return at<int16_t>(bytes, offset);
    case Format::kInt32: return at<int32_t>(bytes, offset);
    case Format::kInt64: return at<int64_t>(bytes, offset);
    case Format::kUint8: return at<uint8_t>(bytes, offset);
    case Format::kUint16: return at<uint16_t>(bytes, offset);
    case Format::kUint32: return at<uint32_t>(bytes, offset);
    case Format::kUint64: return at<uint64_t>(bytes, offset);
    case Format::kBool: return at<uint8_t>(bytes, offset) == 0 ? 0 : 1;
    case Format::kFloat8E8m0fnu: return decode_e8m0(at<uint8_t>(bytes, offset));
    case Format::kFloat16:
    case Format::kBfloat16: return decode_small(*small_float(format), at<uint16_t>(bytes, offset));
    default: return decode_small(*small_float(format), at<uint8_t>(bytes, offset));
  }
}

enum class Mixture { kBits, kWeights, kZeros, kOneNan };

/// Elements of a kind of tensor: any bits (NaN payloads, infinities, subnormal numbers, both zeros), small floats without an exception, zeros among
/// them, or a single NaN among them.
std::vector<uint8_t> mixture(ElementType type, size_t count, Mixture kind, std::mt19937_64& random) {
  std::vector<uint8_t> bytes(count * type.size());
  for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
  if (kind == Mixture::kBits || type.complex) return bytes;
  for (size_t i = 0; i < count; i++) {
    double value = 0.02 * (1.0 + static_cast<double>(random() % 100000) / 50000) * (random() % 2 == 0 ? 1 : -1);
    if (kind == Mixture::kZeros && random() % 3 == 0) value = random() % 2 == 0 ? 0.0 : -0.0;
    if (kind == Mixture::kOneNan && i == count / 2) value = NAN;
    uint8_t* to = bytes.data() + i * type.size();
    const float narrow = static_cast<float>(value);
    if (type.format == Format::kFloat64) memcpy(to, &value, 8);
    if (type.format == Format::kFloat32) memcpy(to, &narrow, 4);
    if (const auto small = small_float(type.format)) {
      const uint32_t code = *encode_small(*small, value);
      memcpy(to, &code, type.size());
    }
  }
  return bytes;
}

bool near(long double one, long double other, long double scale) {
  return std::fabs(one - other) <= 1e-12L * scale || one == other;
}

/// The first kernels are those of the processor, the second those of every processor; both are compared with a plain loop.
void every_kernel_finds_what_a_plain_loop_finds() {
  std::mt19937_64 random(13);
  // The last one is long enough that codes of 16 bits are counted instead.
  for (const size_t count : {1, 7, 8, 2048, 2053, 530000}) {
    for (const char* name : kTypes) {
      for (const Mixture kind : {Mixture::kBits, Mixture::kWeights, Mixture::kZeros, Mixture::kOneNan}) {
        const ElementType type = *element_type(name);
        if (count > 10000 && type.size() > 4) continue;
        const std::vector<uint8_t> bytes = mixture(type, count, kind, random);
        std::vector<long double> finite;
        uint64_t zeros = 0, nans = 0, infs = 0;
        long double sum = 0, least = INFINITY, greatest = -INFINITY;
        for (size_t i = 0; i < count; i++) {
          const size_t offset = i * type.size();
          long double value = number_at(type.format, bytes, offset);
          if (type.complex) {
            value = std::hypot(static_cast<double>(value),
                               static_cast<double>(number_at(type.format, bytes, offset + type.size() / 2)));
          }
          if (std::isnan(value)) {
            nans++;
          } else if (std::isinf(value)) {
            infs++;
          } else {
            zeros += value == 0 ? 1 : 0;
            sum += value;
            least = std::min(least, value);
            greatest = std::max(greatest, value);
            finite.push_back(value);
          }
        }
        const long double mean = finite.empty() ? 0 : sum / static_cast<long double>(finite.size());
        long double squares = 0;
        for (const long double value : finite) squares += (value - mean) * (value - mean);
        for (const Kernels kernels : {Kernels::kBest, Kernels::kPlain}) {
          Statistics statistics(type, kernels);
          {
            Statistics::Block block(statistics, 0, count);
            // In two pieces, the first of which has no round number of elements.
            block.add(bytes.data(), count / 3);
            const std::vector<uint8_t> rest(bytes.begin() + static_cast<ptrdiff_t>(count / 3 * type.size()), bytes.end());
            block.add(rest.data(), count - count / 3);
          }
          const Summary found = statistics.summary();
          CHECK(found.count == count && found.zeros == zeros && found.nans == nans && found.infs == infs);
          uint64_t counted = 0;
          for (const Bucket& bucket : statistics.histogram()) {
            counted += bucket.count;
            uint64_t inside = 0;
            if (count < 10000) {
              for (const long double value : finite) {
                const auto rounded = static_cast<double>(value);
                // The largest double lies in the last bucket.
                const bool last = std::fabs(rounded) == std::numeric_limits<double>::max();
                if (bucket.from == 0 && bucket.to == 0) inside += rounded == 0 ? 1 : 0;
                else if (rounded == 0) continue;
                else if (rounded < 0) inside += (bucket.from < rounded || (last && bucket.from == rounded)) && rounded <= bucket.to && bucket.from < 0 ? 1 : 0;
                else inside += bucket.from <= rounded && (rounded < bucket.to || (last && bucket.to == rounded)) && bucket.to > 0 ? 1 : 0;
              }
              CHECK(inside == bucket.count);
            }
          }
          CHECK(counted == finite.size());
          if (finite.empty()) continue;
          CHECK(found.min == static_cast<double>(least) && found.max == static_cast<double>(greatest));
          const long double scale = std::max(std::fabs(least), std::fabs(greatest));
          CHECK(near(found.whole_mean(), mean, scale));
          const long double variance = squares / static_cast<long double>(finite.size());
          CHECK(near(found.deviation(), std::sqrt(variance), scale));
        }
      }
    }
  }
}

/// test/unit/numbers/compare.test.ts compares with TypeScript; here the sanitizers see whether a byte beyond the run is touched.
void distances_of_both_kernels_agree_and_stay_in_their_run() {
  std::mt19937_64 random(17);
  for (const char* name : kTypes) {
    const ElementType type = *element_type(name);
    for (const size_t count : {0, 1, 7, 33, 1024, 1031, 5000}) {
      for (const Mixture kind : {Mixture::kBits, Mixture::kWeights, Mixture::kZeros, Mixture::kOneNan}) {
        const std::vector<uint8_t> a = mixture(type, count, kind, random);
        std::vector<uint8_t> b = a;
        for (size_t at = 0; at < b.size(); at += 3 * type.size()) b[at] ^= 1;
        Distance best;
        Distance plain;
        add_distance(type, a.data(), b.data(), count, Kernels::kBest, best);
        add_distance(type, a.data(), b.data(), count, Kernels::kPlain, plain);
        CHECK(best.elements == (count + 2) / 3 && best.bytes == best.elements);
        CHECK(plain.elements == best.elements && plain.bytes == best.bytes && plain.measured == best.measured);
        CHECK(plain.became_non_finite == best.became_non_finite && plain.became_finite == best.became_finite);
        CHECK(plain.stayed_non_finite == best.stayed_non_finite && plain.beyond_double == best.beyond_double);
        CHECK(plain.max == best.max && plain.max_integer == best.max_integer);
        CHECK(near(plain.sum, best.sum, best.sum) && near(plain.squares, best.squares, best.squares));
        CHECK(near(plain.own_squares, best.own_squares, best.own_squares));
      }
    }
  }
}

void elements_that_are_not_finite_are_counted_as_statistics_count_them() {
  std::mt19937_64 random(19);
  for (const char* name : kTypes) {
    const ElementType type = *element_type(name);
    for (const size_t count : {0, 1, 31, 4096, 9001}) {
      for (const Mixture kind : {Mixture::kBits, Mixture::kWeights, Mixture::kOneNan}) {
        const std::vector<uint8_t> bytes = mixture(type, count, kind, random);
        Statistics statistics(type);
        {
          Statistics::Block block(statistics, 0, count);
          block.add(bytes.data(), count);
        }
        NonFinite found;
        count_non_finite(type, bytes.data(), count, found);
        CHECK(found.nans == statistics.summary().nans && found.infs == statistics.summary().infs);
      }
    }
  }
}

void where_memory_runs_out_a_block_fails_and_the_others_count() {
  for (const char* name : {"float32", "bfloat16", "uint8"}) {
    const ElementType type = *element_type(name);
    constexpr size_t kCount = 1 << 19;
    const std::vector<uint8_t> bytes(kCount * type.size(), 1);
    int failures = 0;
    for (int allocations = 0;; allocations++) {
      CHECK(allocations < 100);
      Statistics statistics(type);
      { Statistics::Block(statistics, 0, kCount).add(bytes.data(), kCount); }
      bool failed = false;
      allocations_left = allocations;
      try {
        // The second is the one that needs counters of its own.
        Statistics::Block block(statistics, 1, kCount);
        Statistics::Block other(statistics, 2, kCount);
        other.add(bytes.data(), kCount);
      } catch (const std::bad_alloc&) {
        failed = true;
      }
      allocations_left = -1;
      CHECK(statistics.summary().count == (failed ? kCount : 2 * kCount));
      if (!failed) break;
      failures++;
    }
    CHECK(failures > 2);
  }
}

}  // namespace

int main() {
  every_text_reads_back_to_the_bits_it_was_made_of();
  broken_text_is_refused_and_never_read_beyond();
  statistics_do_not_depend_on_the_order_of_blocks();
  every_kernel_finds_what_a_plain_loop_finds();
  distances_of_both_kernels_agree_and_stay_in_their_run();
  elements_that_are_not_finite_are_counted_as_statistics_count_them();
  where_memory_runs_out_a_block_fails_and_the_others_count();
  return 0;
}
