#include "core/memcg/hierarchy.h"

#include <fcntl.h>
#include <unistd.h>

#include <charconv>
#include <climits>

#include "core/sys/codes.h"
#include "core/sys/control_file.h"
#include "core/sys/fd.h"
#include "core/sys/parse.h"
#include "core/sys/small_file.h"

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

// The machine itself.
struct Machine final : Look {
  bool reaches(const std::string& point, std::string_view id) const override {
    Fd fd(sys::open_at(AT_FDCWD, point.c_str(), O_PATH | O_DIRECTORY));
    // If descriptors or memory are short, the mount counts as reachable: opening it later fails
    // with that error.
    const int err = fd.get();
    if (!fd) return err != -ENOENT && err != -ENOTDIR && err != -EACCES && err != -ELOOP;
    char path[40] = "/proc/self/fdinfo/";
    *std::to_chars(path + 18, path + 39, fd.get()).ptr = '\0';
    char text[1024];
    const ssize_t n = sys::read_at(AT_FDCWD, path, text, sizeof text);
    // Where the kernel does not say it (before 3.15), any directory there will do.
    if (n < 0) return true;
    std::string_view rest(text, static_cast<size_t>(n)), line;
    constexpr std::string_view kKey = "mnt_id:\t";
    while (parse::next_line(rest, line)) {
      if (line.substr(0, kKey.size()) == kKey) return line.substr(kKey.size()) == id;
    }
    return true;
  }
  bool offers_memory(const Mount& mount) const override {
    Fd dir(sys::open_at(AT_FDCWD, mount.point.c_str(), O_RDONLY | O_DIRECTORY));
    if (!dir) return false;
    bool offered = false;
    return control::lists(dir.get(), "cgroup.controllers", "memory", offered).ok() && offered;
  }
};

bool has_controller(const Mount& mount, std::string_view name) {
  return mount.version == 1 && parse::has_word(mount.options, name);
}

// The best mount is the one with the smallest rank; the first one of equals.
struct Rank {
  bool hides_own;
  size_t root;
  bool read_only;
  bool operator<(const Rank& other) const {
    if (hides_own != other.hides_own) return other.hides_own;
    if (root != other.root) return root < other.root;
    return !read_only && other.read_only;
  }
};

}  // namespace

std::vector<Mount> mounts(std::string_view mountinfo, const Look& look) {
  std::vector<Mount> out;
  std::string_view rest = mountinfo, line;
  while (parse::next_line(rest, line)) {
    parse::MountLine parsed;
    if (parse::mount_line(line, parsed) != 0) continue;
    const bool v2 = parsed.type == "cgroup2";
    if (!v2 && parsed.type != "cgroup") continue;
    Mount mount;
    mount.version = v2 ? 2 : 1;
    mount.point = plain(parsed.mount_point);
    mount.root = plain(parsed.root);
    mount.read_only =
        parse::has_word(parsed.options, "ro") || parse::has_word(parsed.super_options, "ro");
    mount.options = parsed.super_options;
    if (look.reaches(mount.point, parsed.id)) out.push_back(std::move(mount));
  }
  return out;
}

Status mounts(std::vector<Mount>& out) {
  std::string text;
  if (Status s = read_all("/proc/self/mountinfo", text); !s.ok()) return s;
  out = mounts(text, Machine());
  return Status::success();
}

Status memory(const std::vector<Mount>& mounts, std::string_view own_groups, const Look& look,
              Mount& out) {
  for (const std::string_view controller : {"memory", ""}) {
    std::string_view own;
    const bool known = parse::cgroup_path(own_groups, controller, own) == 0;
    const Mount* best = nullptr;
    Rank least{};
    for (const Mount& mount : mounts) {
      if (controller.empty() ? mount.version != 2 || !look.offers_memory(mount)
                             : !has_controller(mount, controller)) {
        continue;
      }
      std::string ignored;
      const Rank rank{known && !to_absolute(mount, own, ignored), mount.root.size(),
                      mount.read_only};
      if (best != nullptr && !(rank < least)) continue;
      best = &mount;
      least = rank;
    }
    if (best == nullptr) continue;
    out = *best;
    out.controller = controller;
    return Status::success();
  }
  return code::fail(code::kCgroupUnsupported);
}

Status memory(const std::vector<Mount>& mounts, Mount& out) {
  std::string own;
  // Not known: then any mount shows it.
  (void)read_all("/proc/self/cgroup", own);
  return memory(mounts, own, Machine(), out);
}

Status memory(Mount& out) {
  std::vector<Mount> all;
  if (Status s = mounts(all); !s.ok()) return s;
  return memory(all, out);
}

Status controller(std::string_view name, std::string_view path, Mount& out) {
  std::vector<Mount> all;
  if (Status s = mounts(all); !s.ok()) return s;
  std::string_view rest;
  for (Mount& mount : all) {
    if (!has_controller(mount, name) || !below(path, mount.root, rest)) continue;
    out = std::move(mount);
    out.controller = name;
    return Status::success();
  }
  return Status::of(-ENOENT, "open");
}

Status containing(std::string_view name, std::string_view absolute, Mount& out) {
  std::vector<Mount> all;
  if (Status s = mounts(all); !s.ok()) return s;
  const Mount* best = nullptr;
  std::string_view rest;
  for (const Mount& mount : all) {
    if (!has_controller(mount, name) || !below(absolute, mount.point, rest)) continue;
    if (best == nullptr || mount.point.size() > best->point.size()) best = &mount;
  }
  if (best == nullptr) return Status::of(-ENOENT, "open");
  out = *best;
  out.controller = name;
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
