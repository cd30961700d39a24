#pragma once

#include <napi.h>

namespace mlfs {

/// FilePlace.
void define_place(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
