#pragma once

#include <cstdint>
#include <string_view>

namespace mlfs {

/// A hash of a name under a key that is random in every process (SipHash-1-3): a checkpoint cannot choose names that collide.
uint64_t name_hash(std::string_view name);

}  // namespace mlfs
