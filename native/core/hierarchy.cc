#include "core/hierarchy.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <climits>

#include "core/codes.h"
#include "core/control.h"
#include "core/fd.h"
#include "core/parse.h"
#include "core/sys.h"

namespace oom::hierarchy {

namespace {

// A file of /proc of any size.
Status read_all(const char* path, std::string& out) {
  int opened = sys::open_at(AT_FDCWD, path, O_RDONLY);
  if (opened < 0) return Status::of(opened, "open");
  Fd fd(opened);
  char buf[8192];
  for (;;) {
    ssize_t n = ::read(fd.get(), buf, sizeof buf);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Status::last("read");
    if (n == 0) return Status::success();
    out.append(buf, static_cast<size_t>(n));
  }
}

std::string plain(std::string_view escaped) {
  char buf[PATH_MAX];
  ssize_t n = parse::unescape(escaped, buf, sizeof buf);
  return n < 0 ? std::string() : std::string(buf, static_cast<size_t>(n));
}

// Whether `path` is `above` or below it; what is left in `rest`, without a slash in front.
bool below(std::string_view path, std::string_view above, std::string_view& rest) {
  if (above == "/") above = "";
  if (path.substr(0, above.size()) != above) return false;
  rest = path.substr(above.size());
  if (!rest.empty() && rest.front() != '/') return false;
  while (!rest.empty() && rest.front() == '/') rest.remove_prefix(1);
  return true;
}

std::string join(std::string_view base, std::string_view rest) {
  std::string out(base);
  if (!rest.empty()) {
    if (out.empty() || out.back() != '/') out += '/';
    out += rest;
  }
  return out;
}

// Whether a unified hierarchy has the memory controller to give: it may be bound to v1 instead.
bool has_memory(const Mount& mount) {
  Fd dir(sys::open_at(AT_FDCWD, mount.point.c_str(), O_RDONLY | O_DIRECTORY));
  if (!dir) return false;
  bool offered = false;
  return control::lists(dir.get(), "cgroup.controllers", "memory", offered).ok() && offered;
}

// On v2 a process is charged to the nearest group upwards that has the controller. A group that is
// gone stays what it is: nothing is known of it.
void climb(const Mount& mount, std::string& path) {
  constexpr std::string_view kFile = "/memory.current";
  while (path.size() > mount.point.size()) {
    std::string file = path;
    file += kFile;
    if (faccessat(AT_FDCWD, path.c_str(), F_OK, 0) != 0) return;
    if (faccessat(AT_FDCWD, file.c_str(), F_OK, 0) == 0) return;
    path.resize(path.rfind('/'));
  }
}

// Calls use(Mount) for each v1 mount of the controller, or each v2 mount for "".
template <class Use>
Status each_mount(std::string_view controller, Use&& use) {
  std::string text;
  if (Status s = read_all("/proc/self/mountinfo", text); !s.ok()) return s;
  std::string_view rest = text, line;
  while (parse::next_line(rest, line)) {
    parse::MountLine parsed;
    if (parse::mount_line(line, parsed) != 0) continue;
    const bool wanted = controller.empty() ? parsed.type == "cgroup2"
                                           : parsed.type == "cgroup" &&
                                                 parse::has_word(parsed.super_options, controller);
    if (!wanted) continue;
    use(Mount{controller.empty() ? 2 : 1, plain(parsed.mount_point), plain(parsed.root),
              std::string(controller)});
  }
  return Status::success();
}

}  // namespace

Status memory(Mount& out) {
  Mount best;
  // A later mount on the same directory hides the one before it.
  auto widest = [&](Mount mount) {
    if (best.version == 0 || mount.root.size() < best.root.size() || mount.point == best.point) {
      best = std::move(mount);
    }
  };
  if (Status s = each_mount("memory", widest); !s.ok()) return s;
  if (best.version == 0) {
    auto with_memory = [&](Mount mount) {
      if (has_memory(mount)) widest(std::move(mount));
    };
    if (Status s = each_mount("", with_memory); !s.ok()) return s;
  }
  if (best.version == 0) return code::fail(code::kCgroupUnsupported);
  out = std::move(best);
  return Status::success();
}

Status controller(std::string_view name, std::string_view path, Mount& out) {
  bool found = false;
  std::string_view rest;
  Status s = each_mount(name, [&](Mount mount) {
    if (found || !below(path, mount.root, rest)) return;
    out = std::move(mount);
    found = true;
  });
  if (s.ok() && !found) return Status::of(-ENOENT, "open");
  return s;
}

Status containing(std::string_view name, std::string_view absolute, Mount& out) {
  Mount best;
  std::string_view rest;
  Status s = each_mount(name, [&](Mount mount) {
    if (!below(absolute, mount.point, rest)) return;
    if (best.version == 0 || mount.point.size() >= best.point.size()) best = std::move(mount);
  });
  if (!s.ok()) return s;
  if (best.version == 0) return Status::of(-ENOENT, "open");
  out = std::move(best);
  return Status::success();
}

Status group_of(const Mount& mount, pid_t pid, std::string& out) {
  char path[32] = "/proc/self/cgroup";
  if (pid != 0) {
    char* end = std::to_chars(path + 6, path + 20, pid).ptr;
    std::string_view("/cgroup").copy(end, 8);
    end[7] = '\0';
  }
  std::string text;
  Status s = read_all(path, text);
  if (s.err == -ENOENT) return Status::of(-ESRCH, "open");
  if (!s.ok()) return s;
  std::string_view found;
  if (int err = parse::cgroup_path(text, mount.controller, found)) {
    return Status::of(err, "read");
  }
  if (!to_absolute(mount, found, out)) return Status::of(-ENOENT, "open");
  if (mount.version == 2) climb(mount, out);
  return Status::success();
}

bool to_absolute(const Mount& mount, std::string_view path, std::string& out) {
  std::string_view rest;
  // "/.." in front: outside of this process's cgroup namespace.
  if (!below(path, mount.root, rest) || rest == ".." || rest.substr(0, 3) == "../") {
    return false;
  }
  out = join(mount.point, rest);
  return true;
}

bool to_hierarchy(const Mount& mount, std::string_view absolute, std::string& out) {
  std::string_view rest;
  if (!below(absolute, mount.point, rest)) return false;
  out = join(mount.root, rest);
  return true;
}

}  // namespace oom::hierarchy
