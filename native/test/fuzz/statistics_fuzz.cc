// Statistics of any bits in any division into blocks, against sums of long doubles.

#include <algorithm>
#include <cmath>

#include "../../statistics.h"
#include "fuzz_input.h"

namespace {

using namespace mlfs;

void check_doubles(const std::vector<double>& values, const Summary& summary) {
  long double sum = 0;
  uint64_t finite = 0;
  double least = INFINITY;
  double most = -INFINITY;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    finite++;
    sum += value;
    least = std::min(least, value);
    most = std::max(most, value);
  }
  HOLDS(summary.finite() == finite);
  if (finite == 0) return;
  HOLDS(summary.min == least && summary.max == most);
  // Where sums fit into a double.
  const double scale = std::max(std::fabs(least), std::fabs(most));
  if (scale > 1e100 || (scale != 0 && scale < 1e-100)) return;
  HOLDS(std::fabs(summary.mean - static_cast<double>(sum / finite)) <= 1e-9 * scale);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  FuzzInput input(bytes, size);
  const auto [name, type] = fuzzed_type(input);
  const size_t block_elements = 1 + input.below(64);
  const size_t count = input.left() / type.size();
  const std::vector<uint8_t> elements(input.rest(), input.rest() + count * type.size());

  Statistics statistics(type);
  for (size_t first = 0, number = 0; first < count; first += block_elements, number++) {
    const size_t many = std::min(block_elements, count - first);
    // As malloc aligns.
    const std::vector<uint8_t> block(elements.begin() + static_cast<ptrdiff_t>(first * type.size()),
                                     elements.begin() + static_cast<ptrdiff_t>((first + many) * type.size()));
    Statistics::Block tally(statistics, number, many);
    tally.add(block.data(), many);
  }
  const Summary summary = statistics.summary();
  HOLDS(summary.count == count);
  HOLDS(summary.nans + summary.infs <= count && summary.zeros <= summary.finite());
  if (summary.finite() > 0) HOLDS(summary.min <= summary.max && !std::isnan(summary.min));
  uint64_t counted = 0;
  double last = -INFINITY;
  for (const Bucket& bucket : statistics.histogram()) {
    HOLDS(bucket.count > 0 && bucket.from <= bucket.to && bucket.from >= last);
    last = bucket.from;
    counted += bucket.count;
  }
  HOLDS(counted == summary.finite());
  if (type.format == Format::kFloat64 && !type.complex) {
    std::vector<double> values(count);
    if (count > 0) memcpy(values.data(), elements.data(), count * sizeof(double));
    check_doubles(values, summary);
  }
  return 0;
}
