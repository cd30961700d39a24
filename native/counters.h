#pragma once

#include <atomic>
#include <cstdint>

#include "answer_tally.h"
#include "read_tally.h"

namespace mlfs {

/// Monotonic counters with relaxed ordering: for people and graphs, never for decisions.
struct Counters {
  std::atomic<uint64_t> requests{0};          ///< messages read from the device
  std::atomic<uint64_t> forwarded{0};         ///< of those, handed to the control plane
  ReadTally native_reads;                     ///< READs answered here
  std::atomic<uint64_t> native_read_errors{0};
  std::atomic<uint64_t> native_writes{0};      ///< WRITEs carried out here
  AnswerTally answers;                        ///< other requests answered here
  std::atomic<uint64_t> near_periods{0};        ///< times a lone reader was served from its own processor
};

}  // namespace mlfs
