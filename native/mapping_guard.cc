// The handler of SIGBUS. Everything it calls is async-signal-safe: fstat(2), mmap(2), sigaction(2), raise(3), and atomics.
//
// A handler that was installed after ours, and hands on to it, would be called by ours for ever if the same function were put in front of it once
// more. So each installation is a function of its own, a *layer*, that hands on to what it replaced and to nothing else.

#include "mapping_guard.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <new>
#include <utility>

#include "mapping_registry.h"

namespace mlfs {
namespace {

constexpr size_t kLayers = 8;

struct Layer {
  struct sigaction replaced;
  /// Set once `replaced` ran with SA_RESETHAND: its disposition is the default from then on.
  std::atomic<bool> reset{false};
};

constinit std::array<std::atomic<Layer*>, kLayers> layers{};
// Never freed: a handler may be called at any time. Guarded by the mutex.
constinit size_t layer_count = 0;
constinit std::mutex mutex;

/// By system call: the pages are swapped in one step, while other threads read them, and a thread sanitizer would take mmap(3) for a write.
bool place_zeros(uintptr_t from, uintptr_t to, bool writable) {
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  return syscall(SYS_mmap, from, to - from, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0L) != -1;
}

/// Puts zeros where the file is gone. All pages behind the file's end at once: one fault and one more mapping in the kernel, however many pages
/// are gone. A page that the file has and that cannot be read (an error of the disk) is replaced alone.
bool absorb(uintptr_t address) {
  MappedRange range;
  MappingSlot* slot = find_mapping(address, range);
  if (slot == nullptr) return false;
  const auto page_size = static_cast<uintptr_t>(getpagesize());
  uintptr_t from = address - address % page_size;
  uintptr_t to = from + page_size;
  struct stat now;
  const bool known = fstat(range.fd, &now) == 0;
  const auto file_size = known ? static_cast<uint64_t>(now.st_size) : 0;
  const uint64_t present = file_size > range.file_offset ? file_size - range.file_offset : 0;
  if (present <= from - range.begin) {
    from = range.begin + (present + page_size - 1) / page_size * page_size;
    to = range.end;
  }
  // Before the zeros can be seen.
  slot->torn.store(true);
  // The kernel may refuse to cut a mapping in two, because the process has too many; it can always replace a whole one.
  return place_zeros(from, to, range.writable) || place_zeros(range.begin, range.end, range.writable);
}

/// Ends the process as if there had never been a handler: a fault happens again when the handler returns, a signal that was sent is sent again.
void act_by_default(const siginfo_t* info) {
  struct sigaction default_action = {};
  default_action.sa_handler = SIG_DFL;
  sigaction(SIGBUS, &default_action, nullptr);
  if (info == nullptr || info->si_code <= 0) raise(SIGBUS);
}

void hand_on(Layer& layer, int signal, siginfo_t* info, void* context) {
  const struct sigaction& next = layer.replaced;
  const bool sent = info != nullptr && info->si_code <= 0;
  // The kernel ignores no fault either: the instruction could not go on.
  if (next.sa_handler == SIG_IGN && sent) return;
  if (next.sa_handler == SIG_IGN || next.sa_handler == SIG_DFL || layer.reset.load()) return act_by_default(info);
  if ((next.sa_flags & SA_RESETHAND) != 0) layer.reset.store(true);
  if ((next.sa_flags & SA_SIGINFO) != 0) {
    next.sa_sigaction(signal, info, context);
  } else {
    next.sa_handler(signal);
  }
}

template <size_t Index>
void on_sigbus(int signal, siginfo_t* info, void* context) {
  const int saved = errno;
  const bool faulted = info != nullptr && info->si_code == BUS_ADRERR;
  if (!faulted || !absorb(reinterpret_cast<uintptr_t>(info->si_addr))) {
    if (Layer* layer = layers[Index].load(); layer != nullptr) hand_on(*layer, signal, info, context);
  }
  errno = saved;
}

using Handler = void (*)(int, siginfo_t*, void*);

template <size_t... Index>
constexpr std::array<Handler, kLayers> handlers_of(std::index_sequence<Index...>) {
  return {on_sigbus<Index>...};
}

constexpr std::array<Handler, kLayers> kHandlers = handlers_of(std::make_index_sequence<kLayers>());

bool is_guard(const struct sigaction& action) {
  if ((action.sa_flags & SA_SIGINFO) == 0) return false;
  for (Handler handler : kHandlers) {
    if (action.sa_sigaction == handler) return true;
  }
  return false;
}

}  // namespace

int guard_mappings() {
  std::lock_guard lock(mutex);
  struct sigaction present;
  if (sigaction(SIGBUS, nullptr, &present) != 0) return errno;
  if (is_guard(present) || layer_count == kLayers) return 0;
  auto* layer = new (std::nothrow) Layer{.replaced = present};
  if (layer == nullptr) return ENOMEM;
  // Known before the handler is: it may run at once.
  layers[layer_count].store(layer);
  struct sigaction guard = {};
  guard.sa_sigaction = kHandlers[layer_count];
  // As the handler asked for to which signals are handed on; on the thread's signal stack, if it has one.
  guard.sa_mask = present.sa_mask;
  guard.sa_flags = SA_SIGINFO | SA_ONSTACK | (present.sa_flags & (SA_NODEFER | SA_RESTART));
  if (sigaction(SIGBUS, &guard, nullptr) != 0) return errno;
  layer_count++;
  return 0;
}

}  // namespace mlfs
