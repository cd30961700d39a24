#pragma once

#include <napi.h>

namespace mlfs {

/// Adds what compares tensors, and what looks for elements that are not finite.
void define_distance(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
