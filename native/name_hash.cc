#include "name_hash.h"

#include <sys/random.h>

#include <bit>
#include <cstring>
#include <random>

namespace mlfs {

namespace {

struct Key {
  uint64_t first;
  uint64_t second;
};

Key random_key() {
  Key key;
  if (getrandom(&key, sizeof key, GRND_NONBLOCK) == sizeof key) return key;
  std::random_device device;
  return {uint64_t{device()} << 32 | device(), uint64_t{device()} << 32 | device()};
}

struct State {
  uint64_t a, b, c, d;

  void round() {
    a += b;
    b = std::rotl(b, 13) ^ a;
    a = std::rotl(a, 32);
    c += d;
    d = std::rotl(d, 16) ^ c;
    a += d;
    d = std::rotl(d, 21) ^ a;
    c += b;
    b = std::rotl(b, 17) ^ c;
    c = std::rotl(c, 32);
  }

  void take(uint64_t word) {
    d ^= word;
    round();
    a ^= word;
  }
};

}  // namespace

uint64_t name_hash(std::string_view name) {
  static const Key key = random_key();
  State state = {key.first ^ 0x736f6d6570736575, key.second ^ 0x646f72616e646f6d, key.first ^ 0x6c7967656e657261,
                 key.second ^ 0x7465646279746573};
  const char* at = name.data();
  size_t left = name.size();
  for (; left >= 8; at += 8, left -= 8) {
    uint64_t word;
    memcpy(&word, at, 8);
    state.take(word);
  }
  uint64_t last = 0;
  if (left > 0) memcpy(&last, at, left);
  state.take(last | uint64_t{name.size()} << 56);
  state.c ^= 0xff;
  for (int i = 0; i < 3; i++) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

}  // namespace mlfs
