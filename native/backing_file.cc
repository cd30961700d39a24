#include "backing_file.h"

#include <sys/mman.h>

#include <algorithm>

namespace mlfs {

BackingFile::BackingFile(Descriptor fd, uint64_t size, MappingBudget& budget)
    : fd_(std::move(fd)), size_(size), budget_(budget) {}

BackingFile::~BackingFile() { budget_.forget(*this); }

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
  // No advice: only large requests come here, and for those the kernel's own read-around reads a cold disk at full speed.
  // MADV_RANDOM with WILLNEED ahead reached half of it, MADV_SEQUENTIAL a third.
  if (address == MAP_FAILED) return Pin();
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
