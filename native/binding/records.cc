#include "binding/records.h"

#include <limits>

#include "binding/words.h"
#include "core/sys/codes.h"
#include "core/sys/units.h"

namespace oom::binding {
namespace {

Napi::Number number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

// OomCounters: what the group's version does not have is left out.
Napi::Object counters(Napi::Env env, const Record::Watch& from) {
  Napi::Object to = Napi::Object::New(env);
  auto set = [&](const char* name, uint64_t value) {
    if (value != kNoCounter) to.Set(name, number(env, value));
  };
  set("oom", from.oom);
  set("oomKill", from.oom_kill);
  set("oomGroupKill", from.oom_group_kill);
  set("high", from.high);
  set("max", from.max);
  if (from.under_oom >= 0) to.Set("underOom", Napi::Boolean::New(env, from.under_oom > 0));
  return to;
}

Napi::Array members(Napi::Env env, const Census& from) {
  Napi::Array to = Napi::Array::New(env, from.size());
  for (uint32_t i = 0; i < from.size(); i++) {
    Napi::Object member = Napi::Object::New(env);
    member.Set("pid", from[i].pid);
    member.Set("name", from[i].name);
    member.Set("resident", number(env, from[i].resident));
    to[i] = member;
  }
  return to;
}

Napi::Number size(Napi::Env env, uint32_t units) {
  return units == UsageCurve::kNone
             ? Napi::Number::New(env, std::numeric_limits<double>::infinity())
             : number(env, units * UsageCurve::kUnit);
}

Napi::Array samples(Napi::Env env, const UsageCurve& from) {
  Napi::Array to = Napi::Array::New(env, from.size());
  for (uint32_t i = 0; i < from.size(); i++) {
    Napi::Object sample = Napi::Object::New(env);
    sample.Set("at", Napi::BigInt::New(env, from[i].at));
    sample.Set("usage", size(env, from[i].usage));
    sample.Set("limit", size(env, from[i].limit));
    sample.Set("line", size(env, from[i].line));
    to[i] = sample;
  }
  return to;
}

}  // namespace

Napi::Object to_js(Napi::Env env, const Record& record, const EpisodeNotes* notes) {
  Napi::Object to = Napi::Object::New(env);
  to.Set("kind", word(record.kind));
  to.Set("at", Napi::BigInt::New(env, record.at));
  auto of_group = [&] {
    to.Set("sub", record.sub);
    to.Set("count", record.count);
    to.Set("counters", counters(env, record.watch));
  };
  auto of_episode = [&](uint32_t episode) {
    to.Set("sub", record.sub);
    to.Set("episode", episode);
  };
  switch (record.kind) {
    case RecordKind::kOom:
      of_group();
      to.Set("origin", word(record.watch.origin));
      break;
    case RecordKind::kKill:
    case RecordKind::kHigh:
    case RecordKind::kMax:
      of_group();
      break;
    case RecordKind::kRemoved:
      to.Set("sub", record.sub);
      to.Set("root", Napi::Boolean::New(env, record.sub == kRootSub));
      to.Set("counters", counters(env, record.watch));
      break;
    case RecordKind::kUsage:
      to.Set("count", record.count);
      to.Set("usage", number(env, record.usage.bytes));
      to.Set("threshold", record.usage.threshold == kUnlimited
                              ? Napi::Number::New(env, std::numeric_limits<double>::infinity())
                              : number(env, record.usage.threshold));
      to.Set("above", Napi::Boolean::New(env, record.usage.above));
      break;
    case RecordKind::kPressure:
      to.Set("count", record.count);
      to.Set("totalUs", number(env, record.pressure.total_us));
      to.Set("sampled", Napi::Boolean::New(env, record.pressure.sampled));
      break;
    case RecordKind::kTimer:
      to.Set("count", record.count);
      to.Set("due", Napi::BigInt::New(env, record.timer.due));
      break;
    case RecordKind::kEpisodeBegin:
      of_episode(record.begin.episode);
      to.Set("reason", word(record.begin.reason));
      to.Set("deadline", Napi::BigInt::New(env, record.begin.deadline));
      to.Set("usage", number(env, record.begin.usage));
      to.Set("limit", number(env, record.begin.limit));
      to.Set("missed", record.begin.missed);
      break;
    case RecordKind::kEpisodeStep: {
      const Record::Step& step = record.step;
      of_episode(step.episode);
      to.Set("by", step.of_plan ? "plan" : "fallback");
      to.Set("action", step.of_plan ? word(step.kind) : word(step.fallback));
      to.Set("errno", step.result);
      if (const char* own = code::name(step.result)) to.Set("code", own);
      to.Set("signal", step.signal);
      to.Set("dryRun", Napi::Boolean::New(env, step.dry_run));
      break;
    }
    case RecordKind::kPids: {
      of_episode(record.pids.episode);
      Napi::Array list = Napi::Array::New(env);
      for (uint32_t i = 0; i < Record::Pids::kMost && record.pids.list[i] != 0; i++) {
        list[i] = Napi::Number::New(env, record.pids.list[i]);
      }
      to.Set("pids", list);
      break;
    }
    case RecordKind::kEpisodeEnd:
      of_episode(record.end.episode);
      to.Set("outcome", word(record.end.outcome));
      to.Set("lateNs", Napi::Number::New(env, static_cast<double>(record.end.late_ns)));
      to.Set("kernelKills", number(env, record.end.kernel_kills));
      to.Set("members", notes ? members(env, notes->census) : Napi::Array::New(env));
      if (notes && notes->census.known()) to.Set("moreMembers", notes->census.more());
      to.Set("samples", notes ? samples(env, notes->curve) : Napi::Array::New(env));
      break;
    case RecordKind::kTrouble:
      break;
  }
  return to;
}

}  // namespace oom::binding
