// A guard as JavaScript sees it: arm(), commands, dispose(). Its records carry its `target`.
//
// Life cycle: new Guard(target, config) → arm(group) on the thread pool → commands from the
// environment's thread (microseconds each) → dispose() on the thread pool. Garbage collection and
// the environment's end dispose it on the spot: a group is never left held by an environment that
// is gone.
#include <memory>
#include <string>
#include <vector>

#include "binding/addon.h"
#include "binding/async.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/episode_config.h"
#include "binding/group.h"
#include "core/guard/guard.h"
#include "core/memcg/group.h"

namespace oom::binding {
namespace {

// The machine keeps sums of sizes: "no limit" is a size that none can reach, and half of the range.
constexpr uint64_t kMost = uint64_t{1} << 62;

GuardConfig config_of(const Napi::Object& from) {
  GuardConfig config;
  config.episode = episode_config(from);
  auto hold = from.Get("hold").As<Napi::Object>();
  config.hold.band = static_cast<uint64_t>(integer(hold, "band"));
  config.hold.by = enumerator<HoldBy>(hold, "by");
  config.hold.who = enumerator<Who>(hold, "who");
  config.hold.freeze = enumerator<HoldFreeze>(hold, "freeze");
  config.ballast = static_cast<uint64_t>(integer(from, "ballast"));
  config.take_over = from.Get("takeOver").As<Napi::Boolean>();
  config.grace_ns = integer(from, "graceMs") * kMs;
  config.place = static_cast<int>(integer(from, "place"));
  config.guard_descendants = from.Get("guardDescendants").As<Napi::Boolean>();
  return config;
}

class GuardHandle final : public Napi::ObjectWrap<GuardHandle>, public Member {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Guard",
        {InstanceMethod<&GuardHandle::arm>("arm"), InstanceMethod<&GuardHandle::extend>("extend"),
         InstanceMethod<&GuardHandle::yield>("yield"),
         InstanceMethod<&GuardHandle::limit_raised>("limitRaised"),
         InstanceMethod<&GuardHandle::set_delay>("setDelay"),
         InstanceMethod<&GuardHandle::base_limit>("baseLimit"),
         InstanceMethod<&GuardHandle::kill>("kill"),
         InstanceMethod<&GuardHandle::trouble>("trouble"),
         InstanceMethod<&GuardHandle::path>("path"), InstanceMethod<&GuardHandle::forget>("forget"),
         InstanceMethod<&GuardHandle::groups>("groups"),
         InstanceMethod<&GuardHandle::dispose>("dispose"),
         InstanceMethod<&GuardHandle::dispose_now>("disposeNow")});
  }
  explicit GuardHandle(const Napi::CallbackInfo& info) : Napi::ObjectWrap<GuardHandle>(info) {
    environment_ = Environment::of(info.Env());
    if (!environment_) return;
    guard_ = std::make_shared<Guard>(environment_->sentinel(), environment_->channel(),
                                     info[0].As<Napi::Number>().Uint32Value(),
                                     config_of(info[1].As<Napi::Object>()));
    environment_->add(*this);
  }
  ~GuardHandle() override {
    if (environment_) environment_->remove(*this);
    if (guard_) guard_->dispose();
  }
  void end() override {
    environment_ = nullptr;
    guard_->dispose();
  }

 private:
  struct Nothing {};

  Napi::Value arm(const Napi::CallbackInfo& info) {
    std::shared_ptr<Group> group = group_of(info[0]);
    return run_async<Nothing>(
        info.Env(), [guard = guard_, group](Nothing&) { return guard->arm(group); },
        [](Napi::Env env, Nothing&) { return env.Undefined(); });
  }
  // (sub, episode, …): false: that episode has ended, or is past its deadline
  Napi::Value command(const Napi::CallbackInfo& info, const Input& input) {
    int result = guard_->command(info[0].As<Napi::Number>().Uint32Value(),
                                 info[1].As<Napi::Number>().Uint32Value(), input);
    return Napi::Boolean::New(info.Env(), result == 0);
  }
  // extend(sub, episode, ms)
  Napi::Value extend(const Napi::CallbackInfo& info) {
    Input input;
    input.fact = Fact::kExtend;
    input.ns = info[2].As<Napi::Number>().Int64Value() * kMs;
    return command(info, input);
  }
  // yield(sub, episode)
  Napi::Value yield(const Napi::CallbackInfo& info) {
    Input input;
    input.fact = Fact::kYield;
    return command(info, input);
  }
  // limitRaised(sub, episode, bytes): Infinity for none; also past the deadline
  Napi::Value limit_raised(const Napi::CallbackInfo& info) {
    double bytes = info[2].As<Napi::Number>().DoubleValue();
    Input input;
    input.fact = Fact::kUserRaised;
    input.bytes = bytes < static_cast<double>(kMost) ? static_cast<uint64_t>(bytes) : kMost;
    return command(info, input);
  }
  void set_delay(const Napi::CallbackInfo& info) {
    guard_->set_delay(info[0].As<Napi::Number>().Int64Value() * kMs);
  }
  // baseLimit(sub, episode): bytes; undefined: the episode has ended
  Napi::Value base_limit(const Napi::CallbackInfo& info) {
    uint64_t bytes;
    bool running = guard_->base_limit(info[0].As<Napi::Number>().Uint32Value(),
                                      info[1].As<Napi::Number>().Uint32Value(), bytes);
    if (!running) return info.Env().Undefined();
    return Napi::Number::New(info.Env(), static_cast<double>(bytes));
  }
  // kill(sub, episode, target, signal): the pids
  Napi::Value kill(const Napi::CallbackInfo& info) {
    uint32_t sub = info[0].As<Napi::Number>().Uint32Value();
    uint32_t episode = info[1].As<Napi::Number>().Uint32Value();
    int32_t target = target_of(info[2]);
    int32_t signal = info[3].As<Napi::Number>().Int32Value();
    using Pids = std::vector<pid_t>;
    return run_async<Pids>(
        info.Env(),
        [guard = guard_, sub, episode, target, signal](Pids& pids) {
          auto victims = std::make_unique<Victims>();
          victims->begin();
          int err = guard->kill(sub, episode, target, signal, *victims);
          pids.assign(victims->pids(), victims->pids() + victims->pid_count());
          return Status::of(err, "kill");
        },
        [](Napi::Env env, Pids& pids) {
          auto array = Napi::Array::New(env, pids.size());
          for (uint32_t i = 0; i < pids.size(); i++) array[i] = Napi::Number::New(env, pids[i]);
          return array;
        });
  }
  Napi::Value path(const Napi::CallbackInfo& info) {
    std::string name;
    guard_->path_of(info[0].As<Napi::Number>().Uint32Value(), name);
    return Napi::String::New(info.Env(), name);
  }
  Napi::Value trouble(const Napi::CallbackInfo& info) {
    return Napi::String::New(info.Env(), guard_->trouble());
  }
  void forget(const Napi::CallbackInfo& info) {
    guard_->forget(info[0].As<Napi::Number>().Uint32Value());
  }
  Napi::Value groups(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), guard_->groups());
  }
  Napi::Value dispose(const Napi::CallbackInfo& info) {
    return run_async<Nothing>(
        info.Env(),
        [guard = guard_](Nothing&) {
          guard->dispose();
          return Status::success();
        },
        [](Napi::Env env, Nothing&) { return env.Undefined(); });
  }
  void dispose_now(const Napi::CallbackInfo&) { guard_->dispose(); }

  Environment* environment_ = nullptr;
  std::shared_ptr<Guard> guard_;
};

}  // namespace

// The guardian's program: prepared by the loader.
static Napi::Value set_guardian(const Napi::CallbackInfo& info) {
  GuardianLink::set_program(info[0].As<Napi::String>().Utf8Value());
  return info.Env().Undefined();
}

static Napi::Value guardian_pid(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), GuardianLink::pid());
}

Napi::Object init_guards(Napi::Env env, Napi::Object exports) {
  exports.Set("Guard", GuardHandle::define(env));
  exports.Set("setGuardian", Napi::Function::New<set_guardian>(env, "setGuardian"));
  exports.Set("guardianPid", Napi::Function::New<guardian_pid>(env, "guardianPid"));
  return exports;
}

}  // namespace oom::binding
