#include "binding/environment.h"

#include "binding/convert.h"

namespace oom::binding {

// What libuv holds on to: outlives the environment by one turn of the loop.
struct Environment::Wake {
  uv_async_t async;
  napi_async_cleanup_hook_handle hook = nullptr;
};

Environment* Environment::of(Napi::Env env) {
  auto* self = env.GetInstanceData<Environment>();
  if (self) return self;
  self = new Environment(env);
  if (!self->start()) {
    delete self;
    return nullptr;
  }
  env.SetInstanceData<Environment>(self);
  return self;
}

bool Environment::start() {
  uv_loop_t* loop;
  if (napi_get_uv_event_loop(env_, &loop) != napi_ok) {
    throw_if_failed(env_, Status::of(-ENOSYS, "napi_get_uv_event_loop"));
    return false;
  }
  Status status;
  sentinel_ = Sentinel::acquire(status);
  if (throw_if_failed(env_, status)) return false;

  wake_ = new Wake();
  wake_->async.data = this;
  uv_async_init(loop, &wake_->async, [](uv_async_t* async) {
    if (async->data) static_cast<Environment*>(async->data)->drain();
  });
  uv_unref(reinterpret_cast<uv_handle_t*>(&wake_->async));
  context_ = std::make_unique<Napi::AsyncContext>(env_, "cgroup-oom");
  channel_ = std::make_unique<Channel>(
      [](void* wake) { uv_async_send(&static_cast<Wake*>(wake)->async); }, wake_);
  bool attached = false;
  sentinel_->call([&](Sentinel& sentinel) { attached = sentinel.attach(*channel_); });
  if (!attached) {
    Sentinel::release();
    uv_close(reinterpret_cast<uv_handle_t*>(&wake_->async),
             [](uv_handle_t* handle) { delete reinterpret_cast<Wake*>(handle); });
    throw_if_failed(env_, Status::of(-EMFILE, "attach"));
    return false;
  }
  // Hooks run last in, first out: `cleanup` before the close of the handle.
  napi_add_async_cleanup_hook(
      env_,
      [](napi_async_cleanup_hook_handle hook, void* arg) {
        auto* wake = static_cast<Wake*>(arg);
        wake->hook = hook;
        uv_close(reinterpret_cast<uv_handle_t*>(&wake->async), [](uv_handle_t* handle) {
          auto* closed = reinterpret_cast<Wake*>(handle);
          napi_remove_async_cleanup_hook(closed->hook);
          delete closed;
        });
      },
      wake_, nullptr);
  napi_add_env_cleanup_hook(env_, &Environment::cleanup, this);
  return true;
}

void Environment::cleanup(void* arg) {
  auto* self = static_cast<Environment*>(arg);
  while (self->members_) {
    Member* member = self->members_;
    self->remove(*member);
    member->end();
  }
  self->sentinel_->call([&](Sentinel& sentinel) { sentinel.detach(*self->channel_); });
  Sentinel::release();
  self->wake_->async.data = nullptr;
  self->subscribers_.clear();
}

void Environment::add(Member& member) {
  member.previous_ = nullptr;
  member.next_ = members_;
  if (members_) members_->previous_ = &member;
  members_ = &member;
}

void Environment::remove(Member& member) {
  if (member.next_) member.next_->previous_ = member.previous_;
  if (member.previous_) {
    member.previous_->next_ = member.next_;
  } else if (members_ == &member) {
    members_ = member.next_;
  }
  member.next_ = member.previous_ = nullptr;
}

void Environment::ref() {
  if (refs_++ == 0) uv_ref(reinterpret_cast<uv_handle_t*>(&wake_->async));
}

void Environment::unref() {
  if (refs_ > 0 && --refs_ == 0) uv_unref(reinterpret_cast<uv_handle_t*>(&wake_->async));
}

uint32_t Environment::subscribe(Napi::Function callback) {
  // 2^32 subscriptions later the numbers begin again; 0 is none.
  do last_target_++;
  while (last_target_ == 0 || subscribers_.contains(last_target_));
  subscribers_[last_target_] = Napi::Persistent(callback);
  return last_target_;
}

void Environment::unsubscribe(uint32_t target) { subscribers_.erase(target); }

void Environment::drain() {
  Napi::HandleScope scope(env_);
  channel_->acknowledge();
  Record r;
  // A bounded number of records a turn: a storm must not keep the loop from everything else.
  for (size_t i = 0; i < Channel::kSize; i++) {
    if (!channel_->pop(r)) break;
    auto subscriber = subscribers_.find(r.target);
    if (subscriber == subscribers_.end()) continue;
    Napi::HandleScope inner(env_);
    // It may unsubscribe itself.
    Napi::Function callback = subscriber->second.Value();
    Napi::Object record = Napi::Object::New(env_);
    record.Set("target", r.target);
    record.Set("sub", r.sub);
    record.Set("kind", static_cast<uint32_t>(r.kind));
    record.Set("detail", static_cast<uint32_t>(r.detail));
    record.Set("count", r.count);
    record.Set("at", Napi::BigInt::New(env_, r.at));
    record.Set("a", Napi::BigInt::New(env_, r.a));
    record.Set("b", Napi::BigInt::New(env_, r.b));
    record.Set("c", Napi::BigInt::New(env_, r.c));
    record.Set("d", Napi::BigInt::New(env_, r.d));
    record.Set("e", Napi::BigInt::New(env_, r.e));
    record.Set("f", Napi::BigInt::New(env_, r.f));
    callback.MakeCallback(env_.Global(), {record}, *context_);
    // An exception in a consumer is an uncaught one, as in any other callback; the rest still
    // comes.
    if (env_.IsExceptionPending()) {
      Napi::Error error = env_.GetAndClearPendingException();
      napi_fatal_exception(env_, error.Value());
    }
  }
  sentinel_->flush(*channel_);
}

}  // namespace oom::binding
