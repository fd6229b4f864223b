// GroupHandle: a core group as JavaScript holds it, and queries about hierarchies.
//
// Life cycle: `new GroupHandle()` is empty; open() or create() fills it when its promise resolves,
// on the environment's thread; close() or the garbage collector disposes it. The core group lives
// on while an operation, a watch or a guard still has it, so closing disturbs nothing that is under
// way. Every operation runs on libuv's pool and answers with a promise. The TypeScript side
// (lib/group/memory-group.ts) checks arguments, and that the handle is open.
#include "binding/group.h"

#include <fcntl.h>

#include <string>
#include <vector>

#include "binding/async.h"
#include "core/memcg/hierarchy.h"
#include "core/memcg/v2_mark.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"
#include "core/sys/units.h"
#include "core/watch/last_look.h"

namespace oom::binding {

namespace {

// Of this image of the addon: another copy of the package, perhaps of another version, has objects
// of another layout. The two dialects of one copy (ESM, CommonJS) and its workers share one image.
const char image = 0;
napi_type_tag tag() { return {0x6a1c5d3f8b7e4029, reinterpret_cast<uintptr_t>(&image)}; }

struct Nothing {};

Napi::Value undefined(Napi::Env env, Nothing&) { return env.Undefined(); }

Napi::Value bytes(Napi::Env env, uint64_t value) {
  return Napi::Number::New(
      env, value == kUnlimited ? std::numeric_limits<double>::infinity() : double(value));
}

uint64_t to_bytes(const Napi::Value& value) {
  const double number = value.As<Napi::Number>().DoubleValue();
  return number >= 0x1p63 ? kUnlimited : static_cast<uint64_t>(number);
}

Napi::Value pid_list(Napi::Env env, const std::vector<pid_t>& pids) {
  Napi::Array list = Napi::Array::New(env, pids.size());
  for (uint32_t i = 0; i < pids.size(); i++) list.Set(i, Napi::Number::New(env, pids[i]));
  return list;
}

Limits to_limits(const Napi::Object& from) {
  Limits limits;
  auto size = [&](const char* name, std::optional<uint64_t>& out) {
    if (Napi::Value value = from.Get(name); value.IsNumber()) out = to_bytes(value);
  };
  size("max", limits.max);
  size("high", limits.high);
  size("swapMax", limits.swap_max);
  if (Napi::Value value = from.Get("oomGroup"); value.IsBoolean()) {
    limits.oom_group = value.As<Napi::Boolean>().Value();
  }
  return limits;
}

void set(Napi::Object& object, const char* name, const std::optional<uint64_t>& value) {
  if (value) object.Set(name, bytes(object.Env(), *value));
}
void set(Napi::Object& object, const char* name, const std::optional<bool>& value) {
  if (value) object.Set(name, Napi::Boolean::New(object.Env(), *value));
}

class GroupHandle final : public Napi::ObjectWrap<GroupHandle> {
 public:
  static Napi::Function define(Napi::Env env) {
    return DefineClass(env, "GroupHandle",
                       {
                           InstanceMethod<&GroupHandle::open>("open"),
                           InstanceMethod<&GroupHandle::create>("create"),
                           InstanceMethod<&GroupHandle::create_below>("createBelow"),
                           InstanceMethod<&GroupHandle::copy>("copy"),
                           InstanceMethod<&GroupHandle::close>("close"),
                           InstanceAccessor<&GroupHandle::path>("path"),
                           InstanceAccessor<&GroupHandle::version>("version"),
                           InstanceAccessor<&GroupHandle::is_root>("isRoot"),
                           InstanceAccessor<&GroupHandle::identity>("identity"),
                           InstanceMethod<&GroupHandle::usage>("usage"),
                           InstanceMethod<&GroupHandle::peak>("peak"),
                           InstanceMethod<&GroupHandle::limits>("limits"),
                           InstanceMethod<&GroupHandle::set_limits>("setLimits"),
                           InstanceMethod<&GroupHandle::counters>("counters"),
                           InstanceMethod<&GroupHandle::reclaim>("reclaim"),
                           InstanceMethod<&GroupHandle::pids>("pids"),
                           InstanceMethod<&GroupHandle::add>("add"),
                           InstanceMethod<&GroupHandle::signal>("signal"),
                           InstanceMethod<&GroupHandle::kill>("kill"),
                           InstanceMethod<&GroupHandle::freeze>("freeze"),
                           InstanceMethod<&GroupHandle::thaw>("thaw"),
                           InstanceMethod<&GroupHandle::remove>("remove"),
                           InstanceMethod<&GroupHandle::occupied>("occupied"),
                           InstanceMethod<&GroupHandle::give_killer_back>("giveKillerBack"),
                       });
  }

  explicit GroupHandle(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    const napi_type_tag mine = tag();
    napi_type_tag_object(info.Env(), info.This(), &mine);
  }

  const std::shared_ptr<Group>& group() const { return group_; }

 private:
  using Info = const Napi::CallbackInfo&;

  // Runs `work(group, result)` on the pool.
  template <class T, class Work, class Convert>
  Napi::Value run(Info info, Work work, Convert convert) {
    return run_async<T>(
        info.Env(), [group = group_, work](T& out) { return work(*group, out); }, convert);
  }
  template <class Work>
  Napi::Value run(Info info, Work work) {
    return run<Nothing>(
        info, [work](Group& group, Nothing&) { return work(group); }, undefined);
  }

  // Runs `make(result)` on the pool and keeps the group that it gives. The reference keeps this
  // object from being collected meanwhile.
  template <class Make>
  Napi::Value fill(Info info, Make make) {
    auto alive = std::make_shared<Napi::ObjectReference>(Napi::Persistent(Value()));
    return run_async<std::shared_ptr<Group>>(
        info.Env(), make, [this, alive](Napi::Env env, std::shared_ptr<Group>& group) {
          group_ = std::move(group);
          return env.Undefined();
        });
  }

  Napi::Value open(Info info) {
    return fill(info, [path = info[0].As<Napi::String>().Utf8Value()](std::shared_ptr<Group>& out) {
      return Group::open(path, out);
    });
  }
  Napi::Value create(Info info) {
    return fill(info,
                [path = info[0].As<Napi::String>().Utf8Value(),
                 limits = to_limits(info[1].As<Napi::Object>())](std::shared_ptr<Group>& out) {
                  return Group::create(path, limits, out);
                });
  }
  // createBelow(parent, name, limits): as create(), below the group of another handle.
  Napi::Value create_below(Info info) {
    return fill(info,
                [parent = Unwrap(info[0].As<Napi::Object>())->group_,
                 name = info[1].As<Napi::String>().Utf8Value(),
                 limits = to_limits(info[2].As<Napi::Object>())](std::shared_ptr<Group>& out) {
                  return parent->create_below(name, limits, out);
                });
  }
  // copy(to): `to`, an empty handle, stands for the same group from now on.
  Napi::Value copy(Info info) {
    Unwrap(info[0].As<Napi::Object>())->group_ = group_;
    return info[0];
  }
  Napi::Value close(Info info) {
    group_.reset();
    return info.Env().Undefined();
  }

  Napi::Value path(Info info) { return Napi::String::New(info.Env(), group_->path()); }
  Napi::Value version(Info info) { return Napi::Number::New(info.Env(), group_->version()); }
  Napi::Value identity(Info info) {
    return Napi::String::New(
        info.Env(), std::to_string(group_->device()) + ":" + std::to_string(group_->inode()));
  }
  Napi::Value is_root(Info info) { return Napi::Boolean::New(info.Env(), group_->is_root()); }

  Napi::Value usage(Info info) {
    return run<uint64_t>(
        info, [](Group& group, uint64_t& out) { return group.usage(out); }, bytes);
  }
  Napi::Value peak(Info info) {
    return run<uint64_t>(
        info, [](Group& group, uint64_t& out) { return group.peak(out); }, bytes);
  }
  Napi::Value limits(Info info) {
    return run<Limits>(
        info, [](Group& group, Limits& out) { return group.limits(out); },
        [](Napi::Env env, Limits& limits) {
          Napi::Object object = Napi::Object::New(env);
          set(object, "max", limits.max);
          set(object, "high", limits.high);
          set(object, "swapMax", limits.swap_max);
          set(object, "oomGroup", limits.oom_group);
          return object;
        });
  }
  Napi::Value set_limits(Info info) {
    return run(info, [change = to_limits(info[0].As<Napi::Object>())](Group& group) {
      return group.set_limits(change);
    });
  }
  Napi::Value counters(Info info) {
    return run<Counters>(
        info, [](Group& group, Counters& out) { return group.counters(out); },
        [](Napi::Env env, Counters& counters) {
          Napi::Object object = Napi::Object::New(env);
          set(object, "oom", counters.oom);
          set(object, "oomKill", counters.oom_kill);
          set(object, "oomGroupKill", counters.oom_group_kill);
          set(object, "high", counters.high);
          set(object, "max", counters.max);
          set(object, "underOom", counters.under_oom);
          return object;
        });
  }
  Napi::Value reclaim(Info info) {
    return run<uint64_t>(
        info,
        [wanted = to_bytes(info[0])](Group& group, uint64_t& out) {
          return group.reclaim(wanted, out);
        },
        bytes);
  }
  Napi::Value pids(Info info) {
    return run<std::vector<pid_t>>(
        info,
        [recursive = info[0].As<Napi::Boolean>().Value()](Group& group, std::vector<pid_t>& out) {
          return group.pids(recursive, out);
        },
        pid_list);
  }
  Napi::Value add(Info info) {
    return run(info, [pid = info[0].As<Napi::Number>().Int32Value()](Group& group) {
      return group.add(pid);
    });
  }
  static Napi::Value signalled(Napi::Env env, Signalled& out) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("pids", pid_list(env, out.pids));
    object.Set("unseen", Napi::Number::New(env, static_cast<double>(out.unseen)));
    object.Set("empty", Napi::Boolean::New(env, out.empty));
    object.Set("charged", Napi::Boolean::New(env, out.charged));
    return object;
  }
  Napi::Value signal(Info info) {
    return run<Signalled>(
        info,
        [signal = info[0].As<Napi::Number>().Int32Value(),
         recursive = info[1].As<Napi::Boolean>().Value(),
         except = info[2].As<Napi::Number>().Int32Value()](Group& group, Signalled& out) {
          return group.signal(signal, recursive, except, out);
        },
        signalled);
  }
  Napi::Value kill(Info info) {
    return run<Signalled>(
        info,
        [recursive = info[0].As<Napi::Boolean>().Value(),
         killer = info[1].As<Napi::Boolean>().Value()](Group& group, Signalled& out) {
          return group.kill(recursive, killer, out);
        },
        signalled);
  }
  static Napi::Value boolean(Napi::Env env, bool& value) { return Napi::Boolean::New(env, value); }
  Napi::Value freeze(Info info) {
    return run<bool>(
        info, [](Group& group, bool& done) { return group.freeze(done); }, boolean);
  }
  Napi::Value thaw(Info info) {
    return run<bool>(
        info, [](Group& group, bool& done) { return group.thaw(done); }, boolean);
  }
  Napi::Value remove(Info info) {
    return run(info, [tree = info[0].As<Napi::Boolean>().Value()](Group& group) {
      return group.remove(tree, &LastLook::look_once_more);
    });
  }
  Napi::Value occupied(Info info) {
    return run<Occupied>(
        info, [](Group& group, Occupied& out) { return group.occupied(out); },
        [](Napi::Env env, Occupied& out) {
          Napi::Object object = Napi::Object::New(env);
          object.Set("members", Napi::Boolean::New(env, out.members));
          object.Set("below", Napi::Boolean::New(env, out.below));
          object.Set("unseen", Napi::Number::New(env, static_cast<double>(out.unseen)));
          object.Set("everybody", Napi::Boolean::New(env, out.everybody));
          return object;
        });
  }
  Napi::Value give_killer_back(Info info) {
    return run(info, [](Group& group) { return group.memcg().give_killer_back(group.dir()); });
  }

  std::shared_ptr<Group> group_;
};

// memoryMount(): { path, version } of the hierarchy with the memory controller.
Napi::Value memory_mount(const Napi::CallbackInfo& info) {
  return run_async<hierarchy::Mount>(
      info.Env(), [](hierarchy::Mount& out) { return hierarchy::memory(out); },
      [](Napi::Env env, hierarchy::Mount& mount) {
        Napi::Object object = Napi::Object::New(env);
        object.Set("path", Napi::String::New(env, mount.point));
        object.Set("version", Napi::Number::New(env, mount.version));
        return object;
      });
}

// memoryGroupOf(pid): absolute path of the group that a process (0: this one) is in.
Napi::Value memory_group_of(const Napi::CallbackInfo& info) {
  return run_async<std::string>(
      info.Env(),
      [pid = info[0].As<Napi::Number>().Int32Value()](std::string& out) {
        hierarchy::Mount mount;
        if (Status s = hierarchy::memory(mount); !s.ok()) return s;
        return hierarchy::group_of(mount, pid, out);
      },
      [](Napi::Env env, std::string& path) { return Napi::String::New(env, path); });
}

// hierarchies(): { mounts: [{ version, path, root, readOnly, options }], memory: one of them or
// null, self: the absolute path of this process's group or null }. On the environment's thread: it
// reads /proc, for probe() alone.
Napi::Value hierarchies(const Napi::CallbackInfo& info) {
  Napi::Env env = info.Env();
  std::vector<hierarchy::Mount> mounts;
  if (throw_if_failed(env, hierarchy::mounts(mounts))) return {};
  auto describe = [&](const hierarchy::Mount& mount) {
    Napi::Object object = Napi::Object::New(env);
    object.Set("version", Napi::Number::New(env, mount.version));
    object.Set("path", Napi::String::New(env, mount.point));
    object.Set("root", Napi::String::New(env, mount.root));
    object.Set("readOnly", Napi::Boolean::New(env, mount.read_only));
    object.Set("options", Napi::String::New(env, mount.options));
    return object;
  };
  Napi::Array list = Napi::Array::New(env, mounts.size());
  for (uint32_t i = 0; i < mounts.size(); i++) list.Set(i, describe(mounts[i]));
  Napi::Object out = Napi::Object::New(env);
  out.Set("mounts", list);
  out.Set("memory", env.Null());
  out.Set("self", env.Null());
  hierarchy::Mount memory;
  if (hierarchy::memory(mounts, memory).ok()) {
    out.Set("memory", describe(memory));
    if (std::string self; hierarchy::group_of(memory, 0, self).ok()) {
      out.Set("self", Napi::String::New(env, self));
    }
  }
  return out;
}

// isMarked(path): whether the v2 group carries the mark of a hold that can be believed.
Napi::Value is_marked(const Napi::CallbackInfo& info) {
  std::string path = info[0].As<Napi::String>().Utf8Value();
  Fd dir(sys::open_at(AT_FDCWD, path.c_str(), O_RDONLY | O_DIRECTORY));
  return Napi::Boolean::New(info.Env(), dir && hold::marked(dir.get()) == 1);
}

// isGroupHandle(value): whether it is of this image's GroupHandle.
bool is_handle(const Napi::Value& value) {
  bool tagged = false;
  const napi_type_tag mine = tag();
  return value.IsObject() &&
         napi_check_object_type_tag(value.Env(), value, &mine, &tagged) == napi_ok && tagged;
}

Napi::Value is_group_handle(const Napi::CallbackInfo& info) {
  return Napi::Boolean::New(info.Env(), is_handle(info[0]));
}

}  // namespace

std::shared_ptr<Group> group_of(Napi::Value value) {
  return is_handle(value) ? GroupHandle::Unwrap(value.As<Napi::Object>())->group() : nullptr;
}

Napi::Object init_group(Napi::Env env, Napi::Object exports) {
  exports.Set("GroupHandle", GroupHandle::define(env));
  exports.Set("isGroupHandle", Napi::Function::New<is_group_handle>(env, "isGroupHandle"));
  exports.Set("hierarchies", Napi::Function::New<hierarchies>(env, "hierarchies"));
  exports.Set("isMarked", Napi::Function::New<is_marked>(env, "isMarked"));
  exports.Set("memoryMount", Napi::Function::New<memory_mount>(env, "memoryMount"));
  exports.Set("memoryGroupOf", Napi::Function::New<memory_group_of>(env, "memoryGroupOf"));
  return exports;
}

}  // namespace oom::binding
