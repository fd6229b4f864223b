// Subscriptions of JavaScript to the sentinel: watches of a group or a tree, usage thresholds,
// pressure, delays. Each is an object with close(); records carry its `target`.
//
// Life cycle: made on the environment's thread (watch: armed when the constructor returns; tree:
// when the promise of scan() resolves) → records → close(), garbage collection or the environment's
// end, whichever comes first; close() waits for the sentinel to detach it, which takes
// microseconds.
#include "core/watch/subscriptions.h"

#include <memory>
#include <string>

#include "binding/addon.h"
#include "binding/async.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/group.h"
#include "binding/words.h"
#include "core/memcg/group.h"
#include "core/watch/service_pressure.h"
#include "core/watch/tree_watch.h"
#include "core/watch/watch_kind.h"

namespace oom::binding {
namespace {

Place place_of(const std::shared_ptr<Group>& group) {
  return Place(std::shared_ptr<const Fd>(group, &group->fd()), "", group->inode());
}

constexpr auto kAttach = [](Sentinel& sentinel, auto* source) { return source->attach(sentinel); };
constexpr auto kDetach = [](Sentinel& sentinel, auto* source) { source->detach(sentinel); };

// What all of them share: membership in the environment, and an end that comes once.
template <class Self>
class Closable : public Napi::ObjectWrap<Self>, public Member {
 public:
  explicit Closable(const Napi::CallbackInfo& info) : Napi::ObjectWrap<Self>(info) {
    environment_ = Environment::of(info.Env());
    if (environment_) environment_->add(*this);
  }
  void end() override {
    environment_ = nullptr;
    static_cast<Self*>(this)->stop();
  }

 protected:
  void close_now() {
    if (!environment_) return;
    environment_->remove(*this);
    static_cast<Self*>(this)->stop();
    environment_ = nullptr;
  }
  Environment* environment_ = nullptr;
};

// What else a watch reports: an array of 'high' and 'max'.
uint32_t wanted_of(const Napi::Value& value) {
  auto list = value.As<Napi::Array>();
  uint32_t wanted = 0;
  for (uint32_t i = 0; i < list.Length(); i++) {
    std::string name = list.Get(i).As<Napi::String>().Utf8Value();
    wanted |= name == word(RecordKind::kHigh) ? WatchSpec::kHigh : WatchSpec::kMax;
  }
  return wanted;
}

// new Watch(group, target, wanted)
class Watch final : public Closable<Watch> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "Watch", {InstanceMethod<&Watch::close>("close")});
  }
  ~Watch() override { close_now(); }
  void close(const Napi::CallbackInfo&) { close_now(); }
  explicit Watch(const Napi::CallbackInfo& info) : Closable(info) {
    if (!environment_) return;
    sentinel_ = &environment_->sentinel();
    std::shared_ptr<Group> group = group_of(info[0]);
    Status status;
    LockedPtr<OomWatch> source =
        WatchKind::of(group->memcg())
            .make_watch({&environment_->channel(), info[1].As<Napi::Number>().Uint32Value(), 0,
                         place_of(group), wanted_of(info[2])},
                        status);
    if (source) status = source->arm({});
    if (status.ok()) status = Status::of(sentinel_->call(kAttach, source.get()), "epoll_ctl");
    if (!throw_if_failed(info.Env(), status)) source_ = std::move(source);
  }
  void stop() {
    if (source_) sentinel_->call(kDetach, source_.get());
    source_.reset();
  }

 private:
  Sentinel* sentinel_ = nullptr;
  LockedPtr<OomWatch> source_;
};

// new TreeWatch(group, target, wanted): scan(), settle() → promise; path(sub), forget(sub), trouble()
class TreeWatchHandle final : public Closable<TreeWatchHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "TreeWatch",
                       {InstanceMethod<&TreeWatchHandle::scan>("scan"),
                        InstanceMethod<&TreeWatchHandle::settle>("settle"),
                        InstanceMethod<&TreeWatchHandle::path>("path"),
                        InstanceMethod<&TreeWatchHandle::forget>("forget"),
                        InstanceMethod<&TreeWatchHandle::trouble>("trouble"),
                        InstanceMethod<&TreeWatchHandle::close>("close")});
  }
  ~TreeWatchHandle() override { close_now(); }
  void close(const Napi::CallbackInfo&) { close_now(); }
  explicit TreeWatchHandle(const Napi::CallbackInfo& info) : Closable(info) {
    if (!environment_) return;
    group_ = group_of(info[0]);
    watch_ =
        std::make_shared<TreeWatch>(environment_->sentinel(), environment_->channel(),
                                    info[1].As<Napi::Number>().Uint32Value(), wanted_of(info[2]));
  }
  void tidy() override { watch_->tidy(); }
  // A scan that is under way is cut short.
  void stop() {
    watch_->close();
    group_.reset();
  }

 private:
  Napi::Value scan(const Napi::CallbackInfo& info) {
    struct Nothing {};
    return run_async<Nothing>(
        info.Env(),
        [watch = watch_, group = group_](Nothing&) {
          return watch->open(std::shared_ptr<const Fd>(group, &group->fd()), group->memcg());
        },
        [](Napi::Env env, Nothing&) { return env.Undefined(); });
  }
  Napi::Value settle(const Napi::CallbackInfo& info) {
    struct Nothing {};
    return run_async<Nothing>(
        info.Env(),
        [watch = watch_](Nothing&) {
          watch->settle();
          return Status::success();
        },
        [](Napi::Env env, Nothing&) { return env.Undefined(); });
  }
  Napi::Value path(const Napi::CallbackInfo& info) {
    std::string name;
    if (!watch_->path_of(info[0].As<Napi::Number>().Uint32Value(), name)) {
      return info.Env().Undefined();
    }
    return Napi::String::New(info.Env(), name);
  }
  Napi::Value forget(const Napi::CallbackInfo& info) {
    size_t left = watch_->forget(info[0].As<Napi::Number>().Uint32Value());
    if (environment_) environment_->tidy_later(*this);
    return Napi::Number::New(info.Env(), static_cast<double>(left));
  }
  Napi::Value trouble(const Napi::CallbackInfo& info) {
    return to_error(info.Env(), watch_->trouble()).Value();
  }

  std::shared_ptr<Group> group_;
  std::shared_ptr<TreeWatch> watch_;
};

// new Signal(target, kind, group | null, …): 'usage' bytes, millionths of the limit (0: bytes);
// 'level' args; 'psi' full, stallUs, windowUs; 'service' path, data, full, stallUs; 'delay', with start(when, period) and stop().
class Signal final : public Closable<Signal> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "Signal",
        {InstanceMethod<&Signal::start_delay>("start"), InstanceMethod<&Signal::stop_delay>("stop"),
         InstanceMethod<&Signal::close>("close")});
  }
  ~Signal() override { close_now(); }
  void close(const Napi::CallbackInfo&) { close_now(); }
  explicit Signal(const Napi::CallbackInfo& info) : Closable(info) {
    if (!environment_) return;
    sentinel_ = &environment_->sentinel();
    Channel& channel = environment_->channel();
    uint32_t target = info[0].As<Napi::Number>().Uint32Value();
    std::string kind = info[1].As<Napi::String>().Utf8Value();
    std::shared_ptr<Group> group = info[2].IsNull() ? nullptr : group_of(info[2]);
    Status status;
    if (kind == "usage") {
      UsageThreshold threshold{
          .bytes = strtoull(info[3].As<Napi::String>().Utf8Value().c_str(), nullptr, 10),
          .millionths = info[4].As<Napi::Number>().Uint32Value()};
      status = WatchKind::of(group->memcg())
                   .usage_watch(channel, target, place_of(group), threshold, source_);
    } else if (kind == "level") {
      std::string level = info[3].As<Napi::String>().Utf8Value();
      status = WatchKind::of(group->memcg())
                   .level_watch(channel, target, place_of(group), level.c_str(), source_);
    } else if (kind == "psi") {
      StallTrigger trigger{
          .full = info[3].As<Napi::Boolean>(),
          .stall_us = static_cast<uint64_t>(info[4].As<Napi::Number>().Int64Value()),
          .window_us = static_cast<uint64_t>(info[5].As<Napi::Number>().Int64Value())};
      int dir = WatchKind::of(group->memcg()).stalls_at(group->dir());
      status = stall_watch(channel, target, dir, trigger, source_);
    } else if (kind == "service") {
      auto data = info[4].As<Napi::Uint8Array>();
      status = service_pressure(
          channel, target,
          {info[3].As<Napi::String>().Utf8Value(),
           std::string(data.Data(), data.Data() + data.ByteLength()), info[5].As<Napi::Boolean>(),
           static_cast<uint64_t>(info[6].As<Napi::Number>().Int64Value())},
          source_);
    } else {
      auto made = make_apart<DelaySource>(status, channel, target);
      int32_t eventfd = info[3].As<Napi::Number>().Int32Value();
      if (made && eventfd >= 0) status = made->arm(eventfd);
      if (status.ok()) delay_ = made.get();
      source_ = std::move(made);
    }
    if (status.ok()) status = Status::of(sentinel_->call(kAttach, source_.get()), "epoll_ctl");
    if (!status.ok()) source_.reset();
    throw_if_failed(info.Env(), status);
  }
  void stop() {
    if (source_) sentinel_->call(kDetach, source_.get());
    source_.reset();
    delay_ = nullptr;
  }

 private:
  void start_delay(const Napi::CallbackInfo& info) {
    bool lossless;
    int64_t when = info[0].As<Napi::BigInt>().Int64Value(&lossless);
    int64_t period = info[1].As<Napi::BigInt>().Int64Value(&lossless);
    if (!delay_) return;
    sentinel_->call([](Sentinel& s, DelaySource* delay, int64_t first,
                       int64_t each) { delay->start(s, first, each); },
                    delay_, when, period);
  }
  void stop_delay(const Napi::CallbackInfo&) {
    if (delay_) sentinel_->call([](Sentinel& s, DelaySource* delay) { delay->stop(s); }, delay_);
  }

  Sentinel* sentinel_ = nullptr;
  LockedPtr<Subscription> source_;
  DelaySource* delay_ = nullptr;
};

// subscribe(callback): the target under which it gets its records
Napi::Value subscribe(const Napi::CallbackInfo& info) {
  auto* environment = Environment::of(info.Env());
  if (!environment) return info.Env().Undefined();
  return Napi::Number::New(info.Env(), environment->subscribe(info[0].As<Napi::Function>()));
}

Napi::Value unsubscribe(const Napi::CallbackInfo& info) {
  if (auto* environment = Environment::of(info.Env())) {
    environment->unsubscribe(info[0].As<Napi::Number>().Uint32Value());
  }
  return info.Env().Undefined();
}

// Claims on the event loop; each ref() has its unref().
Napi::Value ref(const Napi::CallbackInfo& info) {
  if (auto* environment = Environment::of(info.Env())) environment->ref();
  return info.Env().Undefined();
}

Napi::Value unref(const Napi::CallbackInfo& info) {
  if (auto* environment = Environment::of(info.Env())) environment->unref();
  return info.Env().Undefined();
}

// Records that are in the ring already, now.
Napi::Value drain(const Napi::CallbackInfo& info) {
  if (auto* environment = Environment::of(info.Env())) environment->drain();
  return info.Env().Undefined();
}

}  // namespace

Napi::Object init_subscriptions(Napi::Env env, Napi::Object exports) {
  exports.Set("Watch", Watch::define(env));
  exports.Set("TreeWatch", TreeWatchHandle::define(env));
  exports.Set("Signal", Signal::define(env));
  exports.Set("subscribe", Napi::Function::New<subscribe>(env, "subscribe"));
  exports.Set("unsubscribe", Napi::Function::New<unsubscribe>(env, "unsubscribe"));
  exports.Set("ref", Napi::Function::New<ref>(env, "ref"));
  exports.Set("unref", Napi::Function::New<unref>(env, "unref"));
  exports.Set("drain", Napi::Function::New<drain>(env, "drain"));
  return exports;
}

}  // namespace oom::binding
