// lockMemory, mlockall, munlockall. Each environment counts what it holds, and gives it back from
// its cleanup hook: a worker that ends, or a natural end of the process (where V8 would abort on
// code pages that mlockall has left locked).
#include "binding/addon.h"
#include "binding/convert.h"
#include "binding/words.h"
#include "core/prepared/mlock.h"

namespace oom::binding {

namespace {

// One per environment, passed to its functions as their data.
struct Held {
  unsigned scopes[2] = {};
  bool all = false;
};

void on_env_cleanup(Held* held) {
  if (held->all) (void)unlock_all();
  for (const LockScope scope : {LockScope::kOomPath, LockScope::kProcess}) {
    while (held->scopes[static_cast<size_t>(scope)]-- > 0) unlock_scope(scope);
  }
  delete held;
}

LockScope scope_of(const Napi::CallbackInfo& info) {
  return enumerator<LockScope>(info[0].As<Napi::String>().Utf8Value());
}

unsigned& count(const Napi::CallbackInfo& info) {
  return static_cast<Held*>(info.Data())->scopes[static_cast<size_t>(scope_of(info))];
}

// (scope) → bytes
Napi::Value lock(const Napi::CallbackInfo& info) {
  size_t bytes = 0;
  if (throw_if_failed(info.Env(), lock_scope(scope_of(info), &bytes))) {
    return info.Env().Undefined();
  }
  count(info)++;
  return Napi::Number::New(info.Env(), static_cast<double>(bytes));
}

// (scope)
void unlock(const Napi::CallbackInfo& info) {
  if (count(info) == 0) return;
  count(info)--;
  unlock_scope(scope_of(info));
}

// (scope) → bytes
Napi::Value bytes_of(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), static_cast<double>(scope_bytes(scope_of(info))));
}

// (bytes) → 0 or a negative errno
Napi::Value may(const Napi::CallbackInfo& info) {
  const auto bytes = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
  return Napi::Number::New(info.Env(), may_lock(bytes));
}

// (flags)
void all(const Napi::CallbackInfo& info) {
  if (throw_if_failed(info.Env(), lock_all(info[0].As<Napi::Number>().Int32Value()))) return;
  static_cast<Held*>(info.Data())->all = true;
}

void none(const Napi::CallbackInfo& info) {
  if (throw_if_failed(info.Env(), unlock_all())) return;
  static_cast<Held*>(info.Data())->all = false;
}

// → { limit, locked, virtualSize } in bytes; limit -1: none
Napi::Value numbers(const Napi::CallbackInfo& info) {
  const MemlockNumbers now = memlock_numbers();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("limit", now.limit == UINT64_MAX ? -1.0 : static_cast<double>(now.limit));
  result.Set("locked", static_cast<double>(now.locked));
  result.Set("virtualSize", static_cast<double>(now.virtual_size));
  return result;
}

}  // namespace

Napi::Object init_lock(Napi::Env env, Napi::Object exports) {
  auto* held = new Held;
  env.AddCleanupHook(on_env_cleanup, held);
  exports.Set("lockScope", Napi::Function::New<lock>(env, nullptr, held));
  exports.Set("unlockScope", Napi::Function::New<unlock>(env, nullptr, held));
  exports.Set("scopeBytes", Napi::Function::New<bytes_of>(env));
  exports.Set("mayLock", Napi::Function::New<may>(env));
  exports.Set("mlockall", Napi::Function::New<all>(env, nullptr, held));
  exports.Set("munlockall", Napi::Function::New<none>(env, nullptr, held));
  exports.Set("memlockNumbers", Napi::Function::New<numbers>(env));
  return exports;
}

}  // namespace oom::binding
