// Kernel contract: freezer.state takes FROZEN and THAWED and reads FREEZING until the last task has
// stopped (each read checks again). freezer.self_freezing and parent_freezing (3.7) say why it is
// frozen. The root has none of these files. A task that waits in the kernel for something else than
// a freezable sleep does not stop: among them those that wait for the end of an out-of-memory.
#include "core/memcg/freezer_v1.h"

#include <unistd.h>

#include <algorithm>
#include <vector>

#include "core/members/members.h"
#include "core/memcg/freezer_v1_warm.h"
#include "core/memcg/group.h"
#include "core/sys/codes.h"
#include "core/sys/control_file.h"
#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/sys/resolve.h"

namespace oom::freezer_v1 {

namespace {

constexpr const char* kParent = "freezer.parent_freezing";

Status open_freezer_group(const Group& group, Fd& out) {
  // The path says nothing once the group is gone: it may be another group's by now.
  uint64_t usage = 0;
  if (Status s = group.usage(usage); !s.ok()) return s;
  std::string path;
  return open_directory(group.path(), out, path);
}

Status read_state(int dir, parse::FreezerState& out) {
  char buf[32];
  std::string_view text;
  if (Status s = control::read(dir, kFreezerState, buf, sizeof buf, text); !s.ok()) return s;
  if (int err = parse::freezer_state(text, out)) return Status::of(err, "read", kFreezerState);
  return Status::success();
}

// Whether every member of the group is also in the freezer group: ERR_NO_FREEZER if not.
Status check_members(const Group& group, int freezer) {
  for (int attempt = 0;; attempt++) {
    std::vector<pid_t> in_memory, in_freezer;
    if (Status s = group.pids(true, in_memory); !s.ok()) return s;
    if (std::binary_search(in_memory.begin(), in_memory.end(), getpid())) {
      return code::fail(code::kSelfInGroup);
    }
    if (Status s = members::pids(freezer, true, in_freezer); !s.ok()) return s;
    if (std::binary_search(in_freezer.begin(), in_freezer.end(), getpid())) {
      return code::fail(code::kSelfInGroup);
    }
    if (std::includes(in_freezer.begin(), in_freezer.end(), in_memory.begin(), in_memory.end())) {
      return Status::success();
    }
    // A process that ended between the two reads is missing in one list: read both again.
    if (attempt == 3) return code::fail(code::kNoFreezer, "cgroup.procs");
  }
}

Status thaw_one(int dir) {
  uint64_t self = 0;
  if (Status s = control::read_number(dir, "freezer.self_freezing", self); !s.ok()) return s;
  return self == 0 ? Status::success() : control::write(dir, kFreezerState, "THAWED");
}

}  // namespace

Status freeze(const Group& group, bool& done) {
  Fd dir;
  parse::FreezerState state{};
  uint64_t self = 0;
  if (Status s = open_freezer_group(group, dir); !s.ok()) return s;
  if (Status s = control::read_number(dir.get(), "freezer.self_freezing", self); !s.ok()) return s;
  if (self == 0) {
    if (Status s = check_members(group, dir.get()); !s.ok()) return s;
    if (Status s = control::write(dir.get(), kFreezerState, "FROZEN"); !s.ok()) return s;
  }
  if (Status s = read_state(dir.get(), state); !s.ok()) return s;
  done = state == parse::FreezerState::kFrozen;
  return Status::success();
}

Status thaw(const Group& group, bool& done) {
  Fd dir;
  parse::FreezerState state{};
  uint64_t parent = 0;
  if (Status s = open_freezer_group(group, dir); !s.ok()) return s;
  if (Status s = thaw_one(dir.get()); !s.ok()) return s;
  if (Status s = read_state(dir.get(), state); !s.ok()) return s;
  done = state == parse::FreezerState::kThawed;
  if (done) return Status::success();
  if (Status s = control::read_number(dir.get(), kParent, parent); !s.ok()) return s;
  return parent == 0 ? Status::success() : Status::of(-EBUSY, "write", kParent);
}

Status let_die(const Group& group) {
  Fd dir;
  if (Status s = open_freezer_group(group, dir); !s.ok()) {
    return s.err == code::kNoFreezer ? Status::success() : s;
  }
  uint64_t parent = 0;
  std::vector<std::string> below;
  if (Status s = control::read_number(dir.get(), kParent, parent); !s.ok()) return s;
  if (parent != 0) return Status::of(-EBUSY, "write", kParent);
  if (Status s = thaw_one(dir.get()); !s.ok()) return s;
  if (Status s = members::descendants(dir.get(), below); !s.ok()) return s;
  for (const std::string& path : below) {
    Fd one(resolve::open_directory(dir.get(), path.c_str()));
    Status s = one ? thaw_one(one.get()) : Status::of(one.get(), "open");
    if (!s.ok() && s.err != -ENOENT && s.err != -ENODEV) return s;
  }
  return Status::success();
}

Status check(const Group& group) {
  Fd dir;
  if (Status s = open_freezer_group(group, dir); !s.ok()) return s;
  return check_members(group, dir.get());
}

}  // namespace oom::freezer_v1
