#include "backing_file.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>

namespace mlfs {

namespace {

/// A stream counts as sequential after this many requests in a row, so that random readers cost nothing.
constexpr uint32_t kSequentialAfter = 2;
/// How far ahead of a sequential reader the disk is kept busy.
constexpr uint64_t kReadaheadBytes = uint64_t{4} << 20;
/// The kernel's own readahead sends several requests at once and they may arrive in any order: this far off is in step.
constexpr uint64_t kReorderBytes = uint64_t{8} << 20;

}  // namespace

BackingFile::BackingFile(Descriptor fd, uint64_t size, MappingBudget& budget)
    : fd_(std::move(fd)), size_(size), budget_(budget) {}

BackingFile::~BackingFile() { budget_.forget(*this); }

void BackingFile::advise_read(uint64_t offset, uint64_t length, Counters& counters) {
  uint64_t advise_from = 0;
  uint64_t advise_to = 0;
  {
    std::lock_guard lock(streams_mutex_);
    Stream* stream = nullptr;
    Stream* oldest = &streams_[0];
    for (Stream& candidate : streams_) {
      bool in_step = candidate.run > 0 && offset + kReorderBytes >= candidate.next &&
                     offset <= candidate.next + kReorderBytes;
      bool follows = offset == candidate.next && candidate.next != 0;
      if (follows || (in_step && candidate.run >= kSequentialAfter && length >= 65536)) {
        stream = &candidate;
        break;
      }
      if (candidate.used_at < oldest->used_at) oldest = &candidate;
    }
    if (stream == nullptr) {
      *oldest = Stream{.next = offset + length, .advised_to = 0, .run = 1, .used_at = ++stream_clock_};
      return;
    }
    stream->next = std::max(stream->next, offset + length);
    stream->used_at = ++stream_clock_;
    stream->run++;
    if (stream->run < kSequentialAfter) return;
    // Ask again when half of what was asked for is used up.
    uint64_t from = std::max(stream->advised_to, stream->next);
    if (from > stream->next + kReadaheadBytes / 2 || from >= size_) return;
    advise_from = from;
    advise_to = std::min(size_, stream->next + kReadaheadBytes);
    stream->advised_to = advise_to;
  }
  if (advise_to <= advise_from) return;
  posix_fadvise(fd_.get(), static_cast<off_t>(advise_from), static_cast<off_t>(advise_to - advise_from),
                POSIX_FADV_WILLNEED);
  counters.readahead_bytes.fetch_add(advise_to - advise_from, std::memory_order_relaxed);
}

MappingBudget::MappingBudget(uint64_t budget_bytes, Counters& counters)
    : budget_bytes_(std::max(budget_bytes, kWindowBytes)), counters_(counters) {}

MappingBudget::Pin::Pin(Pin&& other) noexcept
    : budget_(other.budget_), window_(std::exchange(other.window_, nullptr)) {}

MappingBudget::Pin& MappingBudget::Pin::operator=(Pin&& other) noexcept {
  if (this != &other) {
    if (window_ != nullptr) budget_->unpin(window_);
    budget_ = other.budget_;
    window_ = std::exchange(other.window_, nullptr);
  }
  return *this;
}

MappingBudget::Pin::~Pin() {
  if (window_ != nullptr) budget_->unpin(window_);
}

MappingBudget::Pin MappingBudget::pin(BackingFile& file, uint64_t offset) {
  uint64_t start = offset - offset % kWindowBytes;
  std::lock_guard lock(mutex_);
  auto found = file.windows_.find(start);
  if (found != file.windows_.end()) {
    found->second->pins++;
    found->second->referenced = true;
    return Pin(this, found->second.get());
  }
  size_t length = static_cast<size_t>(std::min(kWindowBytes, file.size_ - start));
  make_room(length);
  void* address = mmap(nullptr, length, PROT_READ, MAP_SHARED, file.fd(), static_cast<off_t>(start));
  if (address == MAP_FAILED) return Pin();
  // A default mapping reads 128 KiB around every fault: 32 times what a random reader asks for.
  madvise(address, length, MADV_RANDOM);
  auto window = std::make_unique<Window>(Window{.address = address, .offset = start, .length = length, .pins = 1});
  Window* raw = window.get();
  file.windows_.emplace(start, std::move(window));
  clock_.insert(hand_, Held{&file, raw});
  mapped_bytes_ += length;
  counters_.windows_mapped.fetch_add(1, std::memory_order_relaxed);
  return Pin(this, raw);
}

uint64_t MappingBudget::mapped_bytes() const {
  std::lock_guard lock(mutex_);
  return mapped_bytes_;
}

void MappingBudget::unpin(Window* window) {
  std::lock_guard lock(mutex_);
  window->pins--;
}

void MappingBudget::make_room(uint64_t wanted) {
  // Two rounds: the first may only clear the marks.
  size_t steps = clock_.size() * 2;
  while (mapped_bytes_ + wanted > budget_bytes_ && steps-- > 0 && !clock_.empty()) {
    if (hand_ == clock_.end()) hand_ = clock_.begin();
    Window* window = hand_->window;
    if (window->pins > 0) {
      ++hand_;
      continue;
    }
    if (window->referenced) {
      window->referenced = false;
      ++hand_;
      continue;
    }
    munmap(window->address, window->length);
    mapped_bytes_ -= window->length;
    counters_.windows_unmapped.fetch_add(1, std::memory_order_relaxed);
    hand_->file->windows_.erase(window->offset);
    hand_ = clock_.erase(hand_);
  }
}

void MappingBudget::forget(BackingFile& file) {
  std::lock_guard lock(mutex_);
  for (auto held = clock_.begin(); held != clock_.end();) {
    if (held->file != &file) {
      ++held;
      continue;
    }
    munmap(held->window->address, held->window->length);
    mapped_bytes_ -= held->window->length;
    if (hand_ == held) ++hand_;
    held = clock_.erase(held);
  }
  file.windows_.clear();
}

}  // namespace mlfs
