#include "core/sys/event_control.h"

#include <fcntl.h>

#include <cstdio>

#include "core/sys/small_file.h"

namespace oom {

Status register_event(int dir, const char* file, int eventfd, const char* args) {
  return register_event(dir, Fd(sys::open_at(dir, file, O_RDONLY)), file, eventfd, args);
}

Status register_event(int dir, const Fd& control, const char* file, int eventfd, const char* args) {
  constexpr const char* kControl = "cgroup.event_control";
  if (!control) return Status::of(control.get(), "open", file);
  Fd events(sys::open_at(dir, kControl, O_WRONLY));
  if (!events) return Status::of(events.get(), "open", kControl);
  char line[128];
  int n = snprintf(line, sizeof line, "%d %d %s", eventfd, control.get(), args);
  if (n < 0 || static_cast<size_t>(n) >= sizeof line) return Status::of(-EINVAL, "write", kControl);
  int err = sys::write_small(events.get(), {line, static_cast<size_t>(n)});
  return Status::of(err, "write", kControl);
}

}  // namespace oom
