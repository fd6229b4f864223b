// Choosing and ending processes, on a helper's thread, from its own fixed state: no allocator.
//
// Never this process, its parents or pid 1; processes at oom_score_adj -1000 are spared unless
// named. The largest is the one with the most resident pages in /proc/PID/statm, of any thread of
// it that lives (never maps, cmdline or environ, which can block behind the victim's own mmap
// lock). A victim is pinned by a pidfd and looked up again in the group before it is signalled, so
// that a reused pid is never hit; where no pidfd can be had, kill(2) on a member.
//
// Memory goes with the last process that has it. So the largest is killed together with all members
// that share its address space (clone(2) with CLONE_VM, vfork(2)), as the kernel's own killer does;
// one that shares it with a process that may not be killed, or with its parent outside of the
// group, frees nothing and is passed over. The newest is chosen in the same way, by rules/newest.h;
// one that has its memory from its parent (vfork(2)) is a part of that one, and as old. And if a member cannot be read (another pid
// namespace, hidepid), no process is chosen: kUnseenMembers, and the kernel, which sees all,
// decides.
//
// Kernel contract (v1): the members that an open cgroup.procs gives are remembered by the kernel
// for a second after the last read and given again, dead or not; only a new open file gives a
// current list. So the file is opened for each read; if that fails (in a starved group every open
// does), the one that is kept open is used (member_list.h).
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdint>

#include "core/members/member_list.h"
#include "core/members/process.h"
#include "core/rules/config.h"
#include "core/rules/newest.h"
#include "core/sys/codes.h"

namespace oom {

// Who may be a victim, where not every member may.
class Eligible {
 public:
  virtual ~Eligible() = default;
  virtual bool may_be_victim(pid_t pid) const = 0;
};

class Victims {
 public:
  static constexpr uint32_t kPids = 2048;
  static constexpr int kReap = 64;
  static constexpr int kBatch = 64;

  Victims() = default;
  ~Victims() { reap(); }
  Victims(const Victims&) = delete;
  Victims& operator=(const Victims&) = delete;

  // What signal() takes in place of a pid.
  static constexpr int32_t kAll = target::kAll;
  static constexpr int32_t kLargest = target::kLargest;
  static constexpr int32_t kNewest = target::kNewest;

  // A new job.
  void begin();
  // For this job: which members all (kAll) and the largest (kLargest) are of; null: every one.
  void choose_from(const Eligible* only) { only_ = only; }

  // Signals a pid, all (kAll), the largest (kLargest) or the newest (kNewest) of the members of a
  // group and of those below it: 0 or -errno. each(use) and kill_tree() are as below; with kAll each group is gone through
  // once.
  template <class Each, class KillTree>
  int signal(Each&& each, int32_t target, int signal, KillTree&& kill_tree);
  // Signals the largest or the newest member of a group and those below it; each(use) calls
  // use(const MemberList&) for each of them. 0: signalled. -ESRCH: none may be.
  template <class Each>
  int signal_one(Each&& each, int32_t which, int signal);
  // Signals every member of those groups that may be; SIGKILL repeats until no new member appears.
  // Where there are some that cannot be named, kill_tree() is called, which is to kill all there
  // are, unless there is one that is to be spared. 0: a process was signalled.
  template <class Each, class KillTree>
  int signal_all(Each&& each, int signal, KillTree&& kill_tree);
  // Signals one pid, if it is a member. -EPERM: it may not be killed.
  int signal_member(const MemberList& members, pid_t pid, int signal);
  // process_mrelease(2) on those killed: frees their memory before they are scheduled. Sleeps.
  void reap();
  // Passes the pidfds of those killed to `use`, which calls process_mrelease(2) and closes them.
  template <class Use>
  void hand_over(Use&& use) {
    for (int i = 0; i < reap_count_; i++) use(reap_[i]);
    reap_count_ = 0;
  }

  // For others on this thread: opened when it was started.
  const Proc& proc() const { return proc_; }
  uint32_t count() const { return count_; }
  const pid_t* pids() const { return pids_; }
  uint32_t pid_count() const { return count_ < kPids ? count_ : kPids; }

 private:
  static constexpr int kPassedOver = 16;
  static constexpr int kAttempts = 3;

  // The steps of signal_one().
  void search();
  void consider(const MemberList& members);
  bool outranks(pid_t pid, const Proc::Memory& memory, Start& start);
  int found();
  void check_for_parent(const MemberList& members);
  bool frees_memory() const;
  void pass_over();
  void signal_sharers(const MemberList& members);
  int signal_found(const MemberList& members, int signal);

  // Of signal_all().
  int signal_all_of(const MemberList& members, int signal);
  void killed_unseen();

  // Whether a member has the chosen one's memory: 1, 0 or -errno.
  int shares(pid_t pid) const;
  // Whether it could, by its numbers.
  bool looks_alike(pid_t pid) const;
  bool memory_lives_on(int first_reaped) const;
  void signal_look_alikes(const MemberList& members);
  // Pins those of the batch that are still members and signals them.
  int signal_batch(const MemberList& members, int signal);
  bool known(pid_t pid) const;
  bool untouchable(pid_t pid) const;
  bool eligible(pid_t pid) const { return !only_ || only_->may_be_victim(pid); }
  bool spared(pid_t pid) const;
  bool passed_over(pid_t pid) const;

  pid_t pids_[kPids];
  uint32_t count_ = 0;
  int reap_[kReap];
  int reap_count_ = 0;
  pid_t batch_[kBatch];
  int batch_count_ = 0;
  struct Member {
    pid_t pid = 0;
    Proc::Memory memory;
    Start start;  // only where the newest is wanted
  };
  bool by_start_ = false;  // the newest is wanted, not the largest
  Member chosen_;
  pid_t sharing_parent_ = 0;  // of the chosen one; 0: it shares no memory with its parent
  bool parent_is_member_ = false;
  bool headless_ = false;    // there is a member whose main thread has ended before others
  uint32_t unseen_ = 0;      // members that cannot be read, or cannot be named
  bool met_spared_ = false;  // there is a member that is to be spared
  int failed_ = 0;           // why a member could not be read, or signalled
  pid_t passed_over_[kPassedOver];
  int passed_over_count_ = 0;
  // Those of whom it cannot be known whether they share the chosen one's memory, and could.
  pid_t look_alikes_[kBatch];
  int look_alike_count_ = 0;
  const Eligible* only_ = nullptr;
  Proc proc_;
  pid_t parents_[64];
  int parent_count_ = 0;
};

template <class Each, class KillTree>
int Victims::signal(Each&& each, int32_t target, int signal, KillTree&& kill_tree) {
  if (target == kLargest || target == kNewest) return signal_one(each, target, signal);
  if (target == kAll) return signal_all(each, signal, kill_tree);
  int result = -ESRCH;
  each([&](const MemberList& members) {
    if (result == -ESRCH) result = signal_member(members, target, signal);
  });
  return result;
}

template <class Each>
int Victims::signal_one(Each&& each, int32_t which, int signal) {
  by_start_ = which == kNewest;
  passed_over_count_ = 0;
  for (int attempt = 0; attempt < kAttempts;) {
    search();
    each([&](const MemberList& members) { consider(members); });
    if (int err = found()) return err;
    if (sharing_parent_ != 0) each([&](const MemberList& members) { check_for_parent(members); });
    if (!frees_memory()) {
      if (passed_over_count_ == kPassedOver) return -ESRCH;
      pass_over();
      continue;
    }
    // With it, and first: an address space can be compared while its owner lives.
    if (signal == SIGKILL) each([&](const MemberList& members) { signal_sharers(members); });
    const int reaped = reap_count_;
    int err = -ESRCH;
    each([&](const MemberList& members) {
      if (err == -ESRCH) err = signal_found(members, signal);
    });
    if (err == 0 && memory_lives_on(reaped)) {
      each([&](const MemberList& members) { signal_look_alikes(members); });
    }
    // Again where it has just ended by itself.
    if (err != -ESRCH) return err;
    if (count_ > 0) return 0;
    attempt++;
  }
  return -ESRCH;
}

template <class Each, class KillTree>
int Victims::signal_all(Each&& each, int signal, KillTree&& kill_tree) {
  search();
  each([&](const MemberList& members) {
    int err = signal_all_of(members, signal);
    // A group that has been removed has no members.
    if (err != 0 && err != -ENODEV) failed_ = err;
  });
  if (unseen_ > 0) {
    failed_ = code::kUnseenMembers;
    if (signal == SIGKILL && !met_spared_ && kill_tree() == 0) killed_unseen();
  }
  if (count_ > 0) return 0;
  return failed_ != 0 ? failed_ : -ESRCH;
}

}  // namespace oom
