// Where a group is, cheaply: one shared directory fd for a whole tree, the path below it and the
// directory's inode. A watch of thousands of groups so needs no fd per directory, and a group that
// was removed and made again under the same name is not mistaken for the first (kernfs inode
// numbers carry a generation).
#pragma once

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "core/sys/fd.h"
#include "core/sys/small_file.h"

namespace oom {

class Place {
 public:
  Place() = default;
  // `name` is relative to `base`; empty: the base itself.
  Place(std::shared_ptr<const Fd> base, std::string name, uint64_t inode)
      : base_(std::move(base)), name_(std::move(name)), inode_(inode) {}

  const std::string& name() const { return name_; }
  uint64_t inode() const { return inode_; }
  // The directory that the name is relative to.
  int base() const { return base_ ? base_->get() : -1; }

  // Calls use(dirfd) and returns its result; -ENOENT when this group is gone. Allocates nothing in
  // user space.
  template <class Use>
  int with(Use&& use) const {
    if (name_.empty()) return use(base_->get());
    Fd dir(sys::open_at(base_->get(), name_.c_str(), O_PATH | O_DIRECTORY));
    if (!dir) return dir.get();
    struct stat st;
    if (fstat(dir.get(), &st) != 0) return -errno;
    if (st.st_ino != inode_) return -ENOENT;
    return use(dir.get());
  }

  // Opens a file of this group with `how`, as sys::open_at(): none, with -ENOENT as its number,
  // when the group is gone. Takes one descriptor.
  template <class How>
  Fd open(const char* file, int flags, How&& how) const {
    if (name_.empty()) return Fd(how(base_->get(), file, flags));
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", name_.c_str(), file);
    if (n < 0 || static_cast<size_t>(n) >= sizeof path) return Fd(-ENAMETOOLONG);
    Fd opened(how(base_->get(), path, flags));
    // Only then: what was opened while the name was this group's is of this group.
    struct stat st;
    if (!opened) return opened;
    if (fstatat(base_->get(), name_.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) return Fd(-errno);
    return st.st_ino == inode_ ? std::move(opened) : Fd(-ENOENT);
  }

  // Whether this group still has the file: 0, -ENOENT when it is gone, or another -errno when that
  // cannot be known now. Opens nothing: it works without a free fd.
  int exists(const char* file) const {
    struct stat st;
    if (name_.empty()) return fstatat(base_->get(), file, &st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
    char path[PATH_MAX];
    size_t length = strlen(file);
    if (name_.size() + length + 2 > sizeof path) return -ENAMETOOLONG;
    memcpy(path, name_.c_str(), name_.size() + 1);
    if (fstatat(base_->get(), path, &st, AT_SYMLINK_NOFOLLOW) != 0) return -errno;
    if (st.st_ino != inode_) return -ENOENT;
    path[name_.size()] = '/';
    memcpy(path + name_.size() + 1, file, length + 1);
    return fstatat(base_->get(), path, &st, AT_SYMLINK_NOFOLLOW) ? -errno : 0;
  }

 private:
  std::shared_ptr<const Fd> base_;
  std::string name_;
  uint64_t inode_ = 0;
};

// Whether an errno says that the group is gone: open(2) of its files, or read(2) of open ones.
inline bool is_gone(int err) { return err == -ENOENT || err == -ENODEV; }

}  // namespace oom
