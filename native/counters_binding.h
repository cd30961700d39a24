#pragma once

#include <napi.h>

#include "session.h"

/// What a session counts, as src/storage/native.ts declares it.
namespace mlfs::counters_binding {

Napi::Object counters(Napi::Env env, Session& session);
/// {bounds: seconds, rooms: [{bytes, seconds, durations: reads that took no longer than each bound, and longer}]}
Napi::Value read_tally(Napi::Env env, Session& session);
Napi::Value open_files_by_room(Napi::Env env, Session& session);
Napi::Value take_differences(Napi::Env env, Session& session);

}  // namespace mlfs::counters_binding
