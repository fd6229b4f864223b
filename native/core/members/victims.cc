#include "core/members/victims.h"

#include <fcntl.h>
#include <unistd.h>

#include <utility>

#include "core/members/members_warm.h"
#include "core/sys/pidfd.h"

namespace oom {

void Victims::begin() {
  count_ = 0;
  only_ = nullptr;
  search();
  // Parents change when one dies: read them again for each job. The nearest is known without /proc.
  parent_count_ = 0;
  parents_[parent_count_++] = getpid();
  for (pid_t pid = getppid(); pid > 1 && parent_count_ < 64; pid = proc_.parent(pid)) {
    parents_[parent_count_++] = pid;
  }
}

bool Victims::untouchable(pid_t pid) const {
  if (pid <= 1) return true;
  for (int i = 0; i < parent_count_; i++) {
    if (parents_[i] == pid) return true;
  }
  return false;
}

bool Victims::spared(pid_t pid) const {
  return untouchable(pid) || proc_.oom_score_adj(pid) == -1000;
}

bool Victims::known(pid_t pid) const {
  for (uint32_t i = 0; i < pid_count(); i++) {
    if (pids_[i] == pid) return true;
  }
  return false;
}

bool Victims::passed_over(pid_t pid) const {
  for (int i = 0; i < passed_over_count_; i++) {
    if (passed_over_[i] == pid) return true;
  }
  return false;
}

void Victims::search() {
  chosen_ = {};
  sharing_parent_ = 0;
  parent_is_member_ = false;
  headless_ = false;
  unseen_ = 0;
  met_spared_ = false;
  failed_ = 0;
  look_alike_count_ = 0;
}

void Victims::consider(const MemberList& members) {
  int err = each_member_now(members, [&](pid_t pid) {
    if (!eligible(pid)) return;
    if (pid == 0) {
      unseen_++;
      return;
    }
    // A process that was killed in this job is still dying.
    if (untouchable(pid) || known(pid) || passed_over(pid)) return;
    Proc::Memory memory;
    int why = proc_.memory(pid, memory);
    if (why == -EACCES) unseen_++;
    if (why != 0 && why != -ESRCH) failed_ = why;
    if (why != 0) return;
    headless_ |= memory.task != pid;
    Start start;
    if (!outranks(pid, memory, start) || spared(pid)) return;
    chosen_ = {.pid = pid, .memory = memory, .start = start};
  });
  // A group that has been removed has no members.
  if (err != 0 && err != -ENODEV) failed_ = err;
}

bool Victims::outranks(pid_t pid, const Proc::Memory& memory, Start& start) {
  if (!by_start_) return memory.statm.resident > chosen_.memory.statm.resident;
  parse::ProcStat stat;
  if (int err = proc_.stat(pid, stat)) {
    if (err == -EACCES) unseen_++;
    if (err != -ESRCH) failed_ = err;
    return false;
  }
  start = {.ticks = stat.start, .pid = pid};
  return started_after(start, chosen_.start) && same_memory(memory.task, stat.ppid) != 1;
}

// 0: there is one to be signalled. If some could not be read for want of memory, one of the others
// is chosen.
int Victims::found() {
  if (unseen_ > 0) return code::kUnseenMembers;
  if (chosen_.pid == 0) return failed_ != 0 ? failed_ : -ESRCH;
  pid_t parent = proc_.parent(chosen_.pid);
  if (parent > 0 && shares(parent) == 1) sharing_parent_ = parent;
  return 0;
}

void Victims::check_for_parent(const MemberList& members) {
  each_member_now(members, [&](pid_t pid) { parent_is_member_ |= pid == sharing_parent_; });
}

bool Victims::frees_memory() const {
  if (sharing_parent_ != 0 && !parent_is_member_) return false;
  for (int i = 0; i < parent_count_; i++) {
    if (shares(parents_[i]) == 1) return false;
  }
  return true;
}

void Victims::pass_over() { passed_over_[passed_over_count_++] = chosen_.pid; }

int Victims::shares(pid_t pid) const {
  int same = same_memory(chosen_.memory.task, pid);
  // Where a main thread has ended it is another one that has the memory.
  if (same < 0 || (same == 0 && !headless_)) return same;
  Proc::Memory memory;
  if (int err = proc_.memory(pid, memory)) return err == -ESRCH ? 0 : err;
  // Asked once more, of a thread that has some: two without any would seem to share it.
  return same_memory(chosen_.memory.task, memory.task);
}

bool Victims::looks_alike(pid_t pid) const {
  Proc::Memory memory;
  if (proc_.memory(pid, memory) != 0) return false;
  const parse::Statm &one = chosen_.memory.statm, &other = memory.statm;
  uint64_t apart =
      one.resident > other.resident ? one.resident - other.resident : other.resident - one.resident;
  return one.size == other.size && one.text == other.text && one.data == other.data &&
         apart <= one.resident / 64;
}

void Victims::signal_sharers(const MemberList& members) {
  bool more = true;
  for (int round = 0; more && round < 256; round++) {
    more = false;
    batch_count_ = 0;
    each_member_now(members, [&](pid_t pid) {
      if (pid == chosen_.pid || untouchable(pid) || known(pid)) return;
      int same = shares(pid);
      if (same == 1 && batch_count_ == kBatch) {
        more = true;
      } else if (same == 1) {
        batch_[batch_count_++] = pid;
      } else if (round == 0 && same < 0 && same != -ESRCH && look_alike_count_ < kBatch &&
                 looks_alike(pid)) {
        look_alikes_[look_alike_count_++] = pid;
      }
    });
    uint32_t before = count_;
    if (batch_count_ > 0) signal_batch(members, SIGKILL);
    more = more && count_ > before;
  }
}

// -ESRCH: it is not one of these.
int Victims::signal_found(const MemberList& members, int signal) {
  batch_[0] = chosen_.pid;
  batch_count_ = 1;
  int err = signal_batch(members, signal);
  return err == -ENODEV ? -ESRCH : err;
}

// process_mrelease(2) is EINVAL for one that dies while others that do not have its memory.
bool Victims::memory_lives_on(int first_reaped) const {
  return look_alike_count_ > 0 && reap_count_ > first_reaped &&
         pidfd::mrelease(reap_[first_reaped]) == -EINVAL;
}

void Victims::signal_look_alikes(const MemberList& members) {
  for (int i = 0; i < look_alike_count_; i++) {
    if (known(look_alikes_[i])) continue;
    batch_[0] = look_alikes_[i];
    batch_count_ = 1;
    signal_batch(members, SIGKILL);
  }
}

int Victims::signal_batch(const MemberList& members, int signal) {
  Fd pins[kBatch];
  bool member[kBatch] = {};
  for (int i = 0; i < batch_count_; i++) pins[i].reset(pidfd::open(batch_[i]));
  // A pidfd pins the process: still a member now means that it is the one that was seen.
  int err = each_member_now(members, [&](pid_t pid) {
    for (int i = 0; i < batch_count_; i++) member[i] |= batch_[i] == pid;
  });
  if (err != 0) return err;
  int result = -ESRCH;
  for (int i = 0; i < batch_count_; i++) {
    if (!member[i]) continue;
    int sent = pins[i] ? pidfd::send_signal(pins[i].get(), signal)
                       : (kill(batch_[i], signal) == 0 ? 0 : -errno);
    if (sent != 0) {
      if (result != 0) result = sent;
      continue;
    }
    result = 0;
    if (count_ < kPids) pids_[count_] = batch_[i];
    count_++;
    if (signal == SIGKILL && pins[i] && reap_count_ < kReap) {
      reap_[reap_count_++] = pins[i].release();
    }
  }
  return result;
}

int Victims::signal_all_of(const MemberList& members, int signal) {
  // A member may have forked between two reads. The bound is for a fork bomb, and for members
  // that this process has no right to signal.
  int result = 0;
  const uint32_t unseen_before = unseen_;
  for (int round = 0; round < 256; round++) {
    bool more = false;
    batch_count_ = 0;
    unseen_ = unseen_before;
    int err = each_member_now(members, [&](pid_t pid) {
      if (!eligible(pid)) return;
      if (pid == 0) {
        unseen_++;
      } else if (batch_count_ == kBatch) {
        more = true;
      } else if (spared(pid)) {
        met_spared_ = true;
      } else if (!known(pid)) {
        batch_[batch_count_++] = pid;
      }
    });
    if (err != 0) return err;
    if (batch_count_ == 0) return result;
    uint32_t before = count_;
    err = signal_batch(members, signal);
    if (err != 0 && err != -ESRCH) result = err;
    if (count_ == before && (err != -ESRCH || !more)) return result;
    if (signal != SIGKILL && !more) return result;
  }
  return result;
}

// They have no names to be listed by.
void Victims::killed_unseen() { count_ += unseen_; }

int Victims::signal_member(const MemberList& members, pid_t pid, int signal) {
  if (untouchable(pid) && signal == SIGKILL) return -EPERM;
  batch_[0] = pid;
  batch_count_ = 1;
  return signal_batch(members, signal);
}

void Victims::reap() {
  hand_over([](int fd) {
    pidfd::mrelease(fd);
    close(fd);
  });
}

}  // namespace oom
