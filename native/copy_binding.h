#pragma once

#include <napi.h>

namespace mlfs {

/// cloneFile, copyFileBytes.
void define_copy(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
