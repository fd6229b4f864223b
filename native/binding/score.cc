// protect()'s side of oom_score_adj. On the environment's thread: the calls do not sleep.
#include "binding/addon.h"
#include "binding/convert.h"
#include "core/sys/own_oom_score.h"

namespace oom::binding {
namespace {

// (value) → a number for undoScore
Napi::Value set_score(const Napi::CallbackInfo& info) {
  uint32_t id = 0;
  if (throw_if_failed(info.Env(), score::set(info[0].As<Napi::Number>().Int32Value(), id))) {
    return {};
  }
  return Napi::Number::New(info.Env(), id);
}

void undo_score(const Napi::CallbackInfo& info) {
  throw_if_failed(info.Env(), score::undo(info[0].As<Napi::Number>().Uint32Value()));
}

// () → what the process had before protect(), or undefined
Napi::Value score_before(const Napi::CallbackInfo& info) {
  const std::optional<int> before = score::before();
  return before ? Napi::Number::New(info.Env(), *before) : info.Env().Undefined();
}

// (value): throws where a child may not start with it
void may_start_with(const Napi::CallbackInfo& info) {
  throw_if_failed(info.Env(), score::may_start_with(info[0].As<Napi::Number>().Int32Value()));
}

}  // namespace

Napi::Object init_score(Napi::Env env, Napi::Object exports) {
  exports.Set("setScore", Napi::Function::New(env, set_score, "setScore"));
  exports.Set("undoScore", Napi::Function::New(env, undo_score, "undoScore"));
  exports.Set("scoreBefore", Napi::Function::New(env, score_before, "scoreBefore"));
  exports.Set("mayStartWith", Napi::Function::New(env, may_start_with, "mayStartWith"));
  return exports;
}

}  // namespace oom::binding
