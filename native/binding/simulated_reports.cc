#include "binding/simulated_reports.h"

#include <cerrno>
#include <cstdio>

#include "binding/records.h"

namespace oom::binding {
namespace {

constexpr int32_t kKill = 9;  // SIGKILL, which not every platform has

}  // namespace

const char* name_of(int err) {
  switch (err) {
    case 0:
      return "";
    case -EBUSY:
      return "EBUSY";
    case -ENODEV:
      return "ENODEV";
    case -ESRCH:
      return "ESRCH";
    case -ENOENT:
      return "ENOENT";
    case -EAGAIN:
      return "EAGAIN";
    case -ECANCELED:
      return "ECANCELED";
    default:
      return "EINVAL";
  }
}

void SimulatedReports::began(const EpisodeMachine& m) {
  add(RecordKind::kEpisodeBegin).begin = {.episode = m.id(),
                                          .reason = m.reason(),
                                          .missed = 0,
                                          .deadline = m.deadline(),
                                          .usage = m.first().usage,
                                          .limit = m.first().limit};
  release_reported_ = false;
  note(m);
  if (!m.config().dry_run) return;
  const EpisodeConfig& config = m.config();
  for (uint8_t i = 0; i < config.plan_size; i++) {
    Record& step = tell_step(m.id(), true, config.plan[i].kind);
    step.step.dry_run = true;
    step.at = m.started_at() + config.plan[i].after_ns;
  }
  Record& fallback = tell_step(m.id(), false);
  fallback.step.dry_run = true;
  fallback.at = m.deadline();
}

void SimulatedReports::ended(const EpisodeEnd& end) {
  Record r(RecordKind::kEpisodeEnd, end.at);
  r.to(0, kRootSub);
  r.end = {.episode = end.id,
           .outcome = end.outcome,
           .late_ns = end.late_ns,
           .kernel_kills = end.kernel_kills,
           .notes = 0};
  told_.emplace_back(Ended{r, notes_});
}

void SimulatedReports::sees(Sample& sample) {
  if (driver_->machine().active()) notes_.curve.add(group_.now(), sample);
}

void SimulatedReports::switching(Grip grip) {
  const EpisodeMachine& m = driver_->machine();
  if (grip == Grip::kHeld || !m.active() || release_reported_) return;
  release_reported_ = true;
  tell_step(m.id(), false).step.fallback = Fallback::kKernel;
}

void SimulatedReports::stepped(const SimStep& step) {
  const EpisodeConfig& config = driver_->machine().config();
  StepKind kind = config.plan[step.index].kind;
  if (!step.fallback && kind == StepKind::kKernel) return;  // reported when it releases
  Record& r = tell_step(step.episode, !step.fallback, kind);
  r.at = step.started_at;
  r.step.result = step.result;
  // What it was: the signal that those were sent.
  bool signals = !step.fallback && kind == StepKind::kSignal;
  r.step.signal = signals ? config.plan[step.index].signal : kKill;
  auto size = static_cast<uint32_t>(step.pids.size());
  for (uint32_t i = 0; i < size; i += Record::Pids::kMost) {
    add(RecordKind::kPids).set_pids(step.episode, step.pids.data(), size, i);
  }
}

void SimulatedReports::signalled(int32_t pid, int32_t signal) {
  told_.emplace_back(Signalled{pid, signal});
}

// Who holds what, as a helper finds out in a real group.
void SimulatedReports::note(const EpisodeMachine& m) {
  notes_.census.clear();
  for (const SimProcess& p : group_.processes()) {
    if (p.pid != driver_->ballast_pid()) notes_.census.add(p.pid, p.size);
  }
  for (size_t i = 0; i < notes_.census.size(); i++) {
    std::snprintf(notes_.census.name(i), Census::kName, "simulated");
  }
  notes_.census.set_known();
  notes_.curve.clear();
  notes_.curve.add(m.started_at(), m.first());
}

// Makes a record to report; the caller fills it in before the next one is made.
Record& SimulatedReports::add(RecordKind kind, uint64_t count) {
  Record r(kind, group_.now(), count);
  return std::get<Record>(told_.emplace_back(r.to(0, kRootSub)));
}

Record& SimulatedReports::tell_step(uint32_t episode, bool of_plan, StepKind kind) {
  Record& r = add(RecordKind::kEpisodeStep);
  r.step = {.episode = episode,
            .result = 0,
            .signal = 0,
            .of_plan = of_plan,
            .dry_run = false,
            .kind = kind,
            .fallback = driver_->machine().fallback()};
  return r;
}

void SimulatedReports::tell_watch(RecordKind kind, uint64_t count) {
  Record::Watch& watch = add(kind, count).watch;
  watch.oom_kill = group_.kernel_kills();
  watch.max = group_.failures();
  watch.under_oom = group_.under_oom();
  watch.origin = Origin::kSelf;
}

void SimulatedReports::observe() {
  if (group_.removed()) {
    if (!removed_told_) tell_watch(RecordKind::kRemoved, 1);
    removed_told_ = true;
    return;
  }
  if (uint64_t count = group_.notifications() - notifications_) {
    tell_watch(RecordKind::kOom, count);
    notifications_ = group_.notifications();
  }
  if (uint64_t count = group_.kernel_kills() - kernel_kills_) {
    tell_watch(RecordKind::kKill, count);
    kernel_kills_ = group_.kernel_kills();
  }
}

Napi::Array SimulatedReports::take(Napi::Env env) {
  auto list = Napi::Array::New(env, told_.size());
  for (uint32_t i = 0; i < told_.size(); i++) {
    list[i] = to_js(env, told_[i]);
  }
  told_.clear();
  return list;
}

Napi::Array SimulatedReports::to_js(Napi::Env env, const Told& told) {
  if (const auto* signalled = std::get_if<Signalled>(&told)) {
    auto to = Napi::Array::New(env, 3);
    to[0U] = Napi::String::New(env, "signal");
    to[1U] = Napi::Number::New(env, signalled->pid);
    to[2U] = Napi::Number::New(env, signalled->signal);
    return to;
  }
  if (const auto* ended = std::get_if<Ended>(&told)) {
    return Row(env, ended->record, &ended->notes).to_array();
  }
  auto code_name = [](int err) { return err == 0 ? nullptr : name_of(err); };
  return Row(env, *std::get_if<Record>(&told), nullptr, code_name).to_array();
}

}  // namespace oom::binding
