#include "guardian/guardian_group.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "core/rules/sweep.h"
#include "core/sys/place.h"

namespace oom::guardian {
namespace {

constexpr int64_t kRepayRetry = 100 * kMs;
constexpr int64_t kRetry = 5 * kMs;
constexpr int64_t kPollStep = 100 * kMs;
// The sentinel may see later than this process what both are notified of, by what it is delayed.
constexpr int64_t kLively = 1'000 * kMs;

// Returns the bytes that count against the limit: v2 keeps a band free, and reclaimable memory
// needs no room.
uint64_t fill(const Sample& s) { return s.usage + s.band - std::min(s.usage, s.reclaimable); }

EpisodeConfig config_of(const GroupConfig& group, const BackEnd& back_end) {
  EpisodeConfig config = group.episode;
  config.traits = back_end.traits();
  return config;
}

}  // namespace

GuardianGroup::GuardianGroup(const GroupConfig& config, std::unique_ptr<BackEnd> back_end,
                             std::shared_ptr<GuardianGroup> above, uint64_t inode, std::string name)
    : config_(config),
      above_(std::move(above)),
      inode_(inode),
      name_(std::move(name)),
      back_end_(std::move(back_end)),
      machine_(config_of(config, *back_end_)) {}

int GuardianGroup::attach(Sentinel& sentinel) {
  int err = sentinel.add(back_end_->event_fd(), *this, back_end_->event_mask());
  attached_ = err == 0;
  if (attached_ && back_end_->traits().idle_sample_ns != kNever) {
    lively_until_ = config_.effects->now() + kLively;
    sentinel.set_timer(*this, config_.effects->now() + kPollStep);
  }
  return err;
}

void GuardianGroup::detach(Sentinel& sentinel) {
  sentinel.forget(*this);
  if (attached_) sentinel.remove(back_end_->event_fd());
  attached_ = false;
}

int GuardianGroup::look(Sample& sample) {
  SharedSlot* slot = this->slot();
  share(slot);
  if (int err = back_end_->sample(sample)) return err;
  // If the killer is enabled, the parent has meant it, or this process has.
  sample.let_in = false;
  // Past a line nobody waits whom the sentinel has let go.
  const bool kernels = slot && slot->state.load() == SlotState::kKernel && config_.parent_alive;
  if (kernels && back_end_->traits().stands_past_line && !back_end_->frozen()) {
    sample.need = std::min(sample.need, Need::kNear);
  }
  kills_ = sample.kills;
  usage_ = sample.usage;
  uint64_t own = slot ? slot->own_limit.load() : 0;
  if (own != 0 && sample.limit > own) {
    // If headroom has been raised, the group is out of memory as long as its usage does not fit
    // into the limit without it. Once the kernel decides, it sees the waiting tasks.
    sample.limit = own;
    bool kernel = machine_.phase() == EpisodeMachine::Phase::kKernel;
    bool runs = !kernel && slot->state.load() == SlotState::kEpisode;
    if (runs && fill(sample) > own) sample.need = std::max(sample.need, Need::kStarved);
  }
  sample.need = own_.judge(
      config_.effects->now(), sample.need, [&] { return back_end_->at_limit(sample); },
      [&] {
        for (GuardianGroup* above = above_.get(); above; above = above->above_.get()) {
          Sample theirs;
          if (above->back_end_->sample(theirs) == 0 && theirs.starved()) return true;
        }
        return false;
      });
  return 0;
}

// If no member is left, the sentinel ends the episode as long as its deadline has not passed.
void GuardianGroup::check_for_members(int64_t now, Sample& sample) {
  if (!machine_.active()) return;
  if (presence_.due(now, 0)) presence_.reported(!config_.effects->any_member(*this));
  bool deciding = machine_.phase() == EpisodeMachine::Phase::kDelaying;
  sample.deserted = presence_.deserted() && (!config_.parent_alive || !deciding);
}

// Samples the group into `input`: 0 or -errno.
int GuardianGroup::see(Input& input) {
  int64_t now = config_.effects->now();
  int err = look(input.sample);
  if (err == 0) {
    relieved_ = false;
    check_for_members(now, input.sample);
    if (!input.sample.starved() && !machine_.active()) turn_.fine(now);
    return 0;
  }
  bool over = turn_.is_over(slot_view(), own_episode());
  relieved_ = (relieved_ || over) && input.fact != Fact::kNotified;
  input.unreadable = true;
  input.relieved = relieved_;
  return err;
}

void GuardianGroup::ready(Sentinel& sentinel, int64_t) {
  if (done_) return;
  back_end_->consume();
  presence_.notified();
  int64_t now = config_.effects->now();
  if (int64_t until = machine_.active() ? 0 : back_end_->quiet_until(); until != 0) {
    lively_until_ = now + kLively;
    if (!set() || when() > until) sentinel.set_timer(*this, until);
    return;
  }
  step(sentinel, Fact::kNotified);
}

// An episode samples often enough.
void GuardianGroup::touched(Sentinel& sentinel) {
  if (done_ || leaving_ || machine_.active()) return;
  lively_until_ = config_.effects->now() + kLively;
  step(sentinel, Fact::kSampled);
}

void GuardianGroup::due(Sentinel& sentinel, int64_t) { step(sentinel, Fact::kSampled); }

// Takes over the delay that the parent has published in the slot.
void GuardianGroup::follow_delay(Sentinel& sentinel, int64_t now, const Input& input) {
  SharedSlot* slot = this->slot();
  int64_t delay = slot ? slot->delay_ms.load() * kMs : -1;
  if (delay < 0 || delay == machine_.config().delay_ns) return;
  Input set = input;
  set.fact = Fact::kSetDelay;
  set.ns = delay;
  Actions actions;
  machine_.step(now, set, actions);
  bool let_in = machine_.phase() == EpisodeMachine::Phase::kKernel;
  turn_.delay_set(now + delay, let_in ? machine_.id() : 0);
  carry_out(sentinel, actions);
}

void GuardianGroup::step(Sentinel& sentinel, Fact fact, int32_t result, uint32_t killed) {
  if (done_) return;
  if (leaving_) return restore(sentinel, true);
  if (config_.effects->now() >= unheld_at_) free_members();
  // A killing fallback answers in a step of its own, within this one, which has then sampled the
  // group later, and has set the timer.
  const uint32_t step = ++steps_;
  auto over = [&] { return done_ || steps_ != step; };
  Input input;
  input.fact = fact;
  input.result = result;
  input.killed = killed;
  int err = see(input);
  if (is_gone(err)) return finish(sentinel);
  // Read the clock after the sample: if this process is stopped in between, an OOM that has begun
  // meanwhile must not seem old.
  int64_t now = config_.effects->now();
  if (err == 0 && !input.sample.starved()) wanted_at_ = 0;
  if (err == 0 && input.sample.need == Need::kUnclear) turn_.unclear(now);
  follow_delay(sentinel, now, input);
  if (!done_) hear_of_end(sentinel, input);
  if (!done_) hear_of_act(sentinel, now, input);
  if (!done_ && err == 0) hear_of_next(sentinel, now, input);
  if (!done_ && machine_.phase() == EpisodeMachine::Phase::kDelaying) {
    Input move = input;
    move.fact = Fact::kSetDeadline;
    move.ns = deadline(now);
    drive(sentinel, now, move);
  }
  if (!over()) drive(sentinel, now, input);
  if (over()) return;
  if (!config_.parent_alive && !machine_.active()) return restore(sentinel, false);

  int64_t again = switch_.next(machine_.wish());
  int64_t wake = std::min({machine_.next_wake(), again, unheld_at_});
  if (err != 0) wake = std::min(wake, now + kRetry);
  int64_t look = next_look(now, input);
  if (std::min(wake, look) == kNever) {
    sentinel.clear_timer(*this);
  } else if (look < wake && look > now + kPollStep) {
    sentinel.set_sweep_timer(*this, look);
  } else {
    wake = std::min(wake, look);
    sentinel.set_sample_timer(*this, now, wake, std::min(machine_.latest_sample(now), unheld_at_));
  }
}

// When a group is sampled although this process expects nothing of it: kNever where the kernel
// notifies of all. Members that the sentinel has stopped cause no more events, so that a group has
// to rest in both processes before it waits for the sweep.
int64_t GuardianGroup::next_look(int64_t now, const Input& input) {
  if (back_end_->traits().idle_sample_ns == kNever) return kNever;
  bool fine = !input.unreadable && input.sample.need == Need::kFine && !machine_.active();
  bool rests = fine && input.fact != Fact::kNotified && is_idle(slot_view().state);
  if (!rests) lively_until_ = now + kLively;
  return writes_reported_ && now >= lively_until_ ? next_sweep(now) : now + kPollStep;
}

// If the episode has ended and the sentinel has not let its members continue, thaws them and holds
// again: after the limit was raised, no member needs to wait.
void GuardianGroup::free_members() {
  unheld_at_ = kNever;
  SharedSlot* slot = this->slot();
  if (!config_.parent_alive || !slot || slot->state.load() != SlotState::kEpisode) return;
  thaw();
  hold();
}

int GuardianGroup::hold() {
  int err = back_end_->hold();
  return err == -EAGAIN ? back_end_->hold_slowly() : err;
}

// If the sentinel has seen the end of an episode that this process ended in its place, and holds
// again, passes that on to the machine.
void GuardianGroup::hear_of_end(Sentinel& sentinel, const Input& input) {
  if (!seen_over() || back_end_->held_again() != 1) return;
  Input over = input;
  over.fact = Fact::kSeenOver;
  drive(sentinel, config_.effects->now(), over);
}

// The sentinel has seen the OOM end that this process still sees, and another one begin: a kill that
// this process has seen late was before it.
void GuardianGroup::hear_of_next(Sentinel& sentinel, int64_t now, const Input& input) {
  bool delaying = machine_.phase() == EpisodeMachine::Phase::kDelaying;
  if (!delaying || !turn_.next_has_begun(slot_view())) return;
  Input over = input;
  over.fact = Fact::kSeenOver;
  drive(sentinel, now, over);
}

// The sentinel has acted beside this process, in an episode that it had not published before.
void GuardianGroup::hear_of_act(Sentinel& sentinel, int64_t now, const Input& input) {
  SlotView view = slot_view();
  bool acted = view.there && view.claimant == Claimant::kSentinel && view.claimed_at > acted_at_;
  if (machine_.phase() != EpisodeMachine::Phase::kFallingBack || !acted) return;
  acted_at_ = view.claimed_at;
  Input act = input;
  act.fact = Fact::kGuardianActed;
  act.ns = view.claimed_at;
  drive(sentinel, now, act);
}

void GuardianGroup::drive(Sentinel& sentinel, int64_t now, const Input& input) {
  EpisodeMachine next = machine_;
  Actions actions;
  next.step(now, input, actions);
  using Phase = EpisodeMachine::Phase;
  bool acts = machine_.phase() == Phase::kDelaying &&
              (next.phase() == Phase::kFallingBack || next.phase() == Phase::kKernel);
  if (acts && !may_act(now)) {
    // The sentinel has claimed the episode: put the deadline off.
    Input wait = input;
    wait.fact = Fact::kSetDeadline;
    wait.ns = turn_.put_off();
    actions = {};
    machine_.step(now, wait, actions);
  } else {
    if (acts) tell_of_act(now);
    if (SharedSlot* slot = acts ? this->slot() : nullptr) {
      slot->act_begins();
      counted_ = next.id();
    }
    machine_ = next;
  }
  apply_grip(now);
  carry_out(sentinel, actions);
}

// A living parent holds and releases the group itself: this process only undoes its own changes,
// and does what the parent has failed to do in time.
void GuardianGroup::apply_grip(int64_t now) {
  Grip want = machine_.grip();
  if (!switch_.due(now, machine_.wish())) return;
  int err = 0;
  // The parent publishes the state in the slot before it releases the group.
  bool released = slot_view().state == SlotState::kReleased;
  if (want != Grip::kHeld) {
    // Letting go is claimed as well, each time that it is tried.
    bool may = want != Grip::kKernelsTurn || may_act(now);
    if (!may) err = -EAGAIN;
    if (may && ((held_ && released) || !is_parents_turn())) err = release();
  } else if (config_.parent_alive && released_ && !released) {
    err = hold();
    released_ = err != 0;
    held_ = err == 0;
  }
  switch_.applied(now, want, err == 0 || is_gone(err));
}

void GuardianGroup::carry_out(Sentinel& sentinel, const Actions& actions) {
  for (uint8_t i = 0; i < actions.size; i++) {
    witness(actions.list[i].what);
    switch (actions.list[i].what) {
      case Do::kBegin:
        deadline(machine_.started_at());
        break;
      case Do::kFallback:
        return fall_back(sentinel);
      case Do::kEnd:
        // A raised limit leaves members asleep on v2, and stopped ones stopped.
        if (!back_end_->traits().waits_in_fault)
          unheld_at_ = config_.effects->now() + config_.grace_ns;
        break;
      case Do::kStep:
      case Do::kLowerLimit:
        break;
    }
  }
}

SlotView GuardianGroup::slot_view() const {
  SharedSlot* slot = this->slot();
  return slot ? slot->view() : SlotView{};
}

OwnEpisode GuardianGroup::own_episode() const {
  bool acted = machine_.active() && machine_.phase() != EpisodeMachine::Phase::kDelaying;
  return {machine_.id(), acted};
}

bool GuardianGroup::seen_over() const {
  return config_.parent_alive && turn_.seen_over(slot_view(), own_episode());
}

int64_t GuardianGroup::deadline(int64_t now) {
  int64_t when = turn_.deadline(now, slot_view(), machine_.config().delay_ns);
  return config_.parent_alive ? when + config_.grace_ns : when;
}

bool GuardianGroup::may_act(int64_t now) {
  SharedSlot* slot = this->slot();
  return turn_.may_act(
      now, slot_view(), own_episode(),
      [&](uint32_t episode) { return slot->claim_for(episode, Claimant::kGuardian, now); },
      [&](uint32_t episode) { (void)slot->take_from(Claimant::kSentinel, episode, now); });
}

// Tells the sentinel of each act, also where its episode's fallback is claimed already, and where
// it has no episode that could be claimed: it may have one next.
void GuardianGroup::tell_of_act(int64_t now) {
  acted_at_ = now;
  turn_.acts(now);
  if (SharedSlot* slot = this->slot()) slot->claimed_at.store(now);
}

// Records when this process sees an OOM begin and end.
void GuardianGroup::witness(Do what) {
  if (what == Do::kBegin) {
    int64_t now = machine_.started_at(), whole = now + machine_.config().delay_ns;
    int64_t until = machine_.deadline();
    // A deadline carried over from the previous episode already includes the grace.
    if (until < whole && config_.parent_alive) until = std::max(until - config_.grace_ns, now);
    turn_.begins(now, until, slot_view());
  }
  if (what != Do::kEnd) return;
  turn_.ends(machine_.end().at);
  SharedSlot* slot = counted_ == machine_.end().id ? this->slot() : nullptr;
  if (slot) slot->act_is_over();
}

// If the delay is 0, a living parent has the grace to release the group itself.
bool GuardianGroup::is_parents_turn() {
  if (!config_.parent_alive || machine_.config().delay_ns != 0) return false;
  int64_t now = config_.effects->now();
  if (wanted_at_ == 0) wanted_at_ = now;
  return now < wanted_at_ + config_.grace_ns;
}

void GuardianGroup::fall_back(Sentinel& sentinel) {
  // Where victims are chosen from those that stand still, they are let go only after that.
  if (!back_end_->eligible()) thaw();
  uint32_t killed = 0;
  int err = config_.effects->kill(*this, target_of(machine_.config().fallback), killed);
  step(sentinel, Fact::kFallbackDone, err, killed);
}

bool GuardianGroup::below(const GuardianGroup& top) const {
  for (const GuardianGroup* at = this; at; at = at->above_.get()) {
    if (at == &top) return true;
  }
  return false;
}

int GuardianGroup::release() {
  // Before and after: a guardian that ends in between may have let the kernel in. Before only once
  // in an episode: a release that fails must not put the sentinel off.
  if (!released_ && announced_ != machine_.id()) tell_of_act(config_.effects->now());
  announced_ = machine_.id();
  int err = back_end_->pause_hold();
  if (err == 0 && !released_) tell_of_act(config_.effects->now());
  released_ |= err == 0;
  held_ &= err != 0;
  thaw();
  if (back_end_->traits().kernel_must_be_asked &&
      ask_.due(machine_.id(), config_.effects->now(), kills_, usage_)) {
    SharedSlot* slot = this->slot();
    uint64_t lent = slot && slot->own_limit.load() != 0 ? slot->raised_to.load() : 0;
    uint64_t base = machine_.base_limit();
    config_.effects->ask_kernel(*this, {base, std::max(base, lent), kills_});
  }
  if (!config_.parent_alive) restore_limit();
  return err;
}

void GuardianGroup::thaw() {
  SharedSlot* slot = this->slot();
  // Who has been stopped by a signal is noted one by one, whatever the slot says.
  bool frozen = back_end_->frozen() || (slot && slot->hold.frozen.load() != 0);
  if (frozen && back_end_->freeze(false) != 0) config_.effects->thaw(*this);
}

void GuardianGroup::share(SharedSlot* slot) {
  back_end_->share(slot ? &slot->hold : nullptr);
  back_end_->note_stops(config_.shared->stops.table());
}

void GuardianGroup::parent_gone(Sentinel& sentinel) { step(sentinel, Fact::kSampled); }

int GuardianGroup::restore_limit() {
  SharedSlot* slot = this->slot();
  if (!slot || slot->own_limit.load() == 0) return 0;
  int err = back_end_->restore_limit_for(slot->own_limit.load(), slot->own_memsw.load(),
                                         slot->raised_to.load());
  if (err == 0) slot->own_limit.store(0);
  return err;
}

void GuardianGroup::restore(Sentinel& sentinel, bool last) {
  if (done_) return;
  leaving_ |= last;
  SharedSlot* slot = this->slot();
  share(slot);
  int err = back_end_->release();
  thaw();
  // No other process comes after this one: a group that it leaves held stays held.
  if (err != 0 && !is_gone(err)) return again(sentinel, kRetry);
  // If the group uses more than its own limit, the kernel decides about it again, and the limit is
  // restored as soon as the kernel accepts it. A living parent restores the limit itself.
  err = config_.parent_alive ? 0 : restore_limit();
  if (err != 0 && !is_gone(err) && !(leaving_ && err == -EBUSY))
    return again(sentinel, kRepayRetry);
  finish(sentinel);
}

void GuardianGroup::again(Sentinel& sentinel, int64_t ns) {
  sentinel.set_timer(*this, config_.effects->now() + ns);
}

void GuardianGroup::dispose(Sentinel& sentinel, bool held) {
  if (held && !done_ && back_end_->held() == 1) {
    back_end_->release();
    back_end_->unmark();
  }
  done_ = true;
  detach(sentinel);
}

void GuardianGroup::finish(Sentinel& sentinel) {
  done_ = true;
  detach(sentinel);
  config_.on_done(config_.on_done_arg);
}

}  // namespace oom::guardian
