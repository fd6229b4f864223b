#include "guardian/guarded_tree.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/members/members_warm.h"
#include "core/memcg/freezer_v1_warm.h"
#include "core/prepared/spare_fds.h"
#include "core/sys/codes.h"
#include "core/sys/small_file.h"

namespace oom::guardian {

GuardedTree::GuardedTree(GuardianContext& context, const Question& question)
    : context_(context),
      kind_(back_end_kind(static_cast<int>(question.version), static_cast<HoldBy>(question.by))),
      guard_descendants_(question.guard_descendants != 0) {
  hold_.band = question.band;
  hold_.by = static_cast<HoldBy>(question.by);
  hold_.who = static_cast<Who>(question.who);
  config_.shared = context.shared;
  config_.effects = this;
  config_.grace_ns = question.grace_ns;
  config_.parent_alive = context.parent_alive;
  config_.on_done = context.on_done;
  config_.on_done_arg = context.on_done_arg;
  config_.episode.delay_ns = config_.episode.max_delay_ns = question.delay_ns;
  config_.episode.fallback = static_cast<Fallback>(question.fallback);
}

GuardedTree::~GuardedTree() { dispose(false); }

Status GuardedTree::open(Fd root, Fd freezer) {
  freezer_ = std::move(freezer);
  root_ = std::make_shared<const Fd>(std::move(root));
  Status status = tree_.open(root_, false);
  if (status.ok()) status = failure_;
  opening_ = false;
  return status;
}

void GuardedTree::parent_gone() {
  config_.parent_alive = false;
  for (auto& [id, group] : groups_) group->parent_gone(*context_.loop);
}

void GuardedTree::restore() {
  for (auto& [id, group] : groups_) group->restore(*context_.loop, true);
}

void GuardedTree::dispose(bool held) {
  tree_.close();
  for (auto& [id, group] : groups_) group->dispose(*context_.loop, held);
}

bool GuardedTree::done() const {
  for (auto& [id, group] : groups_) {
    if (!group->done()) return false;
  }
  return true;
}

bool GuardedTree::deciding() const {
  for (auto& [id, group] : groups_) {
    if (group->decision().under_way()) return true;
  }
  return false;
}

uint32_t GuardedTree::appeared(uint32_t parent, const Place& place, int dir) {
  bool guarded = parent == 0 || (guard_descendants_ && context_.parent_alive);
  // A new group inherits the disabled killer: if no guard covers it, release it. A group that
  // existed before keeps its setting.
  if (!guarded && !opening_) kind_.release(dir);
  struct stat st;
  if (fstat(dir, &st) != 0) return 0;
  auto above = groups_.find(parent);
  Status status;
  {
    auto back_end = kind_.make(hold_);
    if (guarded) status = back_end->arm(place, dir, {});
    if (status.err == code::kNotAMemoryCgroup && parent != 0) guarded = false;
    if (!guarded) status = back_end->arm_members(place, dir, {});
    auto group = std::make_shared<GuardianGroup>(config_, std::move(back_end),
                                                 above == groups_.end() ? nullptr : above->second,
                                                 st.st_ino, place.name());
    // Of a hold by signals nothing is written, and little is notified.
    bool reported = touched_files()[0] != nullptr && tree_.touches_watched();
    group->set_writes_reported(reported);
    if (status.ok() && guarded) status = Status::of(group->attach(*context_.loop), "epoll_ctl");
    // An unguarded group is kept only for kills in the groups above.
    if (!guarded) group->dispose(*context_.loop, false);
    if (status.ok()) {
      groups_[++last_id_] = std::move(group);
      return last_id_;
    }
  }
  if (is_gone(status.err)) return 0;
  if (!guarded) return ++last_id_;
  out_of_sight(status.err, place, dir);
  return 0;
}

void GuardedTree::vanished(uint32_t id) {
  auto it = groups_.find(id);
  if (it == groups_.end()) return;
  it->second->dispose(*context_.loop, false);
  context_.deferred_free->add(std::move(it->second));
  groups_.erase(it);
}

void GuardedTree::touched(uint32_t id) {
  auto it = groups_.find(id);
  if (it != groups_.end()) it->second->touched(*context_.loop);
}

// If this process cannot guard a new group, it releases it to the kernel: no task may hang.
bool GuardedTree::out_of_sight(int err, const Place&, int dir) {
  if (!opening_) {
    kind_.release(dir);
  } else if (failure_.ok()) {
    failure_ = Status::of(err, "open");
  }
  return true;
}

int64_t GuardedTree::now() { return sys::now_ns(); }

// Kills as the sentinel does.
int GuardedTree::kill(const GuardianGroup& top, int32_t target, uint32_t& killed) {
  Victims& victims = *context_.victims;
  auto lists = [&](auto&& use) {
    for (auto& [id, group] : groups_) {
      if (group->below(top)) use(group->back_end().members());
    }
  };
  victims.begin();
  victims.choose_from(top.back_end().eligible());
  int err = victims.signal(lists, target, SIGKILL, [&] { return top.back_end().kill_tree(); });
  killed = victims.count();
  victims.reap();
  SpareFds::refill();
  return err;
}

void GuardedTree::thaw(const GuardianGroup& group) {
  if (freezer_) freezer_v1::thaw_at(freezer_.get(), group.name());
}

bool GuardedTree::any_member(const GuardianGroup& top) {
  for (auto& [id, group] : groups_) {
    if (!group->below(top)) continue;
    int found = any_member_now(group->back_end().members());
    if (found > 0 || (found < 0 && found != -ENODEV)) return true;
  }
  return false;
}

void GuardedTree::ask_kernel(GuardianGroup& group, const Asking& asking) {
  Decision& decision = group.decision();
  if (decision.under_way()) return;
  decision.group = group.shared_from_this();
  decision.hold = &group.back_end();
  decision.asking = asking;
  context_.decider->ask(decision);
}

Residence residence(int dir, uint64_t procs_inode) {
  Residence found;
  Fd procs(sys::open_at(dir, "cgroup.procs", O_RDONLY));
  struct stat st;
  if (procs && fstat(procs.get(), &st) == 0) {
    found.procs = procs_inode != 0 && st.st_ino == procs_inode;
    // Open the file for each read: the kernel repeats the first list on the same open file.
    each_listed(procs.get(), [&](pid_t pid) { found.process |= pid == getpid(); });
  }
  // None below.
  if (fstat(dir, &st) == 0 && st.st_nlink == 2) return found;
  int own = sys::open_at(dir, ".", O_RDONLY | O_DIRECTORY);
  DIR* entries = own < 0 ? nullptr : fdopendir(own);
  if (!entries) {
    if (own >= 0) ::close(own);
    return found;
  }
  while (dirent* entry = readdir(entries)) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    Fd below(sys::open_at(own, entry->d_name, O_RDONLY | O_DIRECTORY));
    if (!below) continue;
    Residence theirs = residence(below.get(), procs_inode);
    found.process |= theirs.process;
    found.procs |= theirs.procs;
  }
  closedir(entries);
  return found;
}

}  // namespace oom::guardian
