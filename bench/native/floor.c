// An addon for the measurements alone, plain Node-API:
//   fire(callback, group?)   another thread takes the time after a pause and calls uv_async_send; the
//                            callback gets that time. The floor of `consumer`: the least that it takes
//                            to get from a native thread to JavaScript. With a group's directory the
//                            thread first makes the system calls of a watch that is notified of an OOM.
//   heap()                   bytes in use in the C library's allocator, all arenas.
#include <fcntl.h>
#include <malloc.h>
#include <node_api.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

static uv_async_t async;
static sem_t wanted;
static napi_env environment;
static napi_ref callback;
static napi_async_context context;
static volatile long long sent_at;
static char group[4096];
static int timer;

static void read_one(int dir, const char* name) {
  char text[4096];
  int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  if (pread(fd, text, sizeof text, 0) < 0) group[0] = 0;
  close(fd);
}

static void look(int dir) {
  faccessat(dir, "memory.oom_control", F_OK, 0);
  faccessat(dir, "memory.oom_control", F_OK, 0);
  read_one(dir, "memory.oom_control");
  read_one(dir, "memory.failcnt");
  read_one(dir, "../memory.oom_control");
}

static void* sender(void* unused) {
  (void)unused;
  for (;;) {
    while (sem_wait(&wanted) != 0) {
    }
    struct timespec pause = {0, 1000000}, ts;
    int dir = group[0] ? open(group, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    nanosleep(&pause, 0);
    clock_gettime(CLOCK_MONOTONIC, &ts);
    sent_at = ts.tv_sec * 1000000000LL + ts.tv_nsec;
    if (dir >= 0) look(dir);
    uv_async_send(&async);
    if (dir < 0) continue;
    struct itimerspec next = {{0, 0}, {0, 500000}};
    timerfd_settime(timer, 0, &next, 0);
    close(dir);
  }
  return 0;
}

static void arrived(uv_async_t* handle) {
  napi_env env = environment;
  napi_handle_scope scope;
  napi_open_handle_scope(env, &scope);
  napi_value at, self, function;
  napi_create_bigint_int64(env, sent_at, &at);
  napi_get_global(env, &self);
  napi_get_reference_value(env, callback, &function);
  uv_unref((uv_handle_t*)handle);
  napi_make_callback(env, context, self, function, 1, &at, 0);
  napi_close_handle_scope(env, scope);
}

static napi_value fire(napi_env env, napi_callback_info info) {
  size_t argc = 2, length = 0;
  napi_value arguments[2];
  napi_get_cb_info(env, info, &argc, arguments, 0, 0);
  if (callback) napi_delete_reference(env, callback);
  napi_create_reference(env, arguments[0], 1, &callback);
  napi_get_value_string_utf8(env, arguments[1], group, sizeof group, &length);
  group[length] = 0;
  uv_ref((uv_handle_t*)&async);
  sem_post(&wanted);
  return 0;
}

static napi_value heap(napi_env env, napi_callback_info info) {
  (void)info;
  struct mallinfo2 now = mallinfo2();
  napi_value bytes;
  napi_create_int64(env, (int64_t)(now.uordblks + now.hblkhd), &bytes);
  return bytes;
}

NAPI_MODULE_INIT() {
  environment = env;
  uv_loop_t* loop;
  napi_get_uv_event_loop(env, &loop);
  uv_async_init(loop, &async, arrived);
  uv_unref((uv_handle_t*)&async);
  napi_value name;
  napi_create_string_utf8(env, "bench", NAPI_AUTO_LENGTH, &name);
  napi_async_init(env, 0, name, &context);
  sem_init(&wanted, 0, 0);
  timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  pthread_t thread;
  pthread_create(&thread, 0, sender, 0);
  pthread_detach(thread);
  napi_value function;
  napi_create_function(env, "fire", NAPI_AUTO_LENGTH, fire, 0, &function);
  napi_set_named_property(env, exports, "fire", function);
  napi_create_function(env, "heap", NAPI_AUTO_LENGTH, heap, 0, &function);
  napi_set_named_property(env, exports, "heap", function);
  return exports;
}
