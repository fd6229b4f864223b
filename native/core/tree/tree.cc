#include "core/tree/tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/prepared/spare_fds.h"
#include "core/sys/small_file.h"
#include "core/tree/forest.h"
#include "core/tree/tree_thread.h"

namespace oom {
namespace {

constexpr uint32_t kDirMask = IN_CREATE | IN_DELETE | IN_ONLYDIR;
// How many events of one tree are handled before the next has its turn, and how many wait at most:
// as many as the kernel's own queue holds.
constexpr size_t kPiece = 512;
constexpr size_t kMostMail = 16'384;

// Calls use() with the name of each directory in `dir`, whose own name is `name`: 0 or -errno.
template <class Use>
int for_each_below(const std::string& name, Fd dir, Use&& use) {
  DIR* entries = fdopendir(dir.get());
  if (!entries) return -errno;
  dir.release();
  while (dirent* entry = readdir(entries)) {
    const char* own = entry->d_name;
    if (entry->d_type != DT_DIR || strcmp(own, ".") == 0 || strcmp(own, "..") == 0) continue;
    use(name.empty() ? own : name + "/" + own);
  }
  closedir(entries);
  return 0;
}

Fd open_directory(const Fd& root, const std::string& name) {
  return Fd(sys::open_at(root.get(), name.empty() ? "." : name.c_str(), O_RDONLY | O_DIRECTORY));
}

int stat_directory(const Fd& root, const std::string& name, struct stat& st) {
  int err = name.empty() ? fstat(root.get(), &st)
                         : fstatat(root.get(), name.c_str(), &st, AT_SYMLINK_NOFOLLOW);
  return err == 0 ? 0 : -errno;
}

}  // namespace

std::atomic<int> Tree::incomplete_trees_{0};
std::atomic<int> Tree::unwatched_trees_{0};

Status Tree::open(std::shared_ptr<const Fd> root, bool on_tree_thread) {
  std::lock_guard life(life_);
  return closed_ ? Status::of(-ECANCELED, nullptr) : open_now(std::move(root), on_tree_thread);
}

Status Tree::open_now(std::shared_ptr<const Fd> root, bool on_tree_thread) {
  root_ = std::move(root);
  Status status;
  if (on_tree_thread) status = TreeThread::acquire();
  on_tree_thread_ = on_tree_thread && status.ok();
  if (status.ok()) status = SpareFds::acquire();
  spares_ = status.ok();
  if (status.ok()) {
    std::lock_guard lock(lock_);
    unexplored_.push_back({0, ""});
    explore();
    status = failure_;
    if (status.ok() && closing_) status = Status::of(-ECANCELED, nullptr);
    if (status.ok() && dirs_.empty()) status = Status::of(-ENODEV, "open");
    opened_ = true;
  }
  if (!status.ok()) {
    clear();
  } else if (Forest::add(*this) && on_tree_thread_) {
    TreeThread::nudge();
  }
  return status;
}

void Tree::close() {
  closing_ = true;
  std::lock_guard life(life_);
  closed_ = true;
  Forest::remove(*this);
  clear();
}

// Not in the forest.
void Tree::clear() {
  {
    std::lock_guard lock(lock_);
    for (auto& [name, dir] : dirs_) unwatch(dir);
    dirs_.clear();
    names_.clear();
    set_incomplete(false);
    if (unwatched_.exchange(0) > 0) unwatched_trees_--;
    root_.reset();
  }
  {
    std::lock_guard lock(mail_lock_);
    mail_ = {};
    mail_at_ = 0;
  }
  if (std::exchange(spares_, false)) SpareFds::release();
  if (std::exchange(on_tree_thread_, false)) TreeThread::release();
}

void Tree::set_incomplete(bool value) {
  if (incomplete_.exchange(value) != value) incomplete_trees_ += value ? 1 : -1;
}

void Tree::unwatched(int change) {
  int before = unwatched_.fetch_add(change);
  if (before == 0 && change > 0) unwatched_trees_++;
  if (before > 0 && before + change == 0) unwatched_trees_--;
}

void Tree::rescan() {
  std::lock_guard lock(lock_);
  rescan_now();
}

void Tree::rescan_now() {
  set_incomplete(false);
  if (!root_) return;
  // Exploring changes the map: walk over its names.
  std::vector<std::string> names;
  names.reserve(dirs_.size());
  for (auto& [name, dir] : dirs_) names.push_back(name);
  for (auto& name : names) {
    auto it = dirs_.find(name);
    if (it == dirs_.end() || closing_) continue;
    Fd dir = open_directory(*root_, name);
    struct stat st;
    if (!dir && !is_gone(dir.get())) {
      trouble(dir.get(), "open");
      continue;
    }
    if (!dir || fstat(dir.get(), &st) != 0 || st.st_ino != it->second.inode) {
      // Removed; another one of the same name is found in the list of the group above.
      lost(name);
      continue;
    }
    watch(it->second, dir.get());
    uint32_t id = it->second.id;
    list(name, id, std::move(dir));
    explore();
  }
}

void Tree::explore() {
  while (!unexplored_.empty()) {
    Unexplored next = std::move(unexplored_.back());
    unexplored_.pop_back();
    if (!closing_) found(next.parent, next.name);
  }
}

void Tree::found(uint32_t parent, const std::string& name) {
  Fd dir = open_directory(*root_, name);
  struct stat st;
  if (!dir) {
    if (!is_gone(dir.get())) give_up(dir.get(), name);
    return trouble(dir.get(), "open");
  }
  if (auto it = dirs_.find(name); it != dirs_.end()) {
    if (fstat(dir.get(), &st) != 0) return trouble(-errno, "fstat");
    if (it->second.inode == st.st_ino) return;
    lost(name);  // made again under the same name
  }
  Dir made{0, 0, last_tag_ += 2, -1, {-1, -1, -1}};
  names_[made.tag] = name;
  unwatched(1);
  watch(made, dir.get());
  if (fstat(dir.get(), &st) != 0) {
    unwatch(made);
    names_.erase(made.tag);
    return trouble(-errno, "fstat");
  }
  made.inode = st.st_ino;
  // Report it even if the groups below it will only be seen by sweeping.
  made.id = listener_.appeared(parent, Place(root_, name, st.st_ino), dir.get());
  if (made.id == 0) {
    unwatch(made);
    names_.erase(made.tag);
    return;
  }
  uint32_t id = made.id;
  bool watched = made.watch >= 0;
  dirs_[name] = made;
  if (Dir* one = above(name)) one->below++;
  // On cgroupfs the links of a directory are its subdirectories, itself and its entry. If there were
  // 2 after it was watched, nothing was below it then, and inotify reports what has come since.
  if (watched && st.st_nlink == 2) return;
  list(name, id, std::move(dir));
}

// What is missing; where it cannot be had the directory is swept.
void Tree::watch(Dir& dir, int fd) {
  touches_watched_ = true;
  TreeListener::TouchedFiles files = listener_.touched_files();
  for (size_t i = 0; i < files.size(); i++) {
    int& number = dir.file_watches[i];
    if (files[i] && number < 0) {
      number = InotifyHub::watch(fd, files[i], IN_MODIFY, *this, dir.tag + 1);
    }
    if (files[i] && number < 0) touches_watched_ = false;
  }
  if (dir.watch >= 0) return;
  dir.watch = InotifyHub::watch(fd, "", kDirMask, *this, dir.tag);
  if (dir.watch >= 0) unwatched(-1);
}

void Tree::unwatch(Dir& dir) {
  if (dir.watch < 0) {
    unwatched(-1);
  } else {
    InotifyHub::unwatch(dir.watch, *this, dir.tag);
  }
  for (int& number : dir.file_watches) {
    if (number >= 0) InotifyHub::unwatch(number, *this, dir.tag + 1);
    number = -1;
  }
  dir.watch = -1;
}

Tree::Dir* Tree::above(const std::string& name) {
  if (name.empty()) return nullptr;
  size_t slash = name.rfind('/');
  auto it = dirs_.find(slash == std::string::npos ? "" : name.substr(0, slash));
  return it == dirs_.end() ? nullptr : &it->second;
}

void Tree::trouble(int err, const char* syscall) {
  if (is_gone(err)) return;
  Status status = Status::of(err, syscall);
  set_incomplete(true);
  if (opened_) {
    listener_.failed(status);
  } else if (failure_.ok()) {
    failure_ = status;
  }
}

// Reports a group that cannot be opened, and then all groups below it, since no event will. Returns
// whether the listener accepts that. Uses the spare descriptors: one for a directory, one for the
// listener.
bool Tree::give_up(int err, const std::string& name) {
  SpareFds::Loan loan;
  bool left = false;
  std::vector<std::string> names{name};
  while (!names.empty()) {
    std::string next = std::move(names.back());
    names.pop_back();
    Fd dir = open_directory(*root_, next);
    struct stat st;
    if (!dir || fstat(dir.get(), &st) != 0) continue;
    if (!listener_.out_of_sight(err, Place(root_, next, st.st_ino), dir.get())) break;
    left = true;
    for_each_below(next, std::move(dir),
                   [&](std::string below) { names.push_back(std::move(below)); });
  }
  return left;
}

// Forgets the group and all removed groups below it: their events may come after the watch that
// they belong to has been removed here.
void Tree::lost(const std::string& name) {
  const std::string end = name + static_cast<char>('/' + 1);
  std::vector<std::string> gone{name};
  for (auto it = dirs_.lower_bound(name + '/'); it != dirs_.lower_bound(end); ++it) {
    struct stat st;
    bool there = stat_directory(*root_, it->first, st) == 0;
    if (!there || st.st_ino != it->second.inode) gone.push_back(it->first);
  }
  // Parents sort before what is below them.
  for (auto it = gone.rbegin(); it != gone.rend(); ++it) forget(*it);
}

void Tree::forget(const std::string& name) {
  auto it = dirs_.find(name);
  if (it == dirs_.end()) return;
  Dir dir = it->second;
  dirs_.erase(it);
  names_.erase(dir.tag);
  if (Dir* one = above(name)) one->below--;
  unwatch(dir);
  listener_.vanished(dir.id);
}

void Tree::list(const std::string& name, uint32_t id, Fd dir) {
  int err = for_each_below(name, std::move(dir), [&](std::string below) {
    unexplored_.push_back({id, std::move(below)});
  });
  if (err != 0) trouble(err, "opendir");
}

// What is below comes before what is above: a group that has gone no longer counts there, so that
// one that was made in its place shows.
void Tree::sweep() {
  if (unwatched_ == 0) return;
  std::lock_guard lock(lock_);
  std::vector<std::string> names;
  for (auto it = dirs_.rbegin(); it != dirs_.rend(); ++it) {
    if (it->second.watch < 0) names.push_back(it->first);
  }
  for (auto& name : names) {
    if (!closing_) sweep_one(name);
  }
}

void Tree::sweep_one(const std::string& name) {
  auto it = dirs_.find(name);
  struct stat st;
  if (it == dirs_.end()) return;
  int err = stat_directory(*root_, name, st);
  if (is_gone(err) || (err == 0 && st.st_ino != it->second.inode)) return lost(name);
  if (err != 0) return trouble(err, "fstatat");
  bool again = InotifyHub::may_try();
  if (!again && st.st_nlink == it->second.below + 2) return;
  Fd dir = open_directory(*root_, name);
  if (!dir) return trouble(dir.get(), "open");
  // If it was removed and made again in between, the next sweep sees that.
  if (fstat(dir.get(), &st) != 0 || st.st_ino != it->second.inode) return;
  if (again) watch(it->second, dir.get());
  if (fstat(dir.get(), &st) == 0 && st.st_nlink == it->second.below + 2) return;
  uint32_t id = it->second.id;
  list(name, id, std::move(dir));
  explore();
}

void Tree::notified(uint32_t tag, uint32_t mask, const char* name) {
  bool touched = (tag & 1) != 0;
  if (!touched && !(mask & (IN_ISDIR | IN_IGNORED))) return;
  {
    std::lock_guard lock(mail_lock_);
    // Repeated writes to a file are one event until it has been handled.
    if (touched && !mail_.empty() && mail_.back().tag == tag && mail_.back().mask == mask) return;
    if (mail_.size() - mail_at_ >= kMostMail) {
      missed_ = true;
    } else {
      mail_.push_back({tag, mask, name});
    }
  }
  if (planted_) Forest::ready(*this);
}

void Tree::overflowed() {
  {
    std::lock_guard lock(mail_lock_);
    missed_ = true;
  }
  if (planted_) Forest::ready(*this);
}

bool Tree::has_mail() {
  std::lock_guard lock(mail_lock_);
  return missed_ || !mail_.empty();
}

bool Tree::next_mail(Mail& mail) {
  std::lock_guard lock(mail_lock_);
  if (mail_.empty()) return false;
  mail = std::move(mail_[mail_at_++]);
  if (mail_at_ == mail_.size()) {
    // With its memory.
    mail_ = {};
    mail_at_ = 0;
  } else if (mail_at_ >= kPiece && 2 * mail_at_ >= mail_.size()) {
    mail_.erase(mail_.begin(), mail_.begin() + static_cast<ptrdiff_t>(mail_at_));
    mail_at_ = 0;
  }
  return true;
}

bool Tree::events() {
  std::lock_guard lock(lock_);
  for (size_t i = 0; i < kPiece && !closing_; i++) {
    Mail mail;
    if (!next_mail(mail)) break;
    event(mail);
  }
  bool missed;
  {
    std::lock_guard letters(mail_lock_);
    if (!mail_.empty()) return true;
    missed = std::exchange(missed_, false);
  }
  if (missed && !closing_) {
    rescan_now();
    touch_all();
  }
  return false;
}

// Which files were written to is among what was lost.
void Tree::touch_all() {
  for (auto& [name, dir] : dirs_) {
    bool any = std::any_of(dir.file_watches.begin(), dir.file_watches.end(),
                           [](int number) { return number >= 0; });
    if (any && !closing_) listener_.touched(dir.id);
  }
}

void Tree::event(const Mail& mail) {
  bool touched = (mail.tag & 1) != 0;
  auto above = names_.find(mail.tag & ~1u);
  if (above == names_.end()) return;
  Dir& dir = dirs_[above->second];
  if (mail.mask & IN_IGNORED) {
    // The kernel has removed the watch, with its directory: a sweep finds that, or an event does.
    if (touched) {
      // A group's files vanish together.
      dir.file_watches.fill(-1);
    } else {
      if (dir.watch >= 0) unwatched(1);
      dir.watch = -1;
    }
    return;
  }
  if (touched) return listener_.touched(dir.id);
  std::string name = above->second.empty() ? mail.entry : above->second + "/" + mail.entry;
  if (mail.mask & IN_CREATE) {
    unexplored_.push_back({dir.id, std::move(name)});
    explore();
  } else if (mail.mask & IN_DELETE) {
    // Unless another has its name already: that one was found with its own event.
    struct stat st;
    if (is_gone(stat_directory(*root_, name, st))) lost(name);
  }
}

}  // namespace oom
