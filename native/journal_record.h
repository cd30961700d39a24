#pragma once

#include <cstddef>
#include <cstdint>

namespace mlfs {

/// The header of a record of the journal (docs/FORMATS.md); src/storage/journal/record.ts writes the same bytes.
constexpr size_t kRecordHeaderBytes = 40;

/// Writes the header of a record of kind 1 (write), outside of a batch. `durable`: every record up to this one was durable.
void encode_write_record(uint8_t header[kRecordHeaderBytes], uint64_t sequence, uint64_t offset, const uint8_t* payload, uint32_t length,
                         uint64_t durable);

}  // namespace mlfs
