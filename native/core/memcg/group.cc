#include "core/memcg/group.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/members/members.h"
#include "core/members/members_warm.h"
#include "core/sys/codes.h"
#include "core/sys/control_file.h"
#include "core/sys/resolve.h"
#include "core/sys/small_file.h"

namespace oom {

namespace {

// How long one call of kill() keeps at it before it lets its thread do something else.
constexpr int64_t kKillSliceNs = 20'000'000;

// Splits "/a/b" into "/a" and "b", "/b" into "/" and "b".
void split(const std::string& path, std::string& parent, std::string& name) {
  size_t at = path.rfind('/');
  parent = at == std::string::npos ? "." : at == 0 ? "/" : path.substr(0, at);
  name = path.substr(at + 1);
}

// A symbolic link or a file on the way is no cgroup, whatever it leads to.
Status not_opened(int err) {
  if (err == -ELOOP || err == -ENOTDIR) return code::fail(code::kNotAMemoryCgroup);
  return Status::of(err, "open");
}

bool gone(int err) { return err == -ENOENT || err == -ENODEV; }

// A group whose mark is unreadable can still be killed (v2).
bool may_go_on(const Status& s) { return s.ok() || s.err == code::kUnreadableMark; }

}  // namespace

Group::Group(Fd dir, std::string path, const Memcg* memcg, dev_t device, ino_t inode)
    : dir_(std::move(dir)),
      path_(std::move(path)),
      memcg_(memcg),
      device_(device),
      inode_(inode),
      root_(memcg->is_root(dir_.get())) {}

Status Group::adopt(Fd dir, std::string path, std::shared_ptr<Group>& out) {
  const Memcg* memcg = nullptr;
  struct stat st;
  if (Status s = recognise(dir.get(), memcg); !s.ok()) return s;
  if (fstat(dir.get(), &st) != 0) return Status::last("fstat");
  out.reset(new Group(std::move(dir), std::move(path), memcg, st.st_dev, st.st_ino));
  return Status::success();
}

Status Group::open(std::string path, std::shared_ptr<Group>& out) {
  int fd = resolve::open_directory(AT_FDCWD, path.c_str());
  if (fd < 0) return not_opened(fd);
  return adopt(Fd(fd), std::move(path), out);
}

Status Group::create(std::string path, const Limits& limits, std::shared_ptr<Group>& out) {
  std::string parent_path, name;
  split(path, parent_path, name);
  int parent_fd = resolve::open_directory(AT_FDCWD, parent_path.c_str());
  if (parent_fd < 0) return not_opened(parent_fd);
  Fd parent(parent_fd);
  const Memcg* memcg = nullptr;
  if (Status s = recognise(parent.get(), memcg); !s.ok()) return s;
  return make_in(parent.get(), *memcg, name, std::move(path), limits, out);
}

Status Group::create_below(const std::string& name, const Limits& limits,
                           std::shared_ptr<Group>& out) const {
  return make_in(dir(), *memcg_, name, path_ + (path_ == "/" ? "" : "/") + name, limits, out);
}

Status Group::make_in(int parent, const Memcg& memcg, const std::string& name, std::string path,
                      const Limits& limits, std::shared_ptr<Group>& out) {
  bool changed = false;
  if (Status s = memcg.give_to_children(parent, changed); !s.ok()) return s;
  Status s = make(parent, name, std::move(path), limits, out);
  if (!s.ok() && changed) memcg.take_from_children(parent);
  return s;
}

Status Group::make(int parent, const std::string& name, std::string path, const Limits& limits,
                   std::shared_ptr<Group>& out) {
  if (mkdirat(parent, name.c_str(), 0755) != 0) return Status::last("mkdir");
  std::shared_ptr<Group> made;
  int fd = sys::open_at(parent, name.c_str(), O_RDONLY | O_DIRECTORY);
  Status s = fd < 0 ? Status::of(fd, "open") : adopt(Fd(fd), std::move(path), made);
  if (s.ok()) s = made->memcg_->count_below(made->dir());
  if (s.ok()) s = made->set_limits(limits);
  if (!s.ok()) {
    unlinkat(parent, name.c_str(), AT_REMOVEDIR);
    return s;
  }
  out = std::move(made);
  return Status::success();
}

Status Group::set_limits(const Limits& change) const {
  if (is_root()) return code::fail(code::kRootGroup);
  std::lock_guard lock(limits_mutex_);
  return memcg_->set_limits(dir(), change);
}

Status Group::reclaim(uint64_t bytes, uint64_t& freed) const {
  uint64_t before = 0, after = 0;
  if (is_root()) return code::fail(code::kRootGroup);
  if (Status s = usage(before); !s.ok()) return s;
  if (bytes > 0) {
    if (Status s = memcg_->reclaim(dir(), bytes); !s.ok()) return s;
  }
  if (Status s = usage(after); !s.ok()) return s;
  freed = after < before ? before - after : 0;
  return Status::success();
}

Status Group::add(pid_t pid) const {
  return control::write_number(dir(), "cgroup.procs", static_cast<uint64_t>(pid));
}

Status Group::signal(int signal, bool recursive, pid_t except, Signalled& out) const {
  members::List now;
  if (Status s = list(recursive, now); !s.ok()) return s;
  std::erase(now.pids, except);
  if (signal == SIGSTOP) {
    if (Status s = members::check_expendable(now.pids); !s.ok()) return s;
  }
  out.unseen = now.unseen;
  return members::signal(dir(), recursive, now.pids, signal, out.pids);
}

Status Group::kill(bool recursive, bool give_killer_back, Signalled& out) const {
  if (is_root()) return code::fail(code::kRootGroup);
  const int64_t until = sys::now_ns() + kKillSliceNs;
  members::List now;
  for (;;) {
    if (Status s = list(recursive, now); !s.ok()) {
      // Another process has removed the group after its last member was killed.
      out.empty = gone(s.err) && !out.pids.empty();
      return out.empty ? Status::success() : s;
    }
    if (Status s = members::check_expendable(now.pids); !s.ok()) return s;
    if (give_killer_back) {
      if (Status s = memcg_->give_killer_back(dir()); !may_go_on(s)) return s;
      std::vector<std::string> groups;
      if (recursive) {
        if (Status s = members::descendants(dir(), groups); !s.ok()) return s;
      }
      for (const std::string& group : groups) {
        Fd below(resolve::open_directory(dir(), group.c_str()));
        Status s = below ? memcg_->give_killer_back(below.get()) : Status::of(below.get(), "open");
        if (!may_go_on(s) && !gone(s.err)) return s;
      }
      give_killer_back = false;
    }
    out.empty = now.pids.empty() && now.unseen == 0;
    if (out.empty) {
      out.charged = !lists_everybody(dir()) && memcg_->has_anonymous(dir(), recursive);
      return Status::success();
    }
    Status s = kill_once(recursive, now, out);
    if (s.ok()) s = memcg_->let_die(*this);
    if (!s.ok() && !gone(s.err)) return s;
    if (out.unseen > 0 || sys::now_ns() >= until) return Status::success();
    // The killed need the processor to die; what they have forked is found in the next round.
    usleep(200);
  }
}

Status Group::kill_once(bool recursive, const members::List& list, Signalled& out) const {
  bool tree = recursive;
  if (!recursive && list.unseen > 0) {
    // Those who cannot be named die with the whole tree, if that is this group alone.
    std::vector<std::string> groups;
    if (Status s = members::descendants(dir(), groups); !s.ok()) return s;
    tree = groups.empty();
  }
  if (tree) {
    int err = memcg_->kill_tree(dir());
    if (err == 0) out.pids.insert(out.pids.end(), list.pids.begin(), list.pids.end());
    if (err != -EOPNOTSUPP) return Status::of(err, "write", "cgroup.kill");
  }
  // First all that can be named; when only others are left, there is nothing more to be done.
  if (list.pids.empty()) out.unseen = list.unseen;
  return members::signal(dir(), recursive, list.pids, SIGKILL, out.pids);
}

Status Group::freeze(bool& done) const {
  if (is_root()) return code::fail(code::kRootGroup);
  return memcg_->freeze(*this, done);
}

Status Group::remove(bool tree, void (*about_to)(uint64_t inode)) const {
  if (is_root()) return code::fail(code::kRootGroup);
  std::string parent_path, name;
  if (tree) {
    std::vector<std::string> below;
    if (Status s = members::descendants(dir(), below); !s.ok()) return s;
    // Parents come before their children in the list.
    for (auto it = below.rbegin(); it != below.rend(); ++it) {
      split(*it, parent_path, name);
      Fd parent(resolve::open_directory(dir(), parent_path.c_str()));
      if (!parent && gone(parent.get())) continue;
      if (!parent) return Status::of(parent.get(), "open");
      struct stat st;
      if (fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) == 0) {
        about_to(st.st_ino);
      }
      if (unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT) {
        return Status::last("rmdir");
      }
    }
  }
  // rmdir(2) goes by name: make sure that the name is still this group's.
  split(path_, parent_path, name);
  int fd = sys::open_at(dir(), "..", O_RDONLY | O_DIRECTORY);
  if (fd < 0) return Status::of(fd, "open");
  Fd parent(fd);
  struct stat st;
  if (fstatat(parent.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
    return Status::last("rmdir");
  }
  if (st.st_dev != device_ || st.st_ino != inode_) return Status::of(-ENOENT, "rmdir");
  about_to(inode_);
  if (unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) != 0) return Status::last("rmdir");
  return Status::success();
}

Status Group::occupied(Occupied& out) const {
  members::List now;
  std::vector<std::string> groups;
  if (Status s = list(false, now); !s.ok()) return s;
  if (Status s = members::descendants(dir(), groups); !s.ok()) return s;
  out = {.members = !now.pids.empty(),
         .below = !groups.empty(),
         .unseen = now.unseen,
         .everybody = lists_everybody(dir())};
  return Status::success();
}

}  // namespace oom
