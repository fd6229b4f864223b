// The simulated group of cgroup-oom/testing: a SimGroup, and while it is guarded a SimDriver with
// the same episode machine that guards real groups. Everything runs on the environment's thread, on
// a virtual clock. Portable: nothing here knows Linux.
//
// What happens is kept as records until take() fetches them. run(until) carries on until something
// is to be reported, so that JavaScript can act at that very instant of the virtual clock.
#include <cerrno>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "binding/addon.h"
#include "binding/episode_config.h"
#include "binding/records.h"
#include "core/simulation/sim_driver.h"

namespace oom::binding {
namespace {

constexpr int32_t kKill = 9;  // SIGKILL, which not every platform has
constexpr int64_t kStart = 1'000 * kMs;
constexpr int64_t kForgotten = 60'000 * kMs;  // a removal waits no longer for its members to die

// Other platforms number their errors otherwise: the name is reported.
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

uint64_t limit_of(const Napi::Value& value) {
  double bytes = value.As<Napi::Number>().DoubleValue();
  return bytes >= static_cast<double>(kNoLimit) ? kNoLimit : static_cast<uint64_t>(bytes);
}

// A process has been sent a signal that is no kill.
struct Signalled {
  int32_t pid;
  int32_t signal;
};

// An episode has ended, with what is noted of it.
struct Ended {
  Record record;
  EpisodeNotes notes;
};

using Told = std::variant<Record, Signalled, Ended>;

class Simulation final : public Napi::ObjectWrap<Simulation>, public SimHooks {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Simulation",
                       {InstanceAccessor<&Simulation::now>("now"),
                        InstanceAccessor<&Simulation::usage>("usage"),
                        InstanceAccessor<&Simulation::peak>("peak"),
                        InstanceAccessor<&Simulation::limit>("limit"),
                        InstanceAccessor<&Simulation::failures>("failures"),
                        InstanceAccessor<&Simulation::kernel_kills>("kernelKills"),
                        InstanceAccessor<&Simulation::under_oom>("underOom"),
                        InstanceAccessor<&Simulation::largest>("largest"),
                        InstanceAccessor<&Simulation::killer_disabled>("killerDisabled"),
                        InstanceAccessor<&Simulation::pids>("pids"),
                        InstanceMethod<&Simulation::spawn>("spawn"),
                        InstanceMethod<&Simulation::add>("add"),
                        InstanceMethod<&Simulation::move_out>("moveOut"),
                        InstanceMethod<&Simulation::allocate>("allocate"),
                        InstanceMethod<&Simulation::release>("release"),
                        InstanceMethod<&Simulation::cache>("cache"),
                        InstanceMethod<&Simulation::stall>("stall"),
                        InstanceMethod<&Simulation::exit>("exit"),
                        InstanceMethod<&Simulation::kill>("kill"),
                        InstanceMethod<&Simulation::set_limit>("setLimit"),
                        InstanceMethod<&Simulation::freeze>("freeze"),
                        InstanceMethod<&Simulation::reclaim>("reclaim"),
                        InstanceMethod<&Simulation::remove>("remove"),
                        InstanceMethod<&Simulation::guard>("guard"),
                        InstanceMethod<&Simulation::extend>("extend"),
                        InstanceMethod<&Simulation::yield>("yield"),
                        InstanceMethod<&Simulation::set_delay>("setDelay"),
                        InstanceMethod<&Simulation::raise_limit>("raiseLimit"),
                        InstanceMethod<&Simulation::dispose>("dispose"),
                        InstanceMethod<&Simulation::run>("run"),
                        InstanceMethod<&Simulation::take>("take")});
  }

  // new Simulation(limit, killerDisabled)
  explicit Simulation(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Simulation>(info) {
    SimGroup::Config config;
    config.limit = limit_of(info[0]);
    group_ = SimGroup(config);
    group_.advance_to(kStart);
    if (info[1].As<Napi::Boolean>()) (void)group_.set_killer_disabled(true);
  }

 private:
  // Hooks.
  void began(const EpisodeMachine& m) override {
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
  void ended(const EpisodeEnd& end) override {
    Record r(RecordKind::kEpisodeEnd, end.at);
    r.to(0, kRootSub);
    r.end = {.episode = end.id,
             .outcome = end.outcome,
             .late_ns = end.late_ns,
             .kernel_kills = end.kernel_kills,
             .notes = 0};
    told_.emplace_back(Ended{r, notes_});
  }
  void sees(Sample& sample) override {
    if (driver_ && driver_->machine().active()) notes_.curve.add(group_.now(), sample);
  }
  void switching(Grip grip) override {
    const EpisodeMachine& m = driver_->machine();
    if (grip == Grip::kHeld || !m.active() || release_reported_) return;
    release_reported_ = true;
    tell_step(m.id(), false).step.fallback = Fallback::kKernel;
  }
  void stepped(const SimStep& step) override {
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
  void signalled(int32_t pid, int32_t signal) override {
    told_.emplace_back(Signalled{pid, signal});
  }

  // Who holds what, as a helper finds out in a real group.
  void note(const EpisodeMachine& m) {
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
  Record& add(RecordKind kind, uint64_t count = 1) {
    Record r(kind, group_.now(), count);
    return std::get<Record>(told_.emplace_back(r.to(0, kRootSub)));
  }
  Record& tell_step(uint32_t episode, bool of_plan, StepKind kind = StepKind::kKernel) {
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
  void tell_watch(RecordKind kind, uint64_t count) {
    Record::Watch& watch = add(kind, count).watch;
    watch.oom_kill = group_.kernel_kills();
    watch.max = group_.failures();
    watch.under_oom = group_.under_oom();
    watch.origin = Origin::kSelf;
  }

  // Makes the records that a watch would have reported.
  void observe() {
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

  // run(until): whether there may be more to come before then
  Napi::Value run(const Napi::CallbackInfo& info) {
    bool lossless;
    int64_t until = info[0].As<Napi::BigInt>().Int64Value(&lossless);
    bool more = true;
    observe();
    while (more && told_.empty()) {
      more = step(until);
      observe();
    }
    return Napi::Boolean::New(info.Env(), more || !told_.empty());
  }

  bool step(int64_t until) {
    if (driver_) return driver_->step(until);
    int64_t next = group_.next_event();
    group_.advance_to(next <= until ? next : until);
    return next <= until;
  }

  // take(): the records since the last call
  Napi::Value take(const Napi::CallbackInfo& info) {
    Napi::Env env = info.Env();
    auto list = Napi::Array::New(env, told_.size());
    for (uint32_t i = 0; i < told_.size(); i++) {
      list[i] = to_js(env, told_[i]);
    }
    told_.clear();
    return list;
  }

  static Napi::Object to_js(Napi::Env env, const Told& told) {
    if (const auto* signalled = std::get_if<Signalled>(&told)) {
      auto to = Napi::Object::New(env);
      to.Set("kind", "signal");
      to.Set("pid", signalled->pid);
      to.Set("signal", signalled->signal);
      return to;
    }
    if (const auto* ended = std::get_if<Ended>(&told)) {
      return binding::to_js(env, ended->record, &ended->notes);
    }
    const auto& record = *std::get_if<Record>(&told);
    Napi::Object to = binding::to_js(env, record);
    if (record.kind == RecordKind::kEpisodeStep && record.step.result != 0) {
      to.Set("code", name_of(record.step.result));
    }
    return to;
  }
  static Napi::Value size(Napi::Env env, uint64_t bytes) {
    return Napi::Number::New(env, bytes >= kNoLimit ? std::numeric_limits<double>::infinity()
                                                    : static_cast<double>(bytes));
  }
  static Napi::Array list_of(Napi::Env env, const std::vector<int32_t>& pids) {
    auto list = Napi::Array::New(env, pids.size());
    for (uint32_t i = 0; i < pids.size(); i++) list[i] = Napi::Number::New(env, pids[i]);
    return list;
  }
  static Napi::Value code(const Napi::CallbackInfo& info, int err) {
    return Napi::String::New(info.Env(), name_of(err));
  }
  static int32_t pid_of(const Napi::Value& value) { return static_cast<int32_t>(integer(value)); }

  // What can be read.
  Napi::Value now(const Napi::CallbackInfo& info) {
    return Napi::BigInt::New(info.Env(), group_.now());
  }
  Napi::Value usage(const Napi::CallbackInfo& info) { return size(info.Env(), group_.usage()); }
  Napi::Value peak(const Napi::CallbackInfo& info) { return size(info.Env(), group_.peak()); }
  Napi::Value limit(const Napi::CallbackInfo& info) { return size(info.Env(), group_.limit()); }
  Napi::Value failures(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(group_.failures()));
  }
  Napi::Value kernel_kills(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), static_cast<double>(group_.kernel_kills()));
  }
  // Its pid, or 0.
  Napi::Value largest(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), group_.largest());
  }
  Napi::Value under_oom(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), group_.under_oom());
  }
  Napi::Value killer_disabled(const Napi::CallbackInfo& info) {
    return Napi::Boolean::New(info.Env(), group_.killer_disabled());
  }
  Napi::Value pids(const Napi::CallbackInfo& info) {
    std::vector<int32_t> pids;
    for (const SimProcess& p : group_.processes()) {
      bool ours = driver_ && p.pid == driver_->ballast_pid();
      if (p.state != SimProcess::State::kDying && !ours) pids.push_back(p.pid);
    }
    return list_of(info.Env(), pids);
  }

  // What can be done; most give the name of an error, or ''.
  Napi::Value spawn(const Napi::CallbackInfo& info) {
    uint64_t bytes = static_cast<uint64_t>(integer(info[0]));
    return Napi::Number::New(info.Env(), group_.spawn(bytes, info[1].As<Napi::Boolean>()));
  }
  Napi::Value add(const Napi::CallbackInfo& info) {
    return code(info, group_.add(pid_of(info[0]), 0));
  }
  Napi::Value move_out(const Napi::CallbackInfo& info) {
    return code(info, group_.take_out(pid_of(info[0])));
  }
  Napi::Value allocate(const Napi::CallbackInfo& info) {
    return code(info, group_.allocate(pid_of(info[0]), static_cast<uint64_t>(integer(info[1]))));
  }
  Napi::Value release(const Napi::CallbackInfo& info) {
    return code(info, group_.release(pid_of(info[0]), static_cast<uint64_t>(integer(info[1]))));
  }
  Napi::Value cache(const Napi::CallbackInfo& info) {
    group_.cache(static_cast<uint64_t>(integer(info[0])));
    return info.Env().Undefined();
  }
  // stall(perMille): from now on
  Napi::Value stall(const Napi::CallbackInfo& info) {
    group_.stall(static_cast<uint32_t>(integer(info[0])));
    if (driver_) driver_->sample_now();
    return info.Env().Undefined();
  }
  Napi::Value exit(const Napi::CallbackInfo& info) {
    return code(info, group_.exit(pid_of(info[0])));
  }
  // kill(victim, inEpisode): the pids; the largest only in an episode
  Napi::Value kill(const Napi::CallbackInfo& info) {
    int32_t victim = target_of(info[0]);
    if (driver_ && info[1].As<Napi::Boolean>()) return list_of(info.Env(), driver_->kill(victim));
    std::vector<int32_t> pids;
    for (const SimProcess& p : group_.processes()) {
      bool ours = driver_ && p.pid == driver_->ballast_pid();
      if (!p.killed && !ours && (victim == 0 || victim == p.pid)) pids.push_back(p.pid);
    }
    for (int32_t pid : pids) (void)group_.kill(pid);
    return list_of(info.Env(), pids);
  }
  Napi::Value set_limit(const Napi::CallbackInfo& info) {
    int err = group_.set_limit(limit_of(info[0]));
    if (err == 0 && driver_) driver_->sample_now();
    return code(info, err);
  }
  Napi::Value freeze(const Napi::CallbackInfo& info) {
    if (info[0].As<Napi::Boolean>()) {
      group_.freeze();
    } else {
      group_.thaw();
    }
    return info.Env().Undefined();
  }
  Napi::Value reclaim(const Napi::CallbackInfo& info) {
    return size(info.Env(), group_.reclaim(limit_of(info[0])));
  }
  // remove(kill): with kill the virtual clock goes on until the members are gone
  Napi::Value remove(const Napi::CallbackInfo& info) {
    if (info[0].As<Napi::Boolean>()) {
      group_.thaw();
      int64_t patience = group_.now() + kForgotten;
      while (!group_.processes().empty() && group_.now() < patience) {
        std::vector<int32_t> pids;
        for (const SimProcess& p : group_.processes()) pids.push_back(p.pid);
        for (int32_t pid : pids) (void)group_.kill(pid);
        step(group_.now() + kMs);
      }
    }
    int err = group_.remove();
    if (err == 0 && driver_) driver_->sample_now();
    return code(info, err);
  }

  // guard(options)
  Napi::Value guard(const Napi::CallbackInfo& info) {
    auto options = info[0].As<Napi::Object>();
    driver_ = std::make_unique<SimDriver>(group_, episode_config(options), *this,
                                          static_cast<uint64_t>(integer(options, "ballast")));
    driver_->arm();
    return info.Env().Undefined();
  }
  // extend(episode, ms), yield(episode): whether that episode is still running
  Napi::Value extend(const Napi::CallbackInfo& info) {
    bool there = is_running(info[0]);
    if (there) driver_->extend(integer(info[1]) * kMs);
    return Napi::Boolean::New(info.Env(), there);
  }
  Napi::Value yield(const Napi::CallbackInfo& info) {
    bool there = is_running(info[0]);
    if (there) driver_->yield();
    return Napi::Boolean::New(info.Env(), there);
  }
  bool is_running(const Napi::Value& episode) const {
    return driver_ && driver_->machine().active() &&
           driver_->machine().id() == episode.As<Napi::Number>().Uint32Value();
  }
  // setDelay(ms)
  Napi::Value set_delay(const Napi::CallbackInfo& info) {
    if (driver_) driver_->set_delay(integer(info[0]) * kMs);
    return info.Env().Undefined();
  }
  Napi::Value raise_limit(const Napi::CallbackInfo& info) {
    return code(info, driver_ ? driver_->raise_limit(limit_of(info[0])) : -ESRCH);
  }
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    if (driver_) driver_->dispose();
    return info.Env().Undefined();
  }

  SimGroup group_;
  EpisodeNotes notes_;
  std::unique_ptr<SimDriver> driver_;
  std::vector<Told> told_;
  uint64_t notifications_ = 0;
  uint64_t kernel_kills_ = 0;
  bool removed_told_ = false;
  bool release_reported_ = false;
};

}  // namespace

Napi::Object init_simulation(Napi::Env env, Napi::Object exports) {
  exports.Set("Simulation", Simulation::define(env));
  return exports;
}

}  // namespace oom::binding
