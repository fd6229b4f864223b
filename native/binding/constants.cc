// The words and numbers of the core that TypeScript must agree with: test/unit/constants.ts compares.
// Portable.
#include "binding/addon.h"
#include "binding/words.h"
#include "core/sys/codes.h"

namespace oom::binding {
namespace {

template <class Enum>
Napi::Array words(Napi::Env env) {
  auto list = Napi::Array::New(env);
  for (uint32_t i = 0; const char* name = word(static_cast<Enum>(i)); i++) list[i] = name;
  return list;
}

Napi::Array codes(Napi::Env env) {
  auto list = Napi::Array::New(env);
  for (int i = 0; const char* name = code::name(code::kFirst - i); i++) {
    list[static_cast<uint32_t>(i)] = name;
  }
  return list;
}

}  // namespace

Napi::Object init_constants(Napi::Env env, Napi::Object exports) {
  auto all = Napi::Object::New(env);
  all.Set("fallbacks", words<Fallback>(env));
  all.Set("actions", words<StepKind>(env));
  all.Set("outcomes", words<Outcome>(env));
  all.Set("reasons", words<Reason>(env));
  all.Set("freezes", words<HoldFreeze>(env));
  all.Set("origins", words<Origin>(env));
  all.Set("records", words<RecordKind>(env));
  all.Set("scopes", words<LockScope>(env));
  all.Set("stages", words<LaunchStage>(env));
  all.Set("codes", codes(env));
  all.Set("maxPlan", static_cast<uint32_t>(kMaxPlan));
  exports.Set("constants", all);
  return exports;
}

}  // namespace oom::binding
