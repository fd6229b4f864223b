// Which process is to end an OOM, as the guardian judges it. The times are milliseconds
// since the guardian has seen it begin.
#include "core/rules/turn.h"

#include <doctest/doctest.h>

#include <initializer_list>

#include "core/rules/timer.h"
#include "core/sys/units.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kBegin = 10'000 * kMs;
constexpr int64_t kDelay = 50;
constexpr int64_t kFollow = 100;

constexpr int64_t at(int64_t ms) { return kBegin + ms * kMs; }

constexpr SlotView slot(uint32_t episode, SlotState state, int64_t started = 0,
                        int64_t deadline = 80) {
  SlotView view;
  view.there = true;
  view.state = state;
  view.episode = episode;
  view.started_at = at(started);
  view.deadline = at(deadline);
  view.relieved_at = kNever;  // now
  return view;
}

// The sentinel has claimed its fallback, `when` ms after the guardian's episode began.
constexpr SlotView claimed(SlotView view, int64_t when = 60) {
  view.claimant = Claimant::kSentinel;
  view.claimed_at = at(when);
  return view;
}

constexpr SlotView kOld = slot(1, SlotState::kArmed);
constexpr SlotView kRuns = slot(2, SlotState::kEpisode);
constexpr SlotView kEnded = slot(2, SlotState::kArmed);
constexpr SlotView kLetIn = slot(2, SlotState::kKernel);

// The view of a group that has no slot; its other fields have no meaning.
constexpr SlotView without_slot(SlotView view) {
  view.there = false;
  return view;
}

// The guardian's first episode has begun; the slot still has the sentinel's episode 1.
struct Rig {
  explicit Rig(const SlotView& seen = kOld) { turn.begins(kBegin, at(kDelay), seen); }

  // In milliseconds.
  int64_t deadline(const SlotView& view, int64_t now = 10, int64_t delay = kDelay) {
    return (turn.deadline(at(now), view, delay * kMs) - kBegin) / kMs;
  }
  bool may_act(const SlotView& view, int64_t now = 100) {
    return turn.may_act(
        at(now), view, own,
        [&](uint32_t episode) {
          claims++;
          CHECK(episode == view.episode);
          return claimable;
        },
        [&](uint32_t episode) {
          taken++;
          CHECK(episode == view.episode);
        });
  }
  // Its fallback has begun.
  void act(const SlotView& view) {
    CHECK(may_act(view));
    own.acted = true;
  }

  Turn turn;
  OwnEpisode own{1, false};
  bool claimable = true;
  int claims = 0, taken = 0;
};

}  // namespace

TEST_CASE("if the sentinel has published nothing, the guardian's own deadline counts") {
  Rig rig;
  for (const SlotView& view : {SlotView{}, kOld, without_slot(kRuns), without_slot(kEnded)}) {
    CHECK(rig.deadline(view) == kDelay);
  }
  rig.turn.delay_set(at(70), 0);
  CHECK(rig.deadline(kOld) == 70);
}

TEST_CASE("the sentinel's deadline is followed, however often it is moved") {
  Rig rig;
  for (int64_t ms : {80, 200, 30}) CHECK(rig.deadline(slot(2, SlotState::kEpisode, 0, ms)) == ms);
}

TEST_CASE("an OOM that a sentinel has slept through counts from where it began") {
  Rig rig;
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, 21, 80)) == 59);
  // Also when the deadline is moved.
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, 21, 90)) == 69);
  // The next episode is seen in time.
  CHECK(rig.deadline(slot(3, SlotState::kEpisode, 60, 110)) == 110);
}

TEST_CASE("so does one that follows on an OOM that is known to be over") {
  // The guardian knows the end of the sentinel's episode 2. The sentinel has slept through it.
  Rig rig(kRuns);
  rig.turn.ends(at(60));
  rig.turn.begins(at(70), at(70 + kDelay), kRuns);
  CHECK(rig.deadline(kRuns, 80) == 70 + kDelay);
  SlotView next = slot(3, SlotState::kEpisode, 170, 170 + kDelay);
  next.relieved_at = at(70) - 1;
  SUBCASE("it publishes the next one at once") { CHECK(rig.deadline(next, 170) == 70 + kDelay); }
  SUBCASE("it publishes the end first") {
    SlotView end = kEnded;
    end.relieved_at = next.relieved_at;
    CHECK_FALSE(rig.turn.is_over(end, rig.own));
    CHECK(rig.deadline(end, 165) == 70 + kDelay);
    CHECK_FALSE(rig.turn.is_over(end, rig.own));
    CHECK(rig.deadline(next, 170) == 70 + kDelay);
  }
  SUBCASE("and what it has done takes effect") {
    SlotView end = claimed(kEnded, 65);
    end.relieved_at = next.relieved_at;
    CHECK(rig.deadline(end, 165) == 65 + kFollow);
  }
  SUBCASE("what the sentinel has done in between clears the clock") {
    next.claimed_at = at(165);
    CHECK(rig.deadline(next, 170) == 170 + kDelay);
  }
  SUBCASE("it has seen an end that this process has not") {
    next.relieved_at = at(70);
    CHECK(rig.deadline(next, 170) == 170 + kDelay);
  }
  SUBCASE("it has seen the end of an episode that this process has not") {
    SlotView end = kEnded;
    end.relieved_at = at(165);
    CHECK(rig.turn.is_over(end, rig.own));
    CHECK(rig.deadline(end, 170) == 170 + kDelay);
  }
}

TEST_CASE("a sentinel that is no later than 10 ms has seen an OOM begin in time") {
  Rig rig;
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, 10, 80)) == 80);
  CHECK(Rig().deadline(slot(2, SlotState::kEpisode, 11, 80)) == 69);
}

TEST_CASE("after an end that the sentinel has seen, an OOM has a delay of its own") {
  Rig rig;
  SUBCASE("of an episode that was followed") { rig.deadline(kRuns); }
  SUBCASE("of one that began and ended between two samples") {}
  CHECK(rig.deadline(kEnded, 70) == 70 + kDelay);
  // The delay does not begin again with each sample.
  CHECK(rig.deadline(kEnded, 90) == 70 + kDelay);
}

TEST_CASE("what a sentinel has done before an end takes effect first") {
  Rig rig;
  rig.deadline(kRuns);
  SUBCASE("a short delay") { CHECK(rig.deadline(claimed(kEnded), 70) == 60 + kFollow); }
  SUBCASE("a long delay") { CHECK(rig.deadline(claimed(kEnded), 70, 200) == 70 + 200); }
  SUBCASE("it still does it") {
    rig.turn.begins(at(70), at(70 + kDelay), claimed(kLetIn));
    CHECK(rig.deadline({}) == 70 + kDelay);
  }
  SUBCASE("there is none") {
    rig.turn.begins(at(70), at(70 + kDelay), without_slot(claimed(kEnded)));
    CHECK(rig.deadline({}) == 70 + kDelay);
  }
}

TEST_CASE("also where it has slept through the beginning of the next OOM") {
  Rig rig(claimed(kOld, -10));
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, 70, 70 + kDelay), 70) == kFollow - 10);
}

TEST_CASE("what a sentinel has done long ago puts nothing off") {
  const SlotView old = claimed(kOld, kDelay - kFollow);
  CHECK(Rig(old).deadline(old) == kDelay);
  const SlotView later = claimed(kOld, kDelay - kFollow + 1);
  CHECK(Rig(later).deadline(later) == kDelay + 1);
}

TEST_CASE("an episode in the kernel's turn is followed, unless it is an earlier one") {
  Rig rig;
  CHECK(rig.deadline(kLetIn) == 80);
  CHECK(Rig(kLetIn).deadline(kLetIn) == kDelay);
  // Another one than that which was followed, whose end the sentinel has seen.
  Rig other;
  other.deadline(kRuns);
  SlotView next = slot(3, SlotState::kKernel, 20, 90);
  CHECK(other.deadline(next, 70) == 90);
  // If it has not, the OOM that this process sees is none of the slot's.
  Rig slept;
  slept.deadline(kRuns);
  next.relieved_at = at(-1);
  CHECK(slept.deadline(next, 70) == kDelay);
}

TEST_CASE("an OOM may have ended and the next one begun while the guardian did not look") {
  Rig rig;
  CHECK_FALSE(rig.turn.next_has_begun(kRuns));
  rig.deadline(kRuns);
  CHECK_FALSE(rig.turn.next_has_begun(kRuns));
  SlotView next = slot(3, SlotState::kEpisode, 20, 90);
  CHECK(rig.turn.next_has_begun(next));
  CHECK_FALSE(rig.turn.next_has_begun(without_slot(next)));
  CHECK_FALSE(rig.turn.next_has_begun(slot(3, SlotState::kKernel)));
  CHECK_FALSE(rig.turn.next_has_begun(slot(3, SlotState::kArmed)));
  next.relieved_at = at(-1);
  CHECK_FALSE(rig.turn.next_has_begun(next));
  // What this process has ended is not followed.
  rig.act(kRuns);
  rig.deadline(slot(3, SlotState::kEpisode));
  CHECK_FALSE(rig.turn.next_has_begun(kRuns));
}

TEST_CASE("a slot that still has an OOM that is over does not shorten the next one") {
  Rig rig;
  SUBCASE("fine before") { rig.turn.fine(at(-5)); }
  SUBCASE("ended before") { rig.turn.ends(at(-5)); }
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, -6, 10)) == kDelay);
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, -6, 80)) == 80);
  CHECK(rig.deadline(slot(2, SlotState::kEpisode, -5, 10)) == 10);
}

TEST_CASE("a deadline is not before the last sample that was unclear") {
  Rig rig;
  rig.turn.unclear(at(60));
  CHECK(rig.deadline(kOld) == 60);
  CHECK(rig.deadline(kRuns) == 80);
}

TEST_CASE("an episode that is followed is over when the slot shows its end") {
  Rig rig;
  rig.deadline(kRuns);
  CHECK_FALSE(rig.turn.is_over(kRuns, rig.own));
  CHECK_FALSE(rig.turn.is_over(kLetIn, rig.own));
  CHECK(rig.turn.is_over(kEnded, rig.own));
  // Another one runs already, in its kernel's turn.
  CHECK_FALSE(rig.turn.is_over(slot(3, SlotState::kKernel), rig.own));
  CHECK(rig.turn.is_over(without_slot(kRuns), rig.own));
  // What the guardian has done without a claim ends nothing of the sentinel's.
  CHECK(rig.turn.is_over(kEnded, {1, true}));
}

TEST_CASE("an episode that is not followed is over when a new one has come and gone") {
  Rig rig;
  CHECK(rig.turn.is_over(kEnded, rig.own));
  CHECK_FALSE(rig.turn.is_over(kRuns, rig.own));
  CHECK_FALSE(rig.turn.is_over(kOld, rig.own));
  CHECK_FALSE(rig.turn.is_over(without_slot(kEnded), rig.own));
  // Where there was no slot before, each is new.
  CHECK(Rig(without_slot(kEnded)).turn.is_over(kEnded, rig.own));
}

TEST_CASE("what was over before this OOM began is not its end, wherever it is told") {
  Rig rig;
  SlotView before = kEnded;
  before.relieved_at = kBegin - 1;
  CHECK_FALSE(rig.turn.is_over(before, rig.own));
  before.relieved_at = kBegin;
  CHECK(rig.turn.is_over(before, rig.own));
}

TEST_CASE("what the guardian has ended itself is over when the sentinel has seen so") {
  Rig rig;
  rig.deadline(kRuns);
  rig.act(kRuns);
  for (const SlotView& still : {kRuns, kLetIn, without_slot(kEnded)}) {
    CHECK_FALSE(rig.turn.is_over(still, rig.own));
    CHECK_FALSE(rig.turn.seen_over(still, rig.own));
  }
  for (const SlotView& after : {kEnded, slot(3, SlotState::kEpisode)}) {
    CHECK(rig.turn.is_over(after, rig.own));
    CHECK(rig.turn.seen_over(after, rig.own));
  }
}

TEST_CASE(
    "the next episode does not end what the guardian acts in where it tells of an earlier end") {
  Rig rig;
  rig.deadline(kRuns);
  rig.act(kRuns);
  // A sentinel that was stopped sees the end of the OOM before this one.
  SlotView next = slot(3, SlotState::kEpisode);
  next.relieved_at = kBegin - 1;
  CHECK_FALSE(rig.turn.seen_over(next, rig.own));
  next.relieved_at = kBegin;
  CHECK(rig.turn.seen_over(next, rig.own));
}

TEST_CASE("only an episode that the guardian has ended can be seen over") {
  Rig rig;
  rig.deadline(kRuns);
  CHECK(rig.may_act(kRuns));
  CHECK_FALSE(rig.turn.seen_over(kEnded, rig.own));
  CHECK(rig.turn.is_over(kEnded, rig.own));
}

TEST_CASE("what the guardian has ended without a claim is over with the sentinel's next end") {
  Rig rig;
  // The sentinel had published no episode when the guardian acted.
  CHECK(rig.may_act(kOld));
  const OwnEpisode acted{1, true};
  CHECK_FALSE(rig.turn.seen_over(kOld, acted));
  CHECK_FALSE(rig.turn.seen_over(kRuns, acted));
  CHECK(rig.turn.seen_over(kEnded, acted));
}

TEST_CASE("a delay that is set after the kernel was let in counts where the group is held") {
  Rig rig;
  CHECK(rig.may_act(kOld));
  rig.turn.delay_set(at(110), 1);
  CHECK_FALSE(rig.turn.seen_over(kOld, {1, false}));
  CHECK_FALSE(rig.turn.seen_over(without_slot(kOld), {1, true}));
  CHECK(rig.turn.seen_over(kOld, {1, true}));
  CHECK_FALSE(rig.turn.seen_over(slot(1, SlotState::kReleased), {1, true}));
  CHECK_FALSE(rig.turn.seen_over(kRuns, {1, true}));
  CHECK_FALSE(rig.turn.seen_over(kOld, {2, true}));
  rig.turn.delay_set(at(120), 0);
  CHECK_FALSE(rig.turn.seen_over(kOld, {1, true}));
}

TEST_CASE("a group that is released on purpose has no episode either") {
  Rig rig;
  rig.deadline(kRuns);
  CHECK(rig.deadline(slot(2, SlotState::kReleased), 70) == 70 + kDelay);
}

TEST_CASE("a new delay does not shorten the time in which the sentinel's act takes effect") {
  const SlotView acted = claimed(kOld, 0);
  Rig rig(acted);
  rig.turn.delay_set(at(5), 0);
  CHECK(rig.deadline(acted) == kFollow);
}

TEST_CASE("an episode that the guardian has ended is not followed any more") {
  Rig rig;
  rig.act(kRuns);
  rig.turn.begins(at(200), at(200 + kDelay), kOld);
  CHECK(rig.deadline(kRuns) == 200 + kDelay);
}

TEST_CASE("a fallback is claimed before it is carried out, each time") {
  Rig rig;
  CHECK(rig.may_act(kRuns));
  CHECK(rig.claims == 1);
  // The sentinel's episode may outlast what this process sees: a new claim reports the second act.
  CHECK(rig.may_act(kRuns));
  CHECK(rig.claims == 2);
  CHECK(rig.may_act(slot(3, SlotState::kKernel)));
  CHECK(rig.claims == 3);
  CHECK(rig.taken == 0);
}

TEST_CASE("where the sentinel has no episode there is nothing to claim") {
  Rig rig;
  CHECK(rig.may_act(kOld));
  CHECK(rig.may_act(without_slot(kRuns)));
  CHECK(rig.claims == 0);
}

TEST_CASE("what the sentinel has claimed it has 110 ms for, once") {
  Rig rig;
  rig.claimable = false;
  CHECK_FALSE(rig.may_act(claimed(kRuns), 100));
  CHECK(rig.turn.put_off() == at(170));
  CHECK_FALSE(rig.may_act(claimed(kRuns), 150));
  CHECK_FALSE(rig.may_act(kRuns, 169));
  CHECK(rig.turn.put_off() == at(170));
  CHECK(rig.taken == 0);
  CHECK(rig.may_act(claimed(kRuns), 170));
  CHECK(rig.taken == 1);
  // It is the guardian's now.
  rig.claimable = true;
  CHECK(rig.may_act(kRuns, 171));
  CHECK(rig.taken == 1);
}

TEST_CASE("a claim whose time is over when the guardian meets it puts nothing off") {
  Rig rig;
  rig.claimable = false;
  SUBCASE("it is") { CHECK(rig.may_act(claimed(kRuns), 170)); }
  SUBCASE("it is not yet") { CHECK_FALSE(rig.may_act(claimed(kRuns), 169)); }
}

TEST_CASE("a sentinel that has claimed it just before has its 100 ms from there, once") {
  Rig rig;
  rig.claimable = false;
  CHECK_FALSE(rig.may_act(kRuns, 100));
  CHECK(rig.turn.put_off() == at(200));
  CHECK_FALSE(rig.may_act(kRuns, 150));
  CHECK(rig.claims == 2);
  CHECK(rig.turn.put_off() == at(200));
}

TEST_CASE("what the sentinel has carried out, or claimed again, has its time again") {
  Rig rig;
  rig.claimable = false;
  CHECK_FALSE(rig.may_act(claimed(kRuns), 100));
  CHECK_FALSE(rig.may_act(claimed(kRuns, 198), 200));
  CHECK(rig.turn.put_off() == at(308));
  CHECK(rig.may_act(claimed(kRuns, 198), 308));
  CHECK_FALSE(rig.may_act(claimed(kRuns, 350), 351));
}

TEST_CASE("what a guardian before this one has claimed has its time as well") {
  Rig rig;
  SlotView view = kRuns;
  view.claimant = Claimant::kGuardian;
  view.claimed_at = at(60);
  CHECK_FALSE(rig.may_act(view, 169));
  CHECK(rig.turn.put_off() == at(170));
  CHECK(rig.claims == 0);
  CHECK(rig.may_act(view, 170));
  // What it has claimed itself it need not wait for.
  view.claimed_at = at(170);
  CHECK(rig.may_act(view, 171));
}

TEST_CASE("an episode that begins in an OOM that the guardian has acted in is its own") {
  Rig rig;
  CHECK(rig.may_act(kOld, 100));
  rig.turn.acts(at(100));
  rig.own.acted = true;
  SlotView begun = slot(2, SlotState::kEpisode, 101);
  begun.claimant = Claimant::kGuardian;
  begun.claimed_at = at(100);
  CHECK(rig.may_act(begun, 105));
  CHECK(rig.taken == 0);
  CHECK_FALSE(rig.turn.seen_over(begun, rig.own));
  CHECK(rig.turn.seen_over(slot(3, SlotState::kEpisode, 110), rig.own));
}

TEST_CASE("what the sentinel has claimed and ended has its time as well") {
  Rig rig;
  rig.claimable = false;
  rig.may_act(claimed(kRuns), 100);
  CHECK_FALSE(rig.may_act(claimed(kEnded), 169));
  CHECK(rig.may_act(claimed(kEnded), 170));
  CHECK(rig.taken == 0);
}

TEST_CASE("so has what it has claimed and ended before this process met it") {
  Rig rig;
  CHECK_FALSE(rig.may_act(claimed(kEnded, 60), 159));
  CHECK(rig.turn.put_off() == at(160));
  CHECK(rig.may_act(claimed(kEnded, 60), 160));
  CHECK(rig.claims == 0);
}

TEST_CASE("the sentinel's time is for one episode") {
  Rig rig;
  rig.claimable = false;
  rig.may_act(claimed(kRuns), 100);
  CHECK_FALSE(rig.may_act(claimed(slot(3, SlotState::kEpisode), 140), 150));
  CHECK(rig.turn.put_off() == at(250));
}
