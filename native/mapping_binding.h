#pragma once

#include <napi.h>

namespace mlfs {

/// Adds the class of mapped ranges of files.
void define_mapping(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
