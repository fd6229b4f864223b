// Ballast: a core Ballast owned by a JavaScript object (MemoryReserve). Environment's thread only;
// unmapped by close(), by GC or with the environment.
#include "core/prepared/ballast.h"

#include "binding/addon.h"
#include "binding/convert.h"

namespace oom::binding {

namespace {

class BallastObject final : public Napi::ObjectWrap<BallastObject> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Ballast",
                       {InstanceAccessor<&BallastObject::size>("size"),
                        InstanceAccessor<&BallastObject::resident>("resident"),
                        InstanceMethod<&BallastObject::release>("release"),
                        InstanceMethod<&BallastObject::refill>("refill"),
                        InstanceMethod<&BallastObject::close>("close")});
  }

  explicit BallastObject(const Napi::CallbackInfo& info) : Napi::ObjectWrap<BallastObject>(info) {
    const auto bytes = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
    throw_if_failed(info.Env(), ballast_.open(bytes));
  }

 private:
  Napi::Value size(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(ballast_.size()));
  }
  Napi::Value resident(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(ballast_.resident()));
  }
  Napi::Value release(const Napi::CallbackInfo& info) {
    const ssize_t bytes = ballast_.release();
    if (bytes < 0) throw_if_failed(info.Env(), Status::of(static_cast<int>(bytes), "madvise"));
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  }
  void refill(const Napi::CallbackInfo& info) { throw_if_failed(info.Env(), ballast_.refill()); }
  void close(const Napi::CallbackInfo&) { ballast_.close(); }

  Ballast ballast_;
};

}  // namespace

Napi::Object init_ballast(Napi::Env env, Napi::Object exports) {
  exports.Set("Ballast", BallastObject::define(env));
  return exports;
}

}  // namespace oom::binding
