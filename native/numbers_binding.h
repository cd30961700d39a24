#pragma once

#include <napi.h>

namespace mlfs {

/// Adds the functions that compute with elements of tensors: statistics and text.
void define_numbers(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
