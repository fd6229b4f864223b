#include "core/sys/own_oom_score.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <mutex>
#include <vector>

#include "core/sys/small_file.h"

namespace oom::score {

namespace {

constexpr const char* kFile = "/proc/self/oom_score_adj";

struct Set {
  uint32_t id;
  int value;
};

struct State {
  std::mutex mutex;
  std::vector<Set> in_force;
  int found = 0;
  uint32_t last_id = 0;
};

// Never destroyed: workers may use it while the process exits.
State& state() {
  static auto* const only = new State;
  return *only;
}

Status read(int& out) {
  char text[16];
  const ssize_t n = sys::read_at(AT_FDCWD, kFile, text, sizeof text);
  if (n < 0) return Status::of(static_cast<int>(n), "read", kFile);
  return std::from_chars(text, text + n, out).ec == std::errc()
             ? Status::success()
             : Status::of(-EINVAL, "read", kFile);
}

Status write(int value) {
  char text[16];
  const char* end = std::to_chars(text, text + sizeof text, value).ptr;
  const int err = sys::write_at(AT_FDCWD, kFile, {text, static_cast<size_t>(end - text)});
  return err == 0 ? Status::success() : Status::of(err, "write", kFile);
}

}  // namespace

Status set(int value, uint32_t& id) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  int found = 0;
  if (Status status = read(found); !status.ok()) return status;
  if (Status status = write(value); !status.ok()) return status;
  if (s.in_force.empty()) s.found = found;
  id = ++s.last_id;
  s.in_force.push_back({id, value});
  return Status::success();
}

Status undo(uint32_t id) {
  State& s = state();
  std::lock_guard lock(s.mutex);
  auto mine = std::find_if(s.in_force.begin(), s.in_force.end(),
                           [&](const Set& set) { return set.id == id; });
  if (mine == s.in_force.end()) return Status::success();
  if (mine + 1 == s.in_force.end()) {
    const int next = mine == s.in_force.begin() ? s.found : (mine - 1)->value;
    if (Status status = write(next); !status.ok()) return status;
  }
  s.in_force.erase(mine);
  return Status::success();
}

std::optional<int> before() {
  State& s = state();
  std::lock_guard lock(s.mutex);
  if (s.in_force.empty()) return std::nullopt;
  return s.found;
}

}  // namespace oom::score
