// What belongs to one JavaScript environment (main thread or worker): its channel from the
// sentinel, the wake-up, and everything that must end with it.
//
// Life cycle, all on the environment's thread:
//   first use           the sentinel is started or joined, the channel attached
//   records waiting     uv_async_send on the sentinel → drain() here → the subscriber's callback,
//                       once each
//   environment ends    a synchronous cleanup hook ends all members (guards release what they
//                       hold) and leaves the sentinel, which is joined by the last; then an
//                       asynchronous one closes the uv_async_t
//
// Subscribers and claims on the event loop are counted here and not in JavaScript: several copies
// of the package (ESM and CommonJS, a cleared module cache) may use one addon.
#pragma once

#include <uv.h>

#include <memory>
#include <unordered_map>
#include <vector>

#include "binding/addon.h"
#include "core/sentinel/channel.h"
#include "core/sentinel/sentinel.h"

namespace oom::binding {

// Something that must end before its environment does.
class Member {
 public:
  virtual ~Member() = default;
  virtual void end() = 0;
  // Once after a turn's records, as asked for by tidy_later().
  virtual void tidy() {}

 private:
  friend class Environment;
  Member* next_ = nullptr;
  Member* previous_ = nullptr;
  bool untidy_ = false;
};

class Environment {
 public:
  // The environment's own, made on first use; null with a pending exception when it cannot be.
  static Environment* of(Napi::Env env);
  ~Environment();
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

  Sentinel& sentinel() { return *sentinel_; }
  Channel& channel();
  void add(Member& member);
  void remove(Member& member);
  // What a record leaves to be done is done for all of a turn together.
  void tidy_later(Member& member);
  // The loop stays alive while there are more refs than unrefs.
  void ref();
  void unref();
  // The target under which the callback gets its records, until unsubscribed.
  uint32_t subscribe(Napi::Function callback);
  void unsubscribe(uint32_t target);
  // Delivers the records that wait.
  void drain();

 private:
  struct Link;
  explicit Environment(Napi::Env env) : env_(env) {}
  bool start();
  bool open_scoped();
  void close_scoped();
  // On the environment's thread: records wait.
  void woken();
  static void cleanup(void* self);

  Napi::Env env_;
  Sentinel* sentinel_ = nullptr;
  uv_handle_t* wake() const;
  // Deno's way to drain(), instead of `context_`; null elsewhere.
  napi_threadsafe_function scoped_ = nullptr;
  Link* link_ = nullptr;
  Member* members_ = nullptr;
  std::vector<Member*> untidy_;
  bool draining_ = false;
  std::unordered_map<uint32_t, Napi::FunctionReference> subscribers_;
  uint32_t last_target_ = 0;
  uint32_t refs_ = 0;
  std::unique_ptr<Napi::AsyncContext> context_;
};

}  // namespace oom::binding
