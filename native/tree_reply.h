#pragma once

#include <linux/fuse.h>

#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>
#include <vector>

namespace mlfs {

/// One whole reply that is put together from its parts, header first. It is reused from request to request.
class TreeReply {
 public:
  void begin(uint64_t unique) {
    bytes_.clear();
    fuse_out_header header = {};
    header.unique = unique;
    add(header);
  }

  template <class Part>
  void add(const Part& part) {
    static_assert(std::is_trivially_copyable_v<Part>);
    const auto* from = reinterpret_cast<const uint8_t*>(&part);
    bytes_.insert(bytes_.end(), from, from + sizeof part);
  }

  /// The bytes of a name, then zeroes up to a multiple of 8.
  void add_aligned(std::string_view name) {
    bytes_.insert(bytes_.end(), name.begin(), name.end());
    bytes_.resize(bytes_.size() + (FUSE_DIRENT_ALIGN(name.size()) - name.size()));
  }

  /// Writes the length, and the error (0 or a positive errno), into the header.
  void end(int error = 0) {
    fuse_out_header header;
    error_ = error;
    memcpy(&header, bytes_.data(), sizeof header);
    header.len = static_cast<uint32_t>(bytes_.size());
    header.error = -error;
    memcpy(bytes_.data(), &header, sizeof header);
  }

  size_t body_bytes() const { return bytes_.size() - sizeof(fuse_out_header); }
  /// What `end` was called with.
  int error() const { return error_; }
  const uint8_t* data() const { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }

 private:
  std::vector<uint8_t> bytes_;
  int error_ = 0;
};

}  // namespace mlfs
