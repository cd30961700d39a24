#pragma once

#include <napi.h>

#include <memory>

#include "view_opens.h"

namespace mlfs {

/// The kernel view of one tree, as JavaScript has it.
class NativeKernelView : public Napi::ObjectWrap<NativeKernelView> {
 public:
  static void Define(Napi::Env env, Napi::Object exports);
  /// `expectView(first, end)` of a session.
  static Napi::Value Expect(const Napi::CallbackInfo& info, std::shared_ptr<ViewOpens> opens);

  explicit NativeKernelView(const Napi::CallbackInfo& info);

 private:
  Napi::Value Select(const Napi::CallbackInfo& info);
  Napi::Value Attach(const Napi::CallbackInfo& info);
  void StopWaiting(const Napi::CallbackInfo& info);
  void Suspend(const Napi::CallbackInfo& info);
  void End(const Napi::CallbackInfo& info);

  std::shared_ptr<ViewOpens> opens_;
  std::shared_ptr<KernelView> view_;
};

/// The counters of `opens`, by the names of the metrics.
void set_view_counters(Napi::Object result, const ViewOpens::Counters& counters);

}  // namespace mlfs
