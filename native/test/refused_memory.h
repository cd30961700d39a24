#pragma once

// Replaces the allocation of a test program by one that a test can let fail. For one file of each program.

#include <cstdlib>
#include <new>

namespace {

/// While it is set, this thread gets no memory.
thread_local bool no_memory = false;
/// So many more allocations of this thread succeed; all of them if it is negative.
thread_local int allocations_left = -1;

bool is_refused() {
  if (no_memory || allocations_left == 0) return true;
  if (allocations_left > 0) allocations_left--;
  return false;
}

}  // namespace

// Not inlined: compilers that see malloc here and `delete` there warn.
[[gnu::noinline]] void* operator new(size_t bytes) {
  void* memory = is_refused() ? nullptr : malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
[[gnu::noinline]] void* operator new[](size_t bytes) { return operator new(bytes); }
[[gnu::noinline]] void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return is_refused() ? nullptr : malloc(bytes); }
[[gnu::noinline]] void* operator new[](size_t bytes, const std::nothrow_t&) noexcept { return is_refused() ? nullptr : malloc(bytes); }
[[gnu::noinline]] void operator delete(void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { free(memory); }
[[gnu::noinline]] void operator delete[](void* memory) noexcept { free(memory); }
[[gnu::noinline]] void operator delete[](void* memory, size_t) noexcept { free(memory); }
