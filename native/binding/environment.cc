#include "binding/environment.h"

#include <utility>

#include "binding/convert.h"
#include "binding/records.h"
#include "core/prepared/locked.h"
#include "core/sentinel/notes_pool.h"

namespace oom::binding {

// What the sentinel writes for this environment, apart from children of fork(2): the ring, and what
// uv_async_send() touches. Freed once neither libuv, which closes the handle a turn of the loop
// later, nor the environment holds on to it.
struct Environment::Link {
  static void drop(Link* link) {
    if (--link->holders == 0) LockedDelete<Link>()(link);
  }
  uv_async_t async;
  int holders = 2;
  napi_async_cleanup_hook_handle hook = nullptr;
  Channel channel{[](void* link) { uv_async_send(&static_cast<Link*>(link)->async); }, this};
};

Environment::~Environment() {
  close_scoped();
  if (link_) Link::drop(link_);
}

Channel& Environment::channel() { return link_->channel; }

uv_handle_t* Environment::wake() const { return reinterpret_cast<uv_handle_t*>(&link_->async); }

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
  if (!open_scoped()) return false;
  Status status;
  sentinel_ = Sentinel::acquire(status);
  if (throw_if_failed(env_, status)) return false;

  link_ = make_apart<Link>(status).release();
  if (!link_) {
    Sentinel::release();
    throw_if_failed(env_, status);
    return false;
  }
  link_->async.data = this;
  uv_async_init(loop, &link_->async, [](uv_async_t* async) {
    if (async->data) static_cast<Environment*>(async->data)->woken();
  });
  uv_unref(wake());
  if (!scoped_) context_ = std::make_unique<Napi::AsyncContext>(env_, "cgroup-oom");
  bool attached = sentinel_->call(
      [](Sentinel& sentinel, Channel* channel) { return sentinel.attach(*channel); }, &channel());
  if (!attached) {
    Sentinel::release();
    uv_close(wake(), [](uv_handle_t* handle) { Link::drop(reinterpret_cast<Link*>(handle)); });
    throw_if_failed(env_, Status::of(-EMFILE, "attach"));
    return false;
  }
  // Hooks run last in, first out: `cleanup` before the close of the handle.
  napi_add_async_cleanup_hook(
      env_,
      [](napi_async_cleanup_hook_handle hook, void* arg) {
        auto* link = static_cast<Link*>(arg);
        link->hook = hook;
        uv_close(reinterpret_cast<uv_handle_t*>(&link->async), [](uv_handle_t* handle) {
          auto* closed = reinterpret_cast<Link*>(handle);
          napi_remove_async_cleanup_hook(closed->hook);
          Link::drop(closed);
        });
      },
      link_, nullptr);
  napi_add_env_cleanup_hook(env_, &Environment::cleanup, this);
  return true;
}

// Deno calls a uv_async_t's callback without a scope for V8's handles, and its napi_open_handle_scope() opens
// none; what it calls for a threadsafe function has one. That is called here and not by the sentinel, since it
// allocates. Its napi_async_destroy() needs such a scope as well, where there is none.
bool Environment::open_scoped() {
  if (!env_.Global().Has("Deno")) return true;
  auto drain = [](napi_env env, napi_value, void* self, void*) {
    if (env != nullptr) static_cast<Environment*>(self)->drain();
  };
  Napi::String name = Napi::String::New(env_, "cgroup-oom");
  if (napi_create_threadsafe_function(env_, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this,
                                      drain, &scoped_) != napi_ok) {
    throw_if_failed(env_, Status::of(-ENOSYS, "napi_create_threadsafe_function"));
    return false;
  }
  napi_unref_threadsafe_function(env_, scoped_);
  return true;
}

void Environment::close_scoped() {
  if (!scoped_) return;
  napi_release_threadsafe_function(std::exchange(scoped_, nullptr), napi_tsfn_abort);
}

void Environment::woken() {
  if (!scoped_) return drain();
  napi_call_threadsafe_function(scoped_, nullptr, napi_tsfn_nonblocking);
}

void Environment::cleanup(void* arg) {
  auto* self = static_cast<Environment*>(arg);
  self->close_scoped();
  while (self->members_) {
    Member* member = self->members_;
    self->remove(*member);
    member->end();
  }
  self->sentinel_->call([](Sentinel& sentinel, Channel* channel) { sentinel.detach(*channel); },
                        &self->channel());
  Sentinel::release();
  self->link_->async.data = nullptr;
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
  if (std::exchange(member.untidy_, false)) std::erase(untidy_, &member);
}

void Environment::tidy_later(Member& member) {
  if (!draining_) return member.tidy();
  if (!std::exchange(member.untidy_, true)) untidy_.push_back(&member);
}

void Environment::ref() {
  if (refs_++ > 0) return;
  if (scoped_) return void(napi_ref_threadsafe_function(env_, scoped_));
  uv_ref(wake());
}

void Environment::unref() {
  if (refs_ == 0 || --refs_ > 0) return;
  if (scoped_) return void(napi_unref_threadsafe_function(env_, scoped_));
  uv_unref(wake());
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
  channel().acknowledge();
  draining_ = true;
  Record r;
  // A bounded number of records a turn: a storm must not keep the loop from everything else.
  for (size_t i = 0; i < Channel::kSize; i++) {
    if (!channel().pop(r)) break;
    auto subscriber = subscribers_.find(r.target);
    if (subscriber == subscribers_.end()) continue;
    Napi::HandleScope inner(env_);
    // It may unsubscribe itself.
    Napi::Function callback = subscriber->second.Value();
    EpisodeNotes notes;
    const bool noted = r.kind == RecordKind::kEpisodeEnd && NotesPool::read(r.end.notes, notes);
    const Row row(env_, r, noted ? &notes : nullptr);
    if (context_) {
      callback.MakeCallback(env_.Global(), row.size(), row.values(), *context_);
    } else {
      callback.Call(env_.Global(), row.size(), row.values());
    }
    // An exception in a consumer is an uncaught one, as in any other callback; the rest still
    // comes.
    if (env_.IsExceptionPending()) {
      Napi::Error error = env_.GetAndClearPendingException();
      napi_fatal_exception(env_, error.Value());
    }
  }
  draining_ = false;
  for (Member* member : std::exchange(untidy_, {})) {
    member->untidy_ = false;
    member->tidy();
  }
  sentinel_->flush(channel());
}

}  // namespace oom::binding
