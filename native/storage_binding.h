#pragma once

#include <napi.h>

namespace mlfs {

/// scanRecords, copyRuns, crc32Differences.
void define_storage(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
