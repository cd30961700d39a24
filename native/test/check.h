#pragma once

#include <unistd.h>

#include <cstdio>

/// Ends the program with 1 if the condition does not hold. Without destructors: other threads may be running.
#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
      _exit(1);                                                                 \
    }                                                                           \
  } while (false)
