// Runs a fuzz target without a fuzzer: `TARGET RUNS [SEED]` makes that many inputs from the seed, `TARGET FILE...` drives files.
// An abort or a sanitizer's report is the failure; the seed and the input's number are printed with it.

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size);

namespace {

/// What texts of numbers, and fields of messages, are made of.
const char* const kPieces[] = {"0",   "1",    "-",    "+",   ".",    "e",   "E-", "9",     "nan",   "inf", "True",
                               "j",   " ",    ",",    "\n",  "# x\n", "1e5", "65504", "255", "-128",
                               "1.7976931348623157e308",     "4.9e-324",   "9007199254740993", "0.1", "1+2j"};

std::vector<uint8_t> make_input(std::mt19937_64& random) {
  std::vector<uint8_t> input;
  const bool is_text = random() % 2 == 0;
  for (int i = 0; i < 4; i++) input.push_back(static_cast<uint8_t>(random()));
  for (size_t left = random() % (random() % 8 == 0 ? 2000 : 60); left > 0; left--) {
    if (is_text) {
      const char* piece = kPieces[random() % std::size(kPieces)];
      input.insert(input.end(), piece, piece + strlen(piece));
    } else {
      const uint64_t choice = random() % 4;
      input.push_back(choice == 0 ? 0 : choice == 1 ? 0xff : static_cast<uint8_t>(random()));
    }
  }
  return input;
}

unsigned long current_run = 0;
unsigned long current_seed = 0;

/// An abort says which input it was.
void say_which(int) {
  fprintf(stderr, "input %lu of seed %lu\n", current_run, current_seed);
  signal(SIGABRT, SIG_DFL);
  abort();
}

void run(std::vector<uint8_t> input) {
  // Without a byte to spare: a read behind the end is seen.
  input.shrink_to_fit();
  LLVMFuzzerTestOneInput(input.data(), input.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  char* end = nullptr;
  const unsigned long runs = strtoul(argv[1], &end, 10);
  if (*end != 0) {
    for (int i = 1; i < argc; i++) {
      std::ifstream file(argv[i], std::ios::binary);
      fprintf(stderr, "%s\n", argv[i]);
      run(std::vector<uint8_t>(std::istreambuf_iterator<char>(file), {}));
    }
    return 0;
  }
  const unsigned long seed = argc > 2 ? strtoul(argv[2], nullptr, 10) : 1;
  current_seed = seed;
  signal(SIGABRT, say_which);
  for (unsigned long number = 0; number < runs; number++) {
    std::seed_seq sequence{seed, number};
    std::mt19937_64 random(sequence);
    const std::vector<uint8_t> input = make_input(random);
    current_run = number;
    run(input);
  }
  printf("%s: %lu inputs of seed %lu\n", argv[0], runs, seed);
  return 0;
}
