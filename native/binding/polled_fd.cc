// PolledFd: owns an eventfd or a pidfd and reports, on the environment's own loop, when it is
// readable. No thread waits for it and none of libuv's pool is used.
//
// Life cycle, all on the environment's thread:
//   new PolledFd(fd)      takes the fd over
//   start(callback)       the uv_poll_t is made on first use; the object stays alive while started
//   readable              callback(status) through napi_make_callback, until stop()
//   close(), or GC        polling ends and the fd is closed at once; the uv_poll_t, which libuv
//                         frees a loop turn later, is its own object and deletes itself
//   environment ends      the same from an async cleanup hook, which makes Node.js wait for that
//                         turn
#include <uv.h>

#include "binding/addon.h"
#include "binding/convert.h"
#include "core/sys/fd.h"

// Not every runtime that loads Node-API addons has these: weak, so that the addon still loads
// there.
#pragma weak uv_poll_init
#pragma weak uv_poll_start
#pragma weak uv_poll_stop
#pragma weak uv_close
#pragma weak uv_ref
#pragma weak uv_unref

namespace oom::binding {

namespace {

class PolledFd;

// The part that libuv holds on to.
struct Poll {
  uv_poll_t handle;
  napi_async_cleanup_hook_handle hook = nullptr;
  PolledFd* owner;
  bool closing = false;
};

class PolledFd final : public Napi::ObjectWrap<PolledFd> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(
        env, "PolledFd",
        {InstanceAccessor<&PolledFd::fd>("fd"), InstanceMethod<&PolledFd::start>("start"),
         InstanceMethod<&PolledFd::stop>("stop"), InstanceMethod<&PolledFd::set_ref>("setRef"),
         InstanceMethod<&PolledFd::close>("close")});
  }

  explicit PolledFd(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<PolledFd>(info),
        fd_(info[0].As<Napi::Number>().Int32Value()),
        context_(info.Env(), "cgroup-oom:fd") {}

  ~PolledFd() { end(); }

 private:
  Napi::Value fd(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), fd_.get());
  }

  void start(const Napi::CallbackInfo& info) {
    if (int err = open_poll()) {
      throw_if_failed(info.Env(), Status::of(err, "uv_poll_init"));
      return;
    }
    if (int err = uv_poll_start(&poll_->handle, UV_READABLE, on_readable)) {
      throw_if_failed(info.Env(), Status::of(err, "uv_poll_start"));
      return;
    }
    callback_ = Napi::Persistent(info[0].As<Napi::Function>());
    if (!started_) Ref();
    started_ = true;
  }

  void stop(const Napi::CallbackInfo&) { stop_polling(); }

  void set_ref(const Napi::CallbackInfo& info) {
    ref_ = info[0].As<Napi::Boolean>();
    apply_ref();
  }

  void close(const Napi::CallbackInfo&) { end(); }

  int open_poll() {
    if (poll_) return 0;
    if (!uv_poll_init || !uv_poll_start || !uv_poll_stop || !uv_close || !uv_ref || !uv_unref) {
      return -ENOSYS;
    }
    uv_loop_t* loop = nullptr;
    if (napi_get_uv_event_loop(Env(), &loop) != napi_ok) return -ENOSYS;
    auto* poll = new Poll{.handle = {}, .owner = this};
    if (int err = uv_poll_init(loop, &poll->handle, fd_.get())) {
      delete poll;
      return err;
    }
    poll->handle.data = poll;
    poll_ = poll;
    if (napi_add_async_cleanup_hook(Env(), on_env_cleanup, poll, &poll->hook) != napi_ok) {
      poll->hook = nullptr;
    }
    apply_ref();
    return 0;
  }

  void apply_ref() {
    if (!poll_) return;
    auto* handle = reinterpret_cast<uv_handle_t*>(&poll_->handle);
    if (ref_) {
      uv_ref(handle);
    } else {
      uv_unref(handle);
    }
  }

  void stop_polling() {
    if (!started_) return;
    started_ = false;
    if (poll_) uv_poll_stop(&poll_->handle);
    Unref();
  }

  void end() {
    stop_polling();
    if (poll_) close_poll(std::exchange(poll_, nullptr));
    fd_.reset();
  }

  static void close_poll(Poll* poll) {
    poll->owner = nullptr;
    poll->closing = true;
    uv_close(reinterpret_cast<uv_handle_t*>(&poll->handle), [](uv_handle_t* handle) {
      auto* closed = static_cast<Poll*>(handle->data);
      if (closed->hook) napi_remove_async_cleanup_hook(closed->hook);
      delete closed;
    });
  }

  static void on_env_cleanup(napi_async_cleanup_hook_handle, void* data) {
    auto* poll = static_cast<Poll*>(data);
    // Closing already: the hook is removed, and the wait over, when that is done.
    if (!poll->closing) poll->owner->end();
  }

  static void on_readable(uv_poll_t* handle, int status, int) {
    PolledFd* self = static_cast<Poll*>(handle->data)->owner;
    if (!self || !self->started_) return;
    Napi::Env env = self->Env();
    Napi::HandleScope scope(env);
    self->callback_.MakeCallback(self->Value(), {Napi::Number::New(env, status)}, self->context_);
    if (env.IsExceptionPending()) {
      napi_fatal_exception(env, env.GetAndClearPendingException().Value());
    }
  }

  Fd fd_;
  Napi::AsyncContext context_;
  Napi::FunctionReference callback_;
  Poll* poll_ = nullptr;
  bool started_ = false;
  bool ref_ = true;
};

}  // namespace

Napi::Object init_polled_fd(Napi::Env env, Napi::Object exports) {
  exports.Set("PolledFd", PolledFd::define(env));
  return exports;
}

}  // namespace oom::binding
