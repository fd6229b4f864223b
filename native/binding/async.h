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
  AsyncCall(Napi::Env env, napi_deferred deferred, Work work, Convert convert)
      : Napi::AsyncWorker(env, "cgroup-oom"),
        deferred_(deferred),
        work_(std::move(work)),
        convert_(std::move(convert)) {}

 private:
  void Execute() override { status_ = work_(value_); }
  void OnOK() override {
    Napi::HandleScope scope(Env());
    if (status_.ok()) {
      napi_resolve_deferred(Env(), deferred_, convert_(Env(), value_));
    } else {
      napi_reject_deferred(Env(), deferred_, to_error(Env(), status_).Value());
    }
  }

  napi_deferred deferred_;
  Work work_;
  Convert convert_;
  T value_{};
  Status status_;
};

// Empty in an environment that is being terminated: it gives no promise any more, and
// Napi::Promise::Deferred would hand out one that was never made.
template <class T, class Work, class Convert>
Napi::Value run_async(Napi::Env env, Work work, Convert convert) {
  napi_deferred deferred;
  napi_value promise;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) return {};
  auto* call = new AsyncCall<T, Work, Convert>(env, deferred, std::move(work), std::move(convert));
  call->Queue();
  return {env, promise};
}

}  // namespace oom::binding
