// Runs a core call that may sleep on libuv's thread pool and settles a promise with what it gave.
//
// Life cycle: run_async (environment's thread) → Execute (pool thread, `work` only) → OnOK
// (environment's thread, `convert` or reject) → deleted by node-addon-api. When the environment
// ends first, Execute has finished or is never run, and OnOK does not come.
#pragma once

#include <utility>

#include "binding/addon.h"
#include "binding/convert.h"

namespace oom::binding {

// Work: Status (T&), on the pool. Convert: Napi::Value (Napi::Env, T&), on the environment's
// thread.
template <class T, class Work, class Convert>
class AsyncCall final : public Napi::AsyncWorker {
 public:
  AsyncCall(Napi::Env env, Work work, Convert convert)
      : Napi::AsyncWorker(env, "cgroup-oom"),
        deferred_(Napi::Promise::Deferred::New(env)),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 private:
  void Execute() override { status_ = work_(value_); }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (status_.ok()) {
      deferred_.Resolve(convert_(Env(), value_));
    } else {
      deferred_.Reject(to_error(Env(), status_).Value());
    }
  }

  Napi::Promise::Deferred deferred_;
  Work work_;
  Convert convert_;
  T value_{};
  Status status_;
};

template <class T, class Work, class Convert>
Napi::Promise run_async(Napi::Env env, Work work, Convert convert) {
  auto* call = new AsyncCall<T, Work, Convert>(env, std::move(work), std::move(convert));
  Napi::Promise promise = call->promise();
  call->Queue();
  return promise;
}

}  // namespace oom::binding
