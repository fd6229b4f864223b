// The simulated group of cgroup-oom/testing: a SimGroup, and while it is guarded a SimDriver with
// the same episode machine that guards real groups. Everything runs on the environment's thread, on
// a virtual clock. Portable: nothing here knows Linux.
//
// What happens is kept as records until take() fetches them. run(until) carries on until something
// is to be told, so that JavaScript can act at that very instant of the virtual clock.
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "binding/addon.h"
#include "core/simulation/sim_driver.h"

namespace oom::binding {
namespace {

constexpr uint32_t kFallbackBit = 0x100;
constexpr uint32_t kDryBit = 0x200;
constexpr int64_t kKill = 9;  // SIGKILL, which not every platform has
constexpr int64_t kStart = 1'000 * kMs;
constexpr int64_t kForgotten = 60'000 * kMs;  // a removal waits no longer for its members to die

// Other platforms number their errors otherwise: what is told is the name.
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

int64_t integer(const Napi::Value& value) { return value.As<Napi::Number>().Int64Value(); }
int64_t integer(const Napi::Object& from, const char* name) { return integer(from.Get(name)); }

uint64_t limit_of(const Napi::Value& value) {
  double bytes = value.As<Napi::Number>().DoubleValue();
  return bytes >= static_cast<double>(kNoLimit) ? kNoLimit : static_cast<uint64_t>(bytes);
}

EpisodeConfig config_of(const Napi::Object& from) {
  EpisodeConfig config;
  config.delay_ns = integer(from, "delayMs") * kMs;
  config.max_delay_ns = integer(from, "maxDelayMs") * kMs;
  config.fallback = static_cast<Fallback>(integer(from, "fallback"));
  config.dry_run = from.Get("dryRun").As<Napi::Boolean>();
  auto plan = from.Get("plan").As<Napi::Array>();
  config.plan_size = static_cast<uint8_t>(plan.Length() < kMaxPlan ? plan.Length() : kMaxPlan);
  for (uint8_t i = 0; i < config.plan_size; i++) {
    auto step = plan.Get(i).As<Napi::Object>();
    config.plan[i].kind = static_cast<StepKind>(integer(step, "kind"));
    config.plan[i].after_ns = integer(step, "afterMs") * kMs;
    config.plan[i].bytes = static_cast<uint64_t>(integer(step, "bytes"));
    config.plan[i].signal = static_cast<int32_t>(integer(step, "signal"));
    config.plan[i].target = static_cast<int32_t>(integer(step, "target"));
  }
  return config;
}

// Of the record kinds each uses the fields that it needs; see lib/native/simulation.ts.
struct Told {
  const char* kind;
  int64_t at = 0;
  uint32_t episode = 0;
  uint32_t detail = 0;  // step: as in the sentinel's records; end: the outcome
  int64_t a = 0;        // begin: deadline; end: late_ns; oom, kill: count; signal, step: the signal
  uint64_t usage = 0;
  uint64_t limit = 0;
  uint64_t kills = 0;
  int err = 0;
  std::vector<int32_t> pids;
};

class Simulation final : public Napi::ObjectWrap<Simulation>, public SimHooks {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Simulation",
                       {InstanceAccessor<&Simulation::now>("now"),
                        InstanceAccessor<&Simulation::usage>("usage"),
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
                        InstanceMethod<&Simulation::exit>("exit"),
                        InstanceMethod<&Simulation::kill>("kill"),
                        InstanceMethod<&Simulation::set_limit>("setLimit"),
                        InstanceMethod<&Simulation::freeze>("freeze"),
                        InstanceMethod<&Simulation::reclaim>("reclaim"),
                        InstanceMethod<&Simulation::remove>("remove"),
                        InstanceMethod<&Simulation::guard>("guard"),
                        InstanceMethod<&Simulation::command>("command"),
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
    Told& t = tell("begin", m.id());
    t.a = m.deadline();
    t.usage = m.first().usage;
    t.limit = m.first().limit;
    let_go_told_ = false;
    if (!m.config().dry_run) return;
    const EpisodeConfig& config = m.config();
    for (uint8_t i = 0; i < config.plan_size; i++) {
      Told& step = tell("step", m.id());
      step.detail = kDryBit | static_cast<uint32_t>(config.plan[i].kind);
      step.at = m.started_at() + config.plan[i].after_ns;
    }
    Told& fallback = tell("step", m.id());
    fallback.detail = kDryBit | kFallbackBit | static_cast<uint32_t>(config.fallback);
    fallback.at = m.deadline();
  }
  void ended(const EpisodeEnd& end) override {
    Told& t = tell("end", end.id);
    t.at = end.at;
    t.detail = static_cast<uint32_t>(end.outcome);
    t.a = end.late_ns;
    t.kills = end.kernel_kills;
  }
  void switching(Grip grip) override {
    const EpisodeMachine& m = driver_->machine();
    if (grip == Grip::kHeld || !m.active() || let_go_told_) return;
    let_go_told_ = true;
    tell("step", m.id()).detail = kFallbackBit | static_cast<uint32_t>(Fallback::kKernel);
  }
  void stepped(const SimStep& step) override {
    const EpisodeConfig& config = driver_->machine().config();
    StepKind kind = config.plan[step.index].kind;
    if (!step.fallback && kind == StepKind::kKernel) return;  // told when it lets go
    Told& t = tell("step", step.episode);
    t.at = step.started_at;
    t.detail = step.fallback ? kFallbackBit | static_cast<uint32_t>(config.fallback)
                             : static_cast<uint32_t>(kind);
    t.err = step.result;
    // What it was: the signal that those were sent.
    t.a = !step.fallback && kind == StepKind::kSignal ? config.plan[step.index].signal : kKill;
    t.pids = step.pids;
  }
  void signalled(int32_t pid, int32_t signal) override {
    Told& t = tell("signal");
    t.a = signal;
    t.pids = {pid};
  }

  Told& tell(const char* kind, uint32_t episode = 0) {
    Told t;
    t.kind = kind;
    t.at = group_.now();
    t.episode = episode;
    told_.push_back(std::move(t));
    return told_.back();
  }

  // What a watch would have been told.
  void observe() {
    if (group_.removed()) {
      if (!removed_told_) tell("removed");
      removed_told_ = true;
      return;
    }
    if (uint64_t count = group_.notifications() - notifications_) {
      tell("oom").a = static_cast<int64_t>(count);
      notifications_ = group_.notifications();
    }
    if (uint64_t count = group_.kernel_kills() - kernel_kills_) {
      tell("kill").a = static_cast<int64_t>(count);
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
      const Told& t = told_[i];
      auto record = Napi::Object::New(env);
      record.Set("kind", t.kind);
      record.Set("at", Napi::BigInt::New(env, t.at));
      record.Set("episode", Napi::Number::New(env, t.episode));
      record.Set("detail", Napi::Number::New(env, t.detail));
      record.Set("value", Napi::BigInt::New(env, t.a));
      record.Set("usage", Napi::Number::New(env, static_cast<double>(t.usage)));
      record.Set("limit", size(env, t.limit));
      record.Set("kernelKills", Napi::Number::New(env, static_cast<double>(t.kills)));
      record.Set("errno", Napi::Number::New(env, t.err));
      record.Set("code", name_of(t.err));
      record.Set("pids", list_of(env, t.pids));
      list[i] = record;
    }
    told_.clear();
    return list;
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
  Napi::Value exit(const Napi::CallbackInfo& info) {
    return code(info, group_.exit(pid_of(info[0])));
  }
  // kill(victim, inEpisode): the pids; 0: all, -1: the largest
  Napi::Value kill(const Napi::CallbackInfo& info) {
    int32_t victim = pid_of(info[0]);
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
    if (err == 0 && driver_) driver_->look();
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
    if (err == 0 && driver_) driver_->look();
    return code(info, err);
  }

  // guard(options)
  Napi::Value guard(const Napi::CallbackInfo& info) {
    auto options = info[0].As<Napi::Object>();
    driver_ = std::make_unique<SimDriver>(group_, config_of(options), *this,
                                          static_cast<uint64_t>(integer(options, "ballast")));
    driver_->arm();
    return info.Env().Undefined();
  }
  // command(episode, fact, ns): whether that episode is still running; episode 0: whatever runs
  Napi::Value command(const Napi::CallbackInfo& info) {
    uint32_t episode = info[0].As<Napi::Number>().Uint32Value();
    auto fact = static_cast<Fact>(info[1].As<Napi::Number>().Int32Value());
    int64_t ns = integer(info[2]);
    bool there = driver_ && (episode == 0 ||
                             (driver_->machine().active() && driver_->machine().id() == episode));
    if (there && fact == Fact::kSetDelay) driver_->set_delay(ns);
    if (there && fact == Fact::kExtend) driver_->extend(ns);
    if (there && fact == Fact::kYield) driver_->yield();
    return Napi::Boolean::New(info.Env(), there);
  }
  Napi::Value raise_limit(const Napi::CallbackInfo& info) {
    return code(info, driver_ ? driver_->raise_limit(limit_of(info[0])) : -ESRCH);
  }
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    if (driver_) driver_->dispose();
    return info.Env().Undefined();
  }

  SimGroup group_;
  std::unique_ptr<SimDriver> driver_;
  std::vector<Told> told_;
  uint64_t notifications_ = 0;
  uint64_t kernel_kills_ = 0;
  bool removed_told_ = false;
  bool let_go_told_ = false;
};

}  // namespace

Napi::Object init_simulation(Napi::Env env, Napi::Object exports) {
  exports.Set("Simulation", Simulation::define(env));
  return exports;
}

}  // namespace oom::binding
