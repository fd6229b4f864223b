// What JavaScript says of episodes, of a real group or a simulated one: delays, plan, fallback, and
// whom to kill. lib/native/guards.ts has the types. Portable.
#pragma once

#include <string>

#include "binding/addon.h"
#include "binding/words.h"
#include "core/rules/episode.h"

namespace oom::binding {

inline int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }
inline int64_t integer(const Napi::Object& from, const char* name) {
  return integer(from.Get(name));
}

template <class Enum>
Enum enumerator(const Napi::Object& from, const char* name) {
  return enumerator<Enum>(from.Get(name).As<Napi::String>().Utf8Value());
}

// 'all', 'largest' or a pid, as PlanStep::target has it.
inline int32_t target_of(const Napi::Value& value) {
  if (value.IsNumber()) return value.As<Napi::Number>().Int32Value();
  return value.As<Napi::String>().Utf8Value() == "largest" ? target::kLargest : target::kAll;
}

inline EpisodeConfig episode_config(const Napi::Object& from) {
  EpisodeConfig config;
  config.delay_ns = integer(from, "delayMs") * kMs;
  config.max_delay_ns = integer(from, "maxDelayMs") * kMs;
  config.fallback = enumerator<Fallback>(from, "fallback");
  config.dry_run = from.Get("dryRun").As<Napi::Boolean>();
  auto thrash = from.Get("thrash").As<Napi::Object>();
  config.thrash = {.stall_ns = integer(thrash, "stallMs") * kMs,
                   .window_ns = integer(thrash, "windowMs") * kMs};
  auto plan = from.Get("plan").As<Napi::Array>();
  config.plan_size = static_cast<uint8_t>(plan.Length() < kMaxPlan ? plan.Length() : kMaxPlan);
  for (uint8_t i = 0; i < config.plan_size; i++) {
    auto step = plan.Get(i).As<Napi::Object>();
    config.plan[i].kind = enumerator<StepKind>(step, "action");
    config.plan[i].after_ns = integer(step, "afterMs") * kMs;
    config.plan[i].bytes = static_cast<uint64_t>(integer(step, "bytes"));
    config.plan[i].signal = static_cast<int16_t>(integer(step, "signal"));
    config.plan[i].target = target_of(step.Get("target"));
  }
  return config;
}

}  // namespace oom::binding
