#include "binding/records.h"

#include <limits>

#include "binding/words.h"
#include "core/rules/invariant.h"
#include "core/sys/units.h"

namespace oom::binding {
namespace {

Napi::Number number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

// One after the other: pid, name, resident.
Napi::Array members(Napi::Env env, const Census& from) {
  Napi::Array to = Napi::Array::New(env, from.size() * 3);
  uint32_t at = 0;
  for (uint32_t i = 0; i < from.size(); i++) {
    to[at++] = Napi::Number::New(env, from[i].pid);
    to[at++] = Napi::String::New(env, from[i].name);
    to[at++] = number(env, from[i].resident);
  }
  return to;
}

Napi::Number size(Napi::Env env, uint32_t units) {
  return units == UsageCurve::kNone
             ? Napi::Number::New(env, std::numeric_limits<double>::infinity())
             : number(env, units * UsageCurve::kUnit);
}

// One after the other: at, usage, limit, line.
Napi::Array samples(Napi::Env env, const UsageCurve& from) {
  Napi::Array to = Napi::Array::New(env, from.size() * 4);
  uint32_t at = 0;
  for (uint32_t i = 0; i < from.size(); i++) {
    to[at++] = Napi::BigInt::New(env, from[i].at);
    to[at++] = size(env, from[i].usage);
    to[at++] = size(env, from[i].limit);
    to[at++] = size(env, from[i].line);
  }
  return to;
}

}  // namespace

Row::Row(Napi::Env env, const Record& record, const EpisodeNotes* notes, CodeName code_name)
    : env_(env) {
  add(word(record.kind));
  add_time(record.at);
  switch (record.kind) {
    case RecordKind::kOom:
      add(record.sub);
      add(record.count);
      add(word(record.watch.origin));
      add(record.watch);
      break;
    case RecordKind::kKill:
    case RecordKind::kHigh:
    case RecordKind::kMax:
      add(record.sub);
      add(record.count);
      add(record.watch);
      break;
    case RecordKind::kRemoved:
      add(record.sub);
      add(record.sub == kRootSub);
      add(record.watch);
      break;
    case RecordKind::kUsage:
      add(record.count);
      add(record.usage.bytes);
      add_limit(record.usage.threshold);
      add(record.usage.above);
      break;
    case RecordKind::kPressure:
      add(record.count);
      add(record.pressure.total_us);
      add(record.pressure.sampled);
      break;
    case RecordKind::kTimer:
      add(record.count);
      add_time(record.timer.due);
      break;
    case RecordKind::kEpisodeBegin:
      add(record.sub);
      add(record.begin.episode);
      add(word(record.begin.reason));
      add_time(record.begin.deadline);
      add(record.begin.usage);
      add(record.begin.limit);
      add(record.begin.missed);
      break;
    case RecordKind::kEpisodeStep: {
      const Record::Step& step = record.step;
      add(record.sub);
      add(step.episode);
      add(step.of_plan ? "plan" : "fallback");
      add(step.of_plan ? word(step.kind) : word(step.fallback));
      add(step.result);
      add(code_name(step.result));
      add(step.signal);
      add(step.dry_run);
      break;
    }
    case RecordKind::kPids: {
      add(record.sub);
      add(record.pids.episode);
      Napi::Array list = Napi::Array::New(env);
      for (uint32_t i = 0; i < Record::Pids::kMost && record.pids.list[i] != 0; i++) {
        list[i] = Napi::Number::New(env, record.pids.list[i]);
      }
      put(list);
      break;
    }
    case RecordKind::kEpisodeEnd:
      add(record.sub);
      add(record.end.episode);
      add(word(record.end.outcome));
      add(record.end.late_ns);
      add(record.end.kernel_kills);
      put(notes ? members(env, notes->census) : Napi::Array::New(env));
      if (notes && notes->census.known()) {
        add(notes->census.more());
      } else {
        put(env.Undefined());
      }
      put(notes ? samples(env, notes->curve) : Napi::Array::New(env));
      break;
    case RecordKind::kTrouble:
      break;
  }
}

void Row::put(napi_value value) {
  OOM_INVARIANT(size_ < kMost);
  values_[size_++] = value;
}

void Row::add(const char* text) {
  put(text ? Napi::Value(Napi::String::New(env_, text)) : env_.Undefined());
}

void Row::add(bool value) { put(Napi::Boolean::New(env_, value)); }

void Row::add_time(int64_t ns) { put(Napi::BigInt::New(env_, ns)); }

void Row::add_limit(uint64_t bytes) {
  if (bytes != kUnlimited) return add(bytes);
  put(Napi::Number::New(env_, std::numeric_limits<double>::infinity()));
}

// What the group's version does not have is undefined.
void Row::add(const Record::Watch& from) {
  for (uint64_t count : {from.oom, from.oom_kill, from.oom_group_kill, from.high, from.max}) {
    if (count == kNoCounter) {
      put(env_.Undefined());
    } else {
      add(count);
    }
  }
  if (from.under_oom < 0) {
    put(env_.Undefined());
  } else {
    add(from.under_oom > 0);
  }
}

Napi::Array Row::to_array() const {
  Napi::Array to = Napi::Array::New(env_, size_);
  for (uint32_t i = 0; i < size_; i++) to[i] = values_[i];
  return to;
}

}  // namespace oom::binding
