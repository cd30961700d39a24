// Arguments in, errors out for what computes with the elements of tensors.

#include "numbers_binding.h"

namespace mlfs {

void define_numbers(Napi::Env, Napi::Object) {}

}  // namespace mlfs
