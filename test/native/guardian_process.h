// The guardian's process in a simulation: the real GuardianGroup, on a simulated group,
// and what else such a process is: its wake-ups, its socket, its end.
//
// A dead process keeps its GuardianGroup until the schedule's end, since it may die within any
// call: what it still does then has no effect.
#pragma once

#include <algorithm>
#include <cerrno>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/simulation/sim_group.h"
#include "guardian/guardian_group.h"

namespace oom::test {

constexpr uint64_t kInode = 42;

enum class GuardianCall : uint8_t { kRead, kSwitch, kLimit, kKill };

class GuardianHooks {
 public:
  virtual ~GuardianHooks() = default;
  virtual void guardian_passes() = 0;  // here it may be stopped, or end
  virtual int32_t guardian_fails(GuardianCall call) = 0;
  virtual int64_t guardian_late() = 0;
  virtual bool guardian_loses() = 0;
  virtual void guardian_doubts(Sample&) {}  // what only v2 has: near, unclear
  virtual void guardian_switched(bool disabled) = 0;
  virtual void guardian_killed(uint32_t count) = 0;
  virtual void guardian_left() = 0;
};

// The warm files of the simulated group, as the guardian has them.
class SimBackEnd final : public BackEnd {
 public:
  SimBackEnd(SimGroup& group, GuardianHooks& hooks) : group_(group), hooks_(hooks) {}
  void die() { dead_ = true; }
  const Traits& traits() const override { return kTraits; }

  Status arm_reclaim(int) override { return Status::success(); }

  int sample(Sample& out) override {
    if (int err = enter(GuardianCall::kRead)) return err;
    out.usage = group_.usage();
    out.limit = group_.limit();
    out.kills = group_.kernel_kills();
    out.let_in = !group_.killer_disabled();
    out.need = group_.under_oom() ? Need::kStarved : Need::kFine;
    hooks_.guardian_doubts(out);
    return 0;
  }
  bool at_limit(const Sample& sample) override { return sample.usage + 64 * 4096 >= sample.limit; }
  int held() override {
    if (int err = enter(GuardianCall::kRead)) return err;
    return group_.killer_disabled();
  }
  int hold() override { return set(true); }
  int release() override { return set(false); }
  // As OomControlBackEnd does.
  int restore_limit_for(uint64_t base, uint64_t, uint64_t raised_to) override {
    if (int err = enter(GuardianCall::kLimit)) {
      in_use_ = err == -EBUSY;
      return err;
    }
    if (group_.limit() > raised_to || base >= group_.limit()) return 0;
    int err = group_.set_limit(base);
    in_use_ = err == -EBUSY;
    if (err == -EBUSY && group_.usage() < group_.limit()) group_.set_limit(group_.usage() + 4095);
    hooks_.guardian_passes();
    return err;
  }

  // Whether the limit could not come down when it was last tried.
  bool in_use() const { return in_use_; }

  // What a guardian does not do.
  Status arm(const Place&, int, const ArmNeeds&) override { return Status::success(); }
  Status arm_members(const Place&, int, const ArmNeeds&) override { return Status::success(); }
  Status arm_above(int) override { return Status::success(); }
  Status arm_freezer(const std::string&) override { return Status::success(); }
  int event_fd() const override { return -1; }
  void consume() override {}
  bool starved_above() override { return false; }
  int raise_to(uint64_t) override { return -ENOSYS; }
  bool raised() const override { return false; }
  int restore_limit(uint64_t) override { return -ENOSYS; }
  int reclaim() override { return -ENOSYS; }
  int freeze(bool) override { return -ENOSYS; }
  bool frozen() const override { return false; }
  const MemberList& members() const override { return members_; }

 private:
  int enter(GuardianCall call) {
    if (!dead_) hooks_.guardian_passes();
    if (dead_) return -EIO;
    if (group_.removed()) return -ENODEV;
    return hooks_.guardian_fails(call);
  }
  int set(bool disabled) {
    if (int err = enter(GuardianCall::kSwitch)) return err;
    hooks_.guardian_switched(disabled);
    int err = group_.set_killer_disabled(disabled);
    hooks_.guardian_passes();
    return err;
  }

  static constexpr Traits kTraits = {};
  SimGroup& group_;
  GuardianHooks& hooks_;
  MemberList members_;
  bool dead_ = false;
  bool in_use_ = false;
};

class GuardianProcess final : public guardian::Effects {
 public:
  enum class Word : uint8_t { kRemove, kTerminate, kParentGone };

  GuardianProcess(SimGroup& group, SharedState& shared, Sentinel& loop, GuardianHooks& hooks,
                  const EpisodeConfig& guard, int64_t grace_ns)
      : group_(group), loop_(loop), hooks_(hooks) {
    config_.shared = &shared;
    config_.effects = this;
    config_.grace_ns = grace_ns;
    config_.episode.delay_ns = config_.episode.max_delay_ns = guard.delay_ns;
    config_.episode.fallback = guard.fallback;
    config_.on_done = [](void* self) { static_cast<GuardianProcess*>(self)->leave_if_done(); };
    config_.on_done_arg = this;
    auto back_end = std::make_unique<SimBackEnd>(group, hooks);
    back_end_ = back_end.get();
    guardian_group_ = std::make_unique<guardian::GuardianGroup>(config_, std::move(back_end),
                                                                nullptr, kInode, "");
    // If a process registers in the middle of an OOM, the kernel notifies it at once.
    seen_ = group.notifications();
    if (group.under_oom()) notice_at_ = group.now();
  }
  ~GuardianProcess() override { guardian_group_->detach(loop_); }

  // SIGKILL, within any call. `nowhere`: shared memory that no other process reads.
  void die(SharedState& nowhere) {
    gone_ = true;
    back_end_->die();
    config_.shared = &nowhere;
  }
  bool gone() const { return gone_; }
  bool retired() const { return retired_; }
  const EpisodeMachine& machine() const { return guardian_group_->machine(); }
  bool parent_alive() const { return config_.parent_alive; }
  bool terminating() const { return terminating_; }
  bool left_owing() const { return terminating_ && back_end_->in_use(); }

  // Takes the kernel's notifications so far; one may be lost while sampling goes on anyway.
  void notice() {
    if (gone_ || retired_ || group_.notifications() == seen_) return;
    seen_ = group_.notifications();
    bool sampling_goes_on =
        guardian_group_->set() && guardian_group_->when() <= group_.now() + 10 * kMs;
    if (sampling_goes_on && hooks_.guardian_loses()) return;
    wake();
  }
  void wake() { notice_at_ = std::min(notice_at_, group_.now() + hooks_.guardian_late()); }
  // Signals and the parent's end may overtake messages. Messages keep their order, and none is read
  // once the parent's end is known.
  void tell(Word what, int64_t ns = 0) {
    int64_t at = group_.now() + hooks_.guardian_late();
    if (what == Word::kRemove) said_at_ = at = std::max(at, said_at_);
    words_.push_back({at, what, ns});
  }

  int64_t next_event() {
    if (gone_) return kNever;
    int64_t when = guardian_group_->set() ? guardian_group_->when() : kNever;
    if (when != timer_for_) {
      timer_for_ = when;
      timer_at_ = when == kNever ? kNever : when + hooks_.guardian_late();
    }
    int64_t next = std::min(notice_at_, timer_at_);
    for (const Message& m : words_) next = std::min(next, m.at);
    return next;
  }
  // What is due: timers first, as in the real loop.
  void run() {
    int64_t now = group_.now();
    if (timer_at_ <= now) {
      timer_for_ = timer_at_ = kNever;
      loop_.clear_timer(*guardian_group_);
      guardian_group_->due(loop_, now);
    } else if (notice_at_ <= now) {
      notice_at_ = kNever;
      if (!retired_) guardian_group_->ready(loop_, now);
    } else {
      auto it = std::find_if(words_.begin(), words_.end(),
                             [now](const Message& m) { return m.at <= now; });
      if (it == words_.end()) return;
      Message m = *it;
      words_.erase(it);
      hear(m);
    }
  }

  int64_t now() override { return group_.now(); }
  int kill(const guardian::GuardianGroup&, int32_t target, uint32_t& killed) override {
    killed = 0;
    hooks_.guardian_passes();
    if (gone_) return -EIO;
    if (int32_t err = hooks_.guardian_fails(GuardianCall::kKill)) return err;
    std::vector<int32_t> pids;
    for (const SimProcess& p : group_.processes()) {
      if (p.killed || p.spared) continue;
      if (target == target::kLargest && p.pid != group_.largest()) continue;
      if (target == target::kNewest && p.pid != group_.newest()) continue;
      pids.push_back(p.pid);
    }
    for (int32_t pid : pids) killed += group_.kill(pid) == 0;
    if (killed > 0) hooks_.guardian_killed(killed);
    hooks_.guardian_passes();
    return killed > 0 ? 0 : -ESRCH;
  }
  void thaw(const guardian::GuardianGroup&) override {
    hooks_.guardian_passes();
    if (!gone_) group_.thaw();
  }
  bool any_member(const guardian::GuardianGroup&) override {
    return gone_ || group_.removed() || !group_.processes().empty();
  }

 private:
  struct Message {
    int64_t at;
    Word what;
    int64_t ns;
  };

  std::vector<Message>::iterator said() {
    return std::find_if(words_.begin(), words_.end(),
                        [](const Message& m) { return m.what == Word::kRemove; });
  }
  // Messages that a parent sent before its end are read first.
  void hear_out() {
    for (auto next = said(); next != words_.end(); next = said()) {
      Message before = *next;
      words_.erase(next);
      hear(before);
    }
  }
  void hear(const Message& m) {
    bool said = m.what == Word::kRemove;
    if (said && (terminating_ || !config_.parent_alive)) return;
    switch (m.what) {
      case Word::kRemove:
        guardian_group_->dispose(loop_, true);
        retired_ = !gone_;
        break;
      case Word::kTerminate:
        // The pidfd shows the parent's end, whichever of the two is read first.
        if (std::any_of(words_.begin(), words_.end(),
                        [](const Message& m) { return m.what == Word::kParentGone; })) {
          hear_out();
          config_.parent_alive = false;
        }
        terminating_ = true;
        if (!retired_) guardian_group_->restore(loop_, true);
        leave_if_done();
        break;
      case Word::kParentGone:
        hear_out();
        config_.parent_alive = false;
        if (!retired_) guardian_group_->parent_gone(loop_);
        leave_if_done();
        break;
    }
  }
  void leave_if_done() {
    if ((terminating_ || !config_.parent_alive) && (retired_ || guardian_group_->done())) leave();
  }
  void leave() {
    if (gone_) return;
    gone_ = true;
    hooks_.guardian_left();
  }

  SimGroup& group_;
  Sentinel& loop_;
  GuardianHooks& hooks_;
  guardian::GroupConfig config_;
  SimBackEnd* back_end_ = nullptr;
  std::unique_ptr<guardian::GuardianGroup> guardian_group_;
  std::vector<Message> words_;
  uint64_t seen_ = 0;
  int64_t said_at_ = 0;
  int64_t notice_at_ = kNever, timer_at_ = kNever, timer_for_ = kNever;
  bool gone_ = false, retired_ = false, terminating_ = false;
};

}  // namespace oom::test
