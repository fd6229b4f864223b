#include "guardian/stand_in.h"

#include <signal.h>
#include <sys/epoll.h>

#include <algorithm>

#include "core/sys.h"

namespace oom::guardian {

StandIn::StandIn(const Terms& terms, StandIn* above, uint64_t inode)
    : terms_(terms), above_(above), inode_(inode), machine_(terms.episode) {}

Status StandIn::arm(int dir) { return hot_.arm(dir); }

int StandIn::attach(Sentinel& sentinel) {
  int err = sentinel.add(hot_.event_fd(), *this, EPOLLIN);
  attached_ = err == 0;
  return err;
}

void StandIn::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  if (attached_) sentinel.remove(hot_.event_fd());
  attached_ = false;
}

bool StandIn::contains(pid_t pid) const { return Victims::lists(hot_.procs_fd(), pid); }

int StandIn::look(Sample& sample) {
  if (int err = hot_.sample(sample)) return err;
  SharedSlot* slot = this->slot();
  uint64_t own = slot ? slot->own_limit.load() : 0;
  if (own != 0 && sample.limit > own) {
    // Headroom is lent: out of memory is what does not fit into the limit without it.
    sample.limit = own;
    if (slot->state.load() == SlotState::kEpisode) sample.starved |= sample.usage > own;
  }
  if (!sample.starved || hot_.at_limit(sample)) return 0;
  for (StandIn* above = above_; above; above = above->above_) {
    Sample theirs;
    if (above->hot_.sample(theirs) == 0 && theirs.starved) {
      sample.starved = false;
      return 0;
    }
  }
  return 0;
}

void StandIn::ready(Sentinel& sentinel, int64_t now) {
  hot_.consume();
  step(sentinel, Fact::kNotified, now);
}

void StandIn::due(Sentinel& sentinel, int64_t now) { step(sentinel, Fact::kLooked, now); }

void StandIn::set_delay(Sentinel& sentinel, int64_t ns) {
  Input input;
  input.fact = Fact::kSetDelay;
  input.ns = ns;
  if (look(input.sample) != 0) return;
  // The parent holds and lets go; here it only changes what is waited for.
  Actions ignored;
  machine_.step(sys::now_ns(), input, ignored);
  step(sentinel, Fact::kLooked, sys::now_ns());
}

// When the group's time is over: as the sentinel says, else as this process has seen it begin.
int64_t StandIn::deadline() {
  int64_t when = machine_.started_at() + machine_.config().delay_ns;
  SharedSlot* slot = this->slot();
  if (slot && slot->state.load() == SlotState::kEpisode) when = slot->deadline.load();
  return std::max(when + (terms_.parent_alive ? terms_.grace_ns : 0), waived_until_);
}

// Whether the fallback is this process's to carry out.
bool StandIn::may_act(int64_t now) {
  SharedSlot* slot = this->slot();
  if (!slot || slot->state.load() != SlotState::kEpisode || !terms_.parent_alive) return true;
  uint32_t episode = slot->claim.load() >> 2;
  if (slot->claim_for(episode, Claimant::kGuardian) || waived_until_ != 0) return true;
  waived_until_ = now + terms_.grace_ns;
  return false;
}

void StandIn::step(Sentinel& sentinel, Fact fact, int64_t now, int32_t result, uint32_t killed) {
  if (done_) return;
  Input input;
  input.fact = fact;
  input.result = result;
  input.killed = killed;
  int err = look(input.sample);
  if (err == -ENODEV) {
    return finish(sentinel);
  }
  if (err != 0) {
    input.sample = machine_.first();
    input.sample.starved = machine_.active();
  }

  auto feed = [&](const Input& fed, Actions& actions) { machine_.step(now, fed, actions); };
  if (machine_.phase() == EpisodeMachine::Phase::kDelaying) {
    Input move = input;
    move.fact = Fact::kSetDeadline;
    // A deadline that has come is put off by nobody but the one who claims it first.
    move.ns = deadline();
    if (move.ns <= now && input.sample.starved && !may_act(now)) move.ns = waived_until_;
    Actions none;
    feed(move, none);
    for (uint8_t i = 0; i < none.size; i++) {
      if (none.list[i].what == Do::kLetGo) let_go_ = hot_.let_go() == 0;
    }
  }
  Actions actions;
  feed(input, actions);
  for (uint8_t i = 0; i < actions.size; i++) {
    switch (actions.list[i].what) {
      case Do::kBegin:
        waived_until_ = 0;
        break;
      case Do::kFallback: {
        Victims& victims = *terms_.victims;
        victims.begin();
        bool largest = machine_.config().fallback == Fallback::kKillLargest;
        int err_kill = 0;
        if (largest) {
          victims.consider(hot_.procs_fd());
          err_kill = victims.signal_largest(SIGKILL);
        } else {
          err_kill = victims.signal_all(hot_.procs_fd(), SIGKILL);
        }
        step(sentinel, Fact::kFallbackDone, sys::now_ns(), err_kill, victims.count());
        return;
      }
      case Do::kLetGo:
        // A delay of 0 is the parent's to carry out; it may have set another one since, of which we
        // have not heard yet.
        if (terms_.parent_alive && machine_.config().delay_ns == 0) break;
        let_go_ = hot_.let_go() == 0;
        break;
      case Do::kHold:
        if (terms_.parent_alive && let_go_) hot_.hold();
        let_go_ = false;
        break;
      case Do::kStep:
      case Do::kSqueeze:
      case Do::kEnd:
        break;
    }
  }
  if (!terms_.parent_alive && !machine_.active()) return put_back(sentinel);
  // set_deadline moves what the machine waits for; the guard's delay alone would be too early.
  int64_t wake = machine_.next_wake();
  if (machine_.phase() == EpisodeMachine::Phase::kDelaying) {
    wake = std::min(wake, std::max(now + kMs, deadline()));
  }
  if (wake == kNever) {
    sentinel.clear_timer(*this);
  } else {
    sentinel.set_timer(*this, wake);
  }
}

void StandIn::parent_gone(Sentinel& sentinel) { step(sentinel, Fact::kLooked, sys::now_ns()); }

void StandIn::repay() {
  SharedSlot* slot = this->slot();
  if (slot) hot_.repay_to(slot->own_limit.load(), slot->own_memsw.load());
}

void StandIn::put_back(Sentinel& sentinel) {
  if (done_) return;
  hot_.let_go();
  repay();
  finish(sentinel);
}

void StandIn::finish(Sentinel& sentinel) {
  done_ = true;
  detach(sentinel);
  terms_.on_done(terms_.on_done_arg);
}

}  // namespace oom::guardian
