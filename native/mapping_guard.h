#pragma once

namespace mlfs {

/// Sees to it that a SIGBUS in a registered mapping is answered with zeros. Every call looks whether the handler is still the first one, and
/// puts it in front again if it is not; after eight times it leaves that alone. Returns 0 or an errno.
int guard_mappings();

}  // namespace mlfs
