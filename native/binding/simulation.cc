// The simulated group of cgroup-oom/testing: a SimGroup, and while it is guarded a SimDriver with
// the same episode machine that guards real groups. Everything runs on the environment's thread, on
// a virtual clock. Portable: nothing here knows Linux.
//
// run(until) carries on until something is to be reported (simulated_reports.h), so that JavaScript
// can act at that very instant of the virtual clock.
#include <cerrno>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "binding/addon.h"
#include "binding/episode_config.h"
#include "binding/simulated_reports.h"
#include "core/simulation/sim_driver.h"

namespace oom::binding {
namespace {

constexpr int64_t kStart = 1'000 * kMs;
constexpr int64_t kForgotten = 60'000 * kMs;  // a removal waits no longer for its members to die

uint64_t limit_of(const Napi::Value& value) {
  double bytes = value.As<Napi::Number>().DoubleValue();
  return bytes >= static_cast<double>(kNoLimit) ? kNoLimit : static_cast<uint64_t>(bytes);
}

class Simulation final : public Napi::ObjectWrap<Simulation> {
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
  // run(until): whether there may be more to come before then
  Napi::Value run(const Napi::CallbackInfo& info) {
    bool lossless;
    int64_t until = info[0].As<Napi::BigInt>().Int64Value(&lossless);
    bool more = true;
    reports_.observe();
    while (more && reports_.empty()) {
      more = step(until);
      reports_.observe();
    }
    return Napi::Boolean::New(info.Env(), more || !reports_.empty());
  }

  bool step(int64_t until) {
    if (driver_) return driver_->step(until);
    int64_t next = group_.next_event();
    group_.advance_to(next <= until ? next : until);
    return next <= until;
  }

  // take(): what was reported since the last call
  Napi::Value take(const Napi::CallbackInfo& info) { return reports_.take(info.Env()); }

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
    driver_ = std::make_unique<SimDriver>(group_, episode_config(options), reports_,
                                          static_cast<uint64_t>(integer(options, "ballast")));
    reports_.guarded_by(*driver_);
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
  SimulatedReports reports_{group_};
  std::unique_ptr<SimDriver> driver_;
};

}  // namespace

Napi::Object init_simulation(Napi::Env env, Napi::Object exports) {
  exports.Set("Simulation", Simulation::define(env));
  return exports;
}

}  // namespace oom::binding
