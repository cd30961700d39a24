#pragma once

#include <napi.h>

#include <vector>

#include "file_place.h"

namespace mlfs {

/// The names of a FilePlace.
std::vector<PlacedName> names_of_place(const Napi::Value& place);

/// FilePlace.
void define_place(Napi::Env env, Napi::Object exports);

}  // namespace mlfs
