// Subscriptions of JavaScript to the sentinel: watches of a group or a tree, usage thresholds,
// pressure, delays. Each is an object with close(); records carry its `target`.
//
// Life cycle: made on the environment's thread (watch: armed when the constructor returns; tree:
// when the promise of scan() resolves) → records → close(), garbage collection or the environment's
// end, whichever comes first; close() waits for the sentinel to let go, which takes microseconds.
#include <pthread.h>

#include <string>
#include <unordered_map>

#include "binding/addon.h"
#include "binding/async.h"
#include "binding/convert.h"
#include "binding/environment.h"
#include "binding/group.h"
#include "core/group.h"
#include "core/signals.h"
#include "core/tree.h"
#include "core/watch.h"

namespace oom::binding {
namespace {

Place place_of(const std::shared_ptr<Group>& group) {
  return Place(std::shared_ptr<const Fd>(group, &group->fd()), "", group->inode());
}

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

// new Watch(group, target)
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
    auto source = std::make_unique<OomWatchV1>(environment_->channel(),
                                               info[1].As<Napi::Number>().Uint32Value(), 0,
                                               place_of(group_of(info[0])));
    Status status = source->arm();
    if (status.ok()) {
      sentinel_->call([&](Sentinel& s) { status = Status::of(source->attach(s), "epoll_ctl"); });
    }
    if (throw_if_failed(info.Env(), status)) return;
    source_ = std::move(source);
  }
  void stop() {
    if (source_) sentinel_->call([&](Sentinel& s) { source_->detach(s); });
    source_.reset();
  }

 private:
  Sentinel* sentinel_ = nullptr;
  std::unique_ptr<OomWatchV1> source_;
};

// new TreeWatch(group, target): scan() → promise; path(sub), forget(sub)
class TreeWatch final : public Closable<TreeWatch>, public TreeListener {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "TreeWatch",
        {InstanceMethod<&TreeWatch::scan>("scan"), InstanceMethod<&TreeWatch::path>("path"),
         InstanceMethod<&TreeWatch::forget>("forget"), InstanceMethod<&TreeWatch::close>("close")});
  }
  ~TreeWatch() override { close_now(); }
  void close(const Napi::CallbackInfo&) { close_now(); }
  explicit TreeWatch(const Napi::CallbackInfo& info) : Closable(info) {
    if (!environment_) return;
    sentinel_ = &environment_->sentinel();
    channel_ = &environment_->channel();
    group_ = group_of(info[0]);
    target_ = info[1].As<Napi::Number>().Uint32Value();
  }
  void stop() {
    tree_.close();
    pthread_mutex_lock(&lock_);
    for (auto& [sub, watch] : watches_) {
      sentinel_->call([&](Sentinel& s) { watch->detach(s); });
    }
    watches_.clear();
    stopped_ = true;
    pthread_mutex_unlock(&lock_);
  }

  uint32_t appeared(uint32_t, const Place& place, int) override {
    pthread_mutex_lock(&lock_);
    uint32_t sub = next_sub_++;
    auto watch = std::make_unique<OomWatchV1>(*channel_, target_, sub, place);
    Status status = stopped_ ? Status::of(-ECANCELED, "arm") : watch->arm();
    if (status.ok()) {
      sentinel_->call([&](Sentinel& s) { status = Status::of(watch->attach(s), "epoll_ctl"); });
    }
    if (status.ok()) {
      watches_[sub] = std::move(watch);
    } else if (!is_gone(status.err) && failure_.ok()) {
      failure_ = status;
    }
    pthread_mutex_unlock(&lock_);
    return status.ok() ? sub : 0;
  }
  void vanished(uint32_t) override {}  // its watch tells, in order with its events

 private:
  Napi::Value scan(const Napi::CallbackInfo& info) {
    struct Nothing {};
    // The wrapper must outlive the scan.
    Ref();
    return run_async<Nothing>(
        info.Env(),
        [this](Nothing&) {
          Status status = tree_.open(std::shared_ptr<const Fd>(group_, &group_->fd()));
          return status.ok() ? failure_ : status;
        },
        [this](Napi::Env env, Nothing&) {
          Unref();
          return env.Undefined();
        });
  }
  Napi::Value path(const Napi::CallbackInfo& info) {
    pthread_mutex_lock(&lock_);
    auto it = watches_.find(info[0].As<Napi::Number>().Uint32Value());
    std::string name = it == watches_.end() ? "" : it->second->name();
    pthread_mutex_unlock(&lock_);
    return Napi::String::New(info.Env(), name);
  }
  void forget(const Napi::CallbackInfo& info) {
    pthread_mutex_lock(&lock_);
    auto it = watches_.find(info[0].As<Napi::Number>().Uint32Value());
    if (it != watches_.end()) {
      sentinel_->call([&](Sentinel& s) { it->second->detach(s); });
      watches_.erase(it);
    }
    pthread_mutex_unlock(&lock_);
  }

  Sentinel* sentinel_ = nullptr;
  Channel* channel_ = nullptr;
  std::shared_ptr<Group> group_;
  uint32_t target_ = 0;
  uint32_t next_sub_ = 1;
  bool stopped_ = false;
  Status failure_;
  Tree tree_{*this};
  pthread_mutex_t lock_ = PTHREAD_MUTEX_INITIALIZER;
  std::unordered_map<uint32_t, std::unique_ptr<OomWatchV1>> watches_;
};

// new Signal(target, kind, group | null, …): 'usage' bytes; 'level' args; 'psi' full, stallUs,
// windowUs; 'delay', with start(when, period) and stop().
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
    if (kind == "usage" || kind == "level") {
      bool usage = kind == "usage";
      std::string args = info[3].As<Napi::String>().Utf8Value();
      auto made = std::make_unique<EventWatchV1>(channel, target, place_of(group),
                                                 usage ? RecordKind::kUsage : RecordKind::kPressure,
                                                 usage ? strtoull(args.c_str(), nullptr, 10) : 0);
      status = made->arm(usage ? "memory.usage_in_bytes" : "memory.pressure_level", args.c_str());
      source_ = std::move(made);
    } else if (kind == "psi") {
      auto made = std::make_unique<PsiWatch>(channel, target, info[3].As<Napi::Boolean>());
      status = made->arm(group ? group->dir() : -1,
                         static_cast<uint64_t>(info[4].As<Napi::Number>().Int64Value()),
                         static_cast<uint64_t>(info[5].As<Napi::Number>().Int64Value()));
      source_ = std::move(made);
    } else {
      auto made =
          std::make_unique<DelaySource>(channel, target, info[3].As<Napi::Number>().Int32Value());
      delay_ = made.get();
      source_ = std::move(made);
    }
    if (status.ok()) {
      sentinel_->call([&](Sentinel& s) { status = Status::of(source_->attach(s), "epoll_ctl"); });
    }
    if (!status.ok()) source_.reset();
    throw_if_failed(info.Env(), status);
  }
  void stop() {
    if (source_) sentinel_->call([&](Sentinel& s) { source_->detach(s); });
    source_.reset();
    delay_ = nullptr;
  }

 private:
  void start_delay(const Napi::CallbackInfo& info) {
    bool lossless;
    int64_t when = info[0].As<Napi::BigInt>().Int64Value(&lossless);
    int64_t period = info[1].As<Napi::BigInt>().Int64Value(&lossless);
    if (delay_) sentinel_->call([&](Sentinel& s) { delay_->start(s, when, period); });
  }
  void stop_delay(const Napi::CallbackInfo&) {
    if (delay_) sentinel_->call([&](Sentinel& s) { delay_->stop(s); });
  }

  Sentinel* sentinel_ = nullptr;
  std::unique_ptr<Subscription> source_;
  DelaySource* delay_ = nullptr;
};

Napi::Value listen(const Napi::CallbackInfo& info) {
  if (auto* environment = Environment::of(info.Env())) {
    environment->set_callback(info[0].As<Napi::Function>());
  }
  return info.Env().Undefined();
}

Napi::Value set_ref(const Napi::CallbackInfo& info) {
  if (auto* environment = Environment::of(info.Env())) {
    environment->set_ref(info[0].As<Napi::Boolean>());
  }
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
  exports.Set("TreeWatch", TreeWatch::define(env));
  exports.Set("Signal", Signal::define(env));
  exports.Set("listen", Napi::Function::New<listen>(env, "listen"));
  exports.Set("drain", Napi::Function::New<drain>(env, "drain"));
  exports.Set("setRef", Napi::Function::New<set_ref>(env, "setRef"));
  return exports;
}

}  // namespace oom::binding
