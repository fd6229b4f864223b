// What the guardian calls of its back-end and its process, and when: both are scripts here, the
// sentinel's side of the slot is written by hand. v1 and v2 are traits.
#include <doctest/doctest.h>
#include <sys/eventfd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "core/sys/fd.h"
#include "guardian/guardian_group.h"

using namespace oom;  // NOLINT(google-build-using-namespace)
using guardian::GuardianGroup;

namespace {

constexpr uint64_t kInode = 42;
constexpr uint64_t kMiB = 1 << 20;
constexpr int64_t kDelay = 50;  // ms
constexpr int64_t kGrace = 20;

void note(std::string& log, const char* what) {
  if (!log.empty()) log += ' ';
  log += what;
}

// Shows and answers what the test has set, and notes what is called.
class Script final : public BackEnd {
 public:
  explicit Script(std::string& log) : log_(log), event(eventfd(0, EFD_CLOEXEC)) {
    shows.limit = 64 * kMiB;
    shows.usage = 20 * kMiB;
  }
  const Traits& traits() const override { return its; }
  int event_fd() const override { return event.get(); }
  void consume() override { note(log_, "consume"); }
  int64_t quiet_until() override { return quiet; }
  int sample(Sample& out) override {
    samples++;
    if (error == 0) out = shows;
    return error;
  }
  bool at_limit(const Sample&) override { return own; }
  void share(HoldNote* note) override { shared = note; }
  void note_stops(const StopTable& table) override { sees_stops = table.there(); }
  int held() override { return is_held; }
  int hold() override { return call("hold", hold_error); }
  int hold_slowly() override { return call("hold-slowly", 0); }
  int release() override { return call("release", release_error); }
  void unmark() override { note(log_, "unmark"); }
  int pause_hold() override { return call("pause", pause_error); }
  int restore_limit_for(uint64_t, uint64_t, uint64_t) override {
    return call("restore", restore_error);
  }
  int freeze(bool frozen) override { return call(frozen ? "freeze" : "thaw", 0); }

  // What a guardian does not do.
  Status arm(const Place&, int, const ArmNeeds&) override { return Status::success(); }
  Status arm_members(const Place&, int, const ArmNeeds&) override { return Status::success(); }
  Status arm_above(int) override { return Status::success(); }
  Status arm_freezer(const std::string&) override { return Status::success(); }
  Status arm_reclaim(int) override { return Status::success(); }
  bool starved_above() override { return false; }
  int raise_to(uint64_t) override { return -ENOSYS; }
  bool raised() const override { return false; }
  int restore_limit(uint64_t) override { return -ENOSYS; }
  int reclaim() override { return -ENOSYS; }
  bool frozen() const override { return stopped; }
  const MemberList& members() const override { return members_; }

 private:
  int call(const char* what, int result) {
    note(log_, what);
    return result;
  }
  std::string& log_;
  MemberList members_;

 public:
  Traits its;
  Fd event;
  Sample shows;
  bool own = true;  // its own limit is what it stands at
  HoldNote* shared = nullptr;
  bool sees_stops = false;
  bool stopped = false;  // by signals, or frozen
  int64_t quiet = 0;
  int samples = 0, is_held = 0;
  int error = 0, hold_error = 0, release_error = 0, pause_error = 0, restore_error = 0;
};

struct Rig final : guardian::Effects {
  explicit Rig(Fallback fallback = Fallback::kKernel, bool v2 = false) {
    config.shared = shared.get();
    config.effects = this;
    config.grace_ns = kGrace * kMs;
    config.episode.delay_ns = config.episode.max_delay_ns = kDelay * kMs;
    config.episode.fallback = fallback;
    config.on_done = [](void* self) { note(static_cast<Rig*>(self)->log, "done"); };
    config.on_done_arg = this;
    slot = shared->take(kInode);
    loop = Sentinel::make_inline(status);
    auto made = make(kInode, nullptr, "");
    group = std::move(made.first);
    files = made.second;
    if (!v2) return;
    files->its.notifies_of_more = files->its.kernel_must_be_asked = true;
    files->its.waits_in_fault = false;
    files->its.idle_sample_ns = 500 * kMs;
    // It takes them over when it is made.
    auto again = std::make_unique<Script>(log);
    again->its = files->its;
    files = again.get();
    group = std::make_shared<GuardianGroup>(config, std::move(again), nullptr, kInode, "");
  }
  ~Rig() override { group->detach(*loop); }

  std::pair<std::shared_ptr<GuardianGroup>, Script*> make(uint64_t inode,
                                                          std::shared_ptr<GuardianGroup> above,
                                                          std::string name) {
    auto script = std::make_unique<Script>(log);
    Script* its = script.get();
    return {std::make_shared<GuardianGroup>(config, std::move(script), std::move(above), inode,
                                            std::move(name)),
            its};
  }

  int64_t now() override { return clock; }
  int kill(const GuardianGroup&, int32_t target, uint32_t& killed) override {
    note(log, "kill");
    killed_whom = target;
    killed = kills;
    if (removed_by_kill) files->error = -ENODEV;
    if (raised_by_kill) {
      files->shows.limit *= 2;
      files->shows.need = Need::kFine;
    }
    return kill_error;
  }
  void thaw(const GuardianGroup&) override { note(log, "thaw-all"); }
  bool any_member(const GuardianGroup&) override {
    asked_members++;
    return members;
  }
  void ask_kernel(GuardianGroup&, const Asking& asking) override {
    note(log, "ask");
    asked = asking;
  }

  void starve() {
    files->shows.need = Need::kStarved;
    files->shows.usage = files->shows.limit;
  }
  void relieve() {
    files->shows.need = Need::kFine;
    files->shows.usage = files->shows.limit / 4;
  }
  // As the loop does when the timer is due; the calls that were made.
  std::string look() {
    loop->clear_timer(*group);
    group->due(*loop, clock);
    return std::exchange(log, {});
  }
  std::string notify() {
    group->ready(*loop, clock);
    return std::exchange(log, {});
  }
  // Samples each millisecond.
  std::string run_for(int64_t ms) {
    std::string all;
    for (int64_t i = 0; i < ms; i++) {
      clock += kMs;
      std::string said = look();
      if (!said.empty()) note(all, said.c_str());
    }
    return all;
  }
  std::string calls() { return std::exchange(log, {}); }
  // In milliseconds; -1: no timer is set.
  int64_t wakes_in() const { return group->set() ? (group->when() - clock) / kMs : -1; }
  // As the sentinel publishes an episode.
  void publish(uint32_t episode, SlotState state, int64_t started = 0, int64_t deadline = kDelay) {
    slot->started_at.store(clock + started * kMs);
    slot->deadline.store(clock + deadline * kMs);
    claim(episode, Claimant::kNobody, 0);
    slot->state.store(state);
  }
  void claim(uint32_t episode, Claimant who, int64_t at) {
    slot->claimed_at.store(at);
    slot->claim.store(SharedSlot::word(episode, who));
  }
  bool delaying() const { return group->machine().phase() == EpisodeMachine::Phase::kDelaying; }
  // Whether the event's descriptor is registered, for any source.
  bool registered() {
    int err = loop->add(files->event.get(), *group, EPOLLIN);
    if (err == 0) loop->remove(files->event.get());
    return err == -EEXIST;
  }

  std::string log;
  Status status;
  std::unique_ptr<SharedState> shared = std::make_unique<SharedState>();
  SharedSlot* slot = nullptr;
  LockedPtr<Sentinel> loop;
  guardian::GroupConfig config;
  int64_t clock = 10'000 * kMs;
  uint32_t kills = 1;
  int kill_error = 0;
  int32_t killed_whom = 1;
  // The group when a member is killed.
  bool removed_by_kill = false, raised_by_kill = false;
  bool members = true;
  int asked_members = 0;
  Asking asked;
  Script* files = nullptr;
  std::shared_ptr<GuardianGroup> group;
};

struct V2 {
  V2() : rig(Fallback::kKernel, true) {}
  Rig rig;
};

}  // namespace

TEST_CASE("attached: its event is registered, and v2 is sampled by the clock") {
  SUBCASE("v1") {
    Rig rig;
    CHECK(rig.group->attach(*rig.loop) == 0);
    CHECK(rig.registered());
    CHECK(rig.wakes_in() == -1);
    CHECK_FALSE(rig.group->machine().config().traits.notifies_of_more);
  }
  SUBCASE("v2") {
    V2 v2;
    CHECK(v2.rig.group->attach(*v2.rig.loop) == 0);
    CHECK(v2.rig.wakes_in() == 100);
    CHECK(v2.rig.group->machine().config().traits.notifies_of_more);
    v2.rig.clock += 100 * kMs;
    v2.rig.look();
    CHECK(v2.rig.wakes_in() == 100);
  }
  SUBCASE("one that cannot be") {
    V2 v2;
    v2.rig.files->event.reset();
    CHECK(v2.rig.group->attach(*v2.rig.loop) == -EBADF);
    CHECK(v2.rig.wakes_in() == -1);
  }
}

TEST_CASE("v2: an idle group is sampled in the sweep alone") {
  V2 v2;
  Rig& rig = v2.rig;
  rig.group->set_writes_reported(true);
  REQUIRE(rig.group->attach(*rig.loop) == 0);
  // The sentinel may be late to see what both were notified of.
  auto settle = [&] {
    for (int i = 0; i < 10; i++) {
      CHECK(rig.wakes_in() == 100);
      rig.clock += 100 * kMs;
      rig.look();
    }
  };
  settle();
  CHECK(rig.wakes_in() == 9'000);

  SUBCASE("a notification that is lost is found there") {
    rig.starve();
    rig.clock += 9'000 * kMs;
    CHECK(rig.look() == "");
    CHECK(rig.delaying());
    CHECK(rig.run_for(kDelay + kGrace - 1) == "");
    CHECK(rig.run_for(1) == "pause");
  }
  SUBCASE("a notification") {
    rig.clock += 500 * kMs;
    CHECK(rig.notify() == "consume");
    settle();
    CHECK(rig.wakes_in() == 7'500);
  }
  SUBCASE("one for which the group is not sampled yet") {
    rig.clock += 500 * kMs;
    rig.files->quiet = rig.clock + 40 * kMs;
    int samples = rig.files->samples;
    rig.notify();
    rig.notify();
    CHECK(rig.wakes_in() == 40);
    CHECK(rig.files->samples == samples);
    rig.clock += 40 * kMs;
    rig.look();
    CHECK(rig.wakes_in() == 100);
  }
  SUBCASE("a write") {
    rig.clock += 500 * kMs;
    rig.starve();
    rig.group->touched(*rig.loop);
    CHECK(rig.delaying());
    int samples = rig.files->samples;
    rig.group->touched(*rig.loop);
    CHECK(rig.files->samples == samples);
  }
  SUBCASE("a write after which it is fine") {
    rig.clock += 500 * kMs;
    rig.group->touched(*rig.loop);
    settle();
    CHECK(rig.wakes_in() == 7'500);
  }
  SUBCASE("the sentinel has an episode, and may stop the members or be stopped") {
    rig.notify();
    rig.publish(1, SlotState::kEpisode);
    rig.clock += 100 * kMs;
    rig.look();
    for (int i = 0; i < 30; i++) {
      CHECK(rig.wakes_in() == 100);
      rig.clock += 100 * kMs;
      rig.look();
    }
    rig.slot->state.store(SlotState::kArmed);
    rig.look();
    settle();
    CHECK(rig.wakes_in() > 1'000);
  }
  SUBCASE("it is not clear whether members wait") {
    rig.notify();
    rig.files->shows.need = Need::kNear;
    for (int i = 0; i < 30; i++) {
      rig.clock += 100 * kMs;
      rig.look();
      CHECK(rig.wakes_in() == 100);
    }
  }
  SUBCASE("it cannot be read") {
    rig.notify();
    rig.files->error = -EIO;
    rig.look();
    CHECK(rig.wakes_in() == 5);
    rig.files->error = 0;
    rig.look();
    settle();
    CHECK(rig.wakes_in() > 1'000);
  }
  SUBCASE("it has no slot") {
    rig.notify();
    rig.shared->free_slot(*rig.slot);
    for (int i = 0; i < 30; i++) {
      rig.clock += 100 * kMs;
      rig.look();
      CHECK(rig.wakes_in() == 100);
    }
  }
  SUBCASE("the parent has ended") {
    rig.config.parent_alive = false;
    rig.group->parent_gone(*rig.loop);
    CHECK(rig.calls() == "release done");
    rig.group->touched(*rig.loop);
    CHECK(rig.calls() == "");
  }
}

TEST_CASE("detached: no timer, no event, once") {
  V2 v2;
  Rig& rig = v2.rig;
  REQUIRE(rig.group->attach(*rig.loop) == 0);
  rig.group->detach(*rig.loop);
  CHECK(rig.wakes_in() == -1);
  CHECK_FALSE(rig.registered());
  // The descriptor's number may be another's by then.
  REQUIRE(rig.loop->add(rig.files->event.get(), *rig.group, EPOLLIN) == 0);
  rig.group->detach(*rig.loop);
  CHECK(rig.registered());
}

TEST_CASE("what is noted of the hold is shared while the group has a slot") {
  Rig rig;
  rig.look();
  CHECK(rig.files->shared == &rig.slot->hold);
  rig.files->shared = nullptr;
  rig.group->restore(*rig.loop, false);
  CHECK(rig.files->shared == &rig.slot->hold);

  Rig without;
  without.look();
  without.shared->free_slot(*without.slot);
  without.look();
  CHECK(without.files->shared == nullptr);
}

TEST_CASE("an OOM of a group above is that group's") {
  Rig rig;
  auto [below, its] = rig.make(43, rig.group, "below");
  its->shows.need = Need::kStarved;
  its->own = false;
  rig.files->shows.need = Need::kStarved;
  below->due(*rig.loop, rig.clock);
  CHECK_FALSE(below->machine().active());
  rig.files->error = -EIO;
  below->due(*rig.loop, rig.clock);
  CHECK(below->machine().active());
  CHECK(below->below(*rig.group));
  CHECK(below->below(*below));
  CHECK_FALSE(rig.group->below(*below));
  below->detach(*rig.loop);
}

TEST_CASE("the guardian reads the sentinel's notes of which processes signals have stopped") {
  SUBCASE("at each sample") {
    Rig rig;
    rig.look();
    CHECK(rig.files->sees_stops);
  }
  SUBCASE("before all is restored") {
    Rig rig;
    rig.group->restore(*rig.loop, true);
    CHECK(rig.files->sees_stops);
  }
}

TEST_CASE("held by signals, whom the sentinel has let go past the line needs no guardian") {
  Rig rig(Fallback::kKernel, true);
  rig.files->its.stands_past_line = true;
  rig.files->its.kernel_must_be_asked = false;
  rig.starve();
  rig.publish(1, SlotState::kKernel);
  rig.claim(1, Claimant::kSentinel, rig.clock);
  SUBCASE("for as long as it stands there") {
    CHECK(rig.run_for(2 * kDelay + 500) == "");
    CHECK_FALSE(rig.group->machine().active());
  }
  SUBCASE("unless somebody is still stopped") { rig.files->stopped = true; }
  SUBCASE("unless the process has ended") { rig.config.parent_alive = false; }
  SUBCASE("unless it is held otherwise") { rig.files->its.stands_past_line = false; }
  SUBCASE("unless the sentinel has stopped them again") { rig.publish(2, SlotState::kEpisode); }
  const bool rests = !rig.files->stopped && rig.config.parent_alive &&
                     rig.files->its.stands_past_line &&
                     rig.slot->state.load() == SlotState::kKernel;
  if (!rests) CHECK(rig.run_for(2 * kDelay + 500).find("pause") != std::string::npos);
}

TEST_CASE("members are listed only in an episode") {
  Rig rig;
  rig.run_for(100);
  CHECK(rig.asked_members == 0);
  rig.starve();
  rig.run_for(30);
  CHECK(rig.asked_members == 2);
}

TEST_CASE("a notification shows that the group has a member again") {
  for (bool notified : {false, true}) {
    Rig rig;
    rig.config.parent_alive = false;
    rig.members = false;
    rig.starve();
    CHECK(rig.look() == "");
    rig.clock += 20 * kMs;
    CHECK(rig.look() == "");
    rig.clock += 10 * kMs;
    if (notified) CHECK(rig.notify() == "consume");
    rig.clock += 10 * kMs;
    CHECK(rig.look() == (notified ? "" : "pause"));
  }
}

TEST_CASE("an end that the sentinel published is for the OOM that was not read, not for the next") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.run_for(5);
  rig.files->error = -EIO;
  rig.slot->set_relieved(rig.clock);
  rig.slot->state.store(SlotState::kArmed);
  rig.run_for(1);
  // It was no end.
  rig.files->error = 0;
  rig.run_for(1);
  rig.publish(2, SlotState::kEpisode);
  rig.run_for(1);
  rig.files->error = -EIO;
  rig.run_for(10);
  CHECK(rig.delaying());
}

TEST_CASE("an episode of the sentinel's from before a fine sample is no deadline of what is now") {
  Rig rig;
  rig.clock += 10 * kMs;
  rig.look();
  rig.clock += 10 * kMs;
  rig.starve();
  rig.look();
  rig.publish(2, SlotState::kEpisode, -12, 38);
  CHECK(rig.run_for(kDelay + kGrace - 1) == "");
  CHECK(rig.run_for(1) == "pause");
}

TEST_CASE("a group that is done is left alone") {
  Rig rig;
  rig.group->restore(*rig.loop, true);
  CHECK(rig.calls() == "release done");
  int samples = rig.files->samples;
  CHECK(rig.notify() == "");
  CHECK(rig.look() == "");
  rig.group->restore(*rig.loop, true);
  rig.files->is_held = 1;
  rig.group->dispose(*rig.loop, true);
  CHECK(rig.calls() == "");
  CHECK(rig.files->samples == samples);
}

TEST_CASE("a notification soon after a fine sample can wait") {
  Rig rig;
  rig.files->quiet = rig.clock + kMs;
  CHECK(rig.notify() == "consume");
  CHECK(rig.files->samples == 0);
  rig.files->quiet = 0;
  rig.notify();
  CHECK(rig.files->samples == 1);
  // In an episode it cannot.
  rig.starve();
  rig.look();
  rig.files->quiet = rig.clock + kMs;
  rig.notify();
  CHECK(rig.files->samples == 3);
}

TEST_CASE("v1: the guardian samples for 100 ms after a notification, then not at all") {
  Rig rig;
  rig.notify();
  CHECK(rig.wakes_in() == 5);
  rig.clock += 99 * kMs;
  rig.look();
  CHECK(rig.wakes_in() == 1);
  // With a delay of 0 no sample is needed any more: the timer that is set is cleared.
  rig.clock += kMs;
  rig.slot->delay_ms.store(0);
  rig.slot->state.store(SlotState::kReleased);
  rig.notify();
  CHECK(rig.wakes_in() == -1);
}

TEST_CASE("the delay that the parent has set counts from then") {
  Rig rig;
  rig.starve();
  rig.look();
  rig.run_for(10);
  rig.slot->delay_ms.store(200);
  CHECK(rig.run_for(1) == "");
  CHECK(rig.group->machine().config().delay_ns == 200 * kMs);
  CHECK(rig.run_for(200 + kGrace - 1) == "");
  CHECK(rig.run_for(1) == "pause");
}

TEST_CASE("a delay of 0 is the parent's to carry out, for the grace") {
  Rig rig;
  rig.starve();
  rig.look();
  rig.slot->delay_ms.store(0);
  CHECK(rig.run_for(1) == "");
  CHECK_FALSE(rig.group->machine().active());
  CHECK(rig.run_for(kGrace - 1) == "");
  CHECK(rig.run_for(5) == "pause");
  // Each OOM has the grace again.
  rig.relieve();
  rig.run_for(100);
  rig.starve();
  CHECK(rig.run_for(kGrace) == "");
  CHECK(rig.run_for(5) == "pause");
}

TEST_CASE("what it holds again itself is released at once when the parent sets the delay to 0") {
  for (bool holds_again : {true, false}) {
    Rig rig;
    rig.starve();
    rig.publish(1, SlotState::kEpisode);
    rig.look();
    if (holds_again) {
      CHECK(rig.run_for(kDelay + kGrace) == "pause");
      rig.relieve();
      CHECK(rig.run_for(110) == "hold");
      rig.run_for(200);
    } else {
      rig.relieve();
      CHECK(rig.run_for(300) == "");
    }
    rig.slot->state.store(SlotState::kReleased);
    rig.slot->delay_ms.store(0);
    CHECK(rig.run_for(1) == (holds_again ? "pause" : ""));
    // It holds no more: an OOM is the parent's for the grace.
    rig.run_for(100);
    rig.starve();
    CHECK(rig.run_for(kGrace) == "");
    CHECK(rig.run_for(5) == "pause");
  }
}

TEST_CASE("after a release the guardian holds the group again, once") {
  Rig rig;
  rig.starve();
  rig.look();
  CHECK(rig.run_for(kDelay + kGrace) == "pause");
  // Tasks wait although the kernel has its killer: once more every 5 ms.
  CHECK(rig.run_for(10) == "pause pause");
  rig.relieve();
  rig.files->hold_error = -EAGAIN;
  CHECK(rig.run_for(110) == "hold hold-slowly");
  // If the release failed, the group is still held.
  rig.files->pause_error = -EIO;
  rig.starve();
  rig.run_for(kDelay + kGrace + 1);
  CHECK(rig.group->machine().phase() == EpisodeMachine::Phase::kKernel);
  rig.relieve();
  CHECK(rig.run_for(1).find("hold") == std::string::npos);
  std::string rest = rig.run_for(200);
  CHECK_FALSE(rig.group->machine().active());
  CHECK(rest.find("hold") == std::string::npos);
}

TEST_CASE("a release that fails is tried again, and nothing else is done") {
  Rig rig;
  rig.files->release_error = -EIO;
  rig.starve();
  rig.look();
  rig.group->restore(*rig.loop, true);
  CHECK(rig.calls() == "release");
  CHECK(rig.wakes_in() == 5);
  CHECK_FALSE(rig.group->done());
  int samples = rig.files->samples;
  rig.clock += 5 * kMs;
  CHECK(rig.look() == "release");
  CHECK(rig.files->samples == samples);
  rig.files->release_error = 0;
  rig.clock += 5 * kMs;
  CHECK(rig.look() == "release done");
  CHECK(rig.group->done());
}

TEST_CASE("restore() without a parent: headroom too, and headroom in use is left the last time") {
  for (bool last : {false, true}) {
    Rig rig;
    rig.slot->own_limit.store(64 * kMiB);
    rig.slot->raised_to.store(80 * kMiB);
    SUBCASE("the parent lives") {
      rig.group->restore(*rig.loop, last);
      CHECK(rig.calls() == "release done");
    }
    SUBCASE("it does not") {
      rig.config.parent_alive = false;
      rig.files->restore_error = -EBUSY;
      rig.group->restore(*rig.loop, last);
      CHECK(rig.calls() == (last ? "release restore done" : "release restore"));
      CHECK(rig.wakes_in() == (last ? -1 : 100));
      CHECK(rig.slot->own_limit.load() == 64 * kMiB);
      if (last) continue;
      rig.files->restore_error = 0;
      rig.clock += 100 * kMs;
      CHECK(rig.look() == "release restore done");
      CHECK(rig.slot->own_limit.load() == 0);
    }
    SUBCASE("none was raised") {
      rig.config.parent_alive = false;
      rig.slot->own_limit.store(0);
      rig.group->restore(*rig.loop, last);
      CHECK(rig.calls() == "release done");
    }
  }
}

TEST_CASE("without a parent headroom is lowered when the kernel gets its turn") {
  Rig rig;
  rig.config.parent_alive = false;
  rig.slot->own_limit.store(64 * kMiB);
  rig.slot->raised_to.store(80 * kMiB);
  rig.starve();
  rig.look();
  CHECK(rig.run_for(kDelay) == "pause restore");
  CHECK(rig.slot->own_limit.load() == 0);
}

TEST_CASE("a group that is gone is done, within an episode and within its fallback") {
  for (bool in_fallback : {false, true}) {
    Rig rig(Fallback::kKillGroup);
    REQUIRE(rig.group->attach(*rig.loop) == 0);
    rig.starve();
    rig.look();
    rig.removed_by_kill = in_fallback;
    if (!in_fallback) rig.files->error = -ENODEV;
    CHECK(rig.run_for(kDelay + kGrace) == (in_fallback ? "kill done" : "done"));
    CHECK(rig.group->done());
    CHECK(rig.wakes_in() == -1);
    CHECK_FALSE(rig.registered());
  }
}

TEST_CASE("a disposed group is released if it is held, and is no longer watched") {
  for (bool held : {true, false}) {
    Rig rig;
    REQUIRE(rig.group->attach(*rig.loop) == 0);
    rig.loop->set_timer(*rig.group, rig.clock);
    rig.files->is_held = held;
    rig.group->dispose(*rig.loop, true);
    CHECK(rig.calls() == (held ? "release unmark" : ""));
    CHECK(rig.group->done());
    CHECK(rig.wakes_in() == -1);
    CHECK_FALSE(rig.registered());
  }
}

TEST_CASE("each killing fallback has its own victims") {
  const std::pair<Fallback, int32_t> all[] = {{Fallback::kKillLargest, target::kLargest},
                                              {Fallback::kKillNewest, target::kNewest},
                                              {Fallback::kKillGroup, target::kAll}};
  for (auto [fallback, whom] : all) {
    Rig rig(fallback);
    rig.starve();
    rig.look();
    CHECK(rig.run_for(kDelay + kGrace) == "kill");
    CHECK(rig.killed_whom == whom);
  }
}

TEST_CASE("if a kill fails or finds no process, the kernel has its killer at once") {
  for (bool fails : {true, false}) {
    Rig rig(Fallback::kKillLargest);
    rig.kill_error = fails ? -EIO : 0;
    rig.kills = fails;
    rig.starve();
    rig.look();
    CHECK(rig.run_for(kDelay + kGrace) == "kill pause");
  }
}

TEST_CASE("a kill that the sentinel has claimed is put off") {
  Rig rig(Fallback::kKillLargest);
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.look();
  rig.run_for(kDelay);
  rig.claim(1, Claimant::kSentinel, rig.clock);
  CHECK(rig.run_for(109) == "");
  CHECK(rig.run_for(1) == "kill");
}

TEST_CASE("what the sentinel has claimed and carries out late has its time from there") {
  Rig rig(Fallback::kKillLargest);
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.look();
  rig.run_for(kDelay);
  rig.claim(1, Claimant::kSentinel, rig.clock);
  rig.run_for(100);
  // It has let the kernel in.
  rig.claim(1, Claimant::kSentinel, rig.clock);
  rig.slot->state.store(SlotState::kKernel);
  CHECK(rig.run_for(109) == "");
  CHECK(rig.run_for(1) == "kill");
}

TEST_CASE("what is put off for the sentinel is done when its time is over, v2 near the line too") {
  V2 v2;
  Rig& rig = v2.rig;
  rig.starve();
  rig.look();
  rig.files->pause_error = -EIO;
  CHECK(rig.run_for(kDelay + kGrace) == "pause");
  rig.files->pause_error = 0;
  rig.claim(1, Claimant::kSentinel, rig.clock + kMs);
  rig.slot->state.store(SlotState::kArmed);
  rig.files->shows.need = Need::kNear;
  CHECK(rig.run_for(100) == "");
  CHECK(rig.run_for(6) == "pause ask");
}

TEST_CASE("what the sentinel does beside its fallback takes effect before the kernel is let in") {
  Rig rig(Fallback::kKillLargest);
  rig.starve();
  rig.look();
  CHECK(rig.run_for(kDelay + kGrace) == "kill");
  SUBCASE("it does nothing") {
    CHECK(rig.run_for(99) == "");
    CHECK(rig.run_for(1) == "pause");
  }
  SUBCASE("it acts, and acts again") {
    CHECK(rig.run_for(60) == "");
    rig.claim(2, Claimant::kSentinel, rig.clock);
    CHECK(rig.run_for(60) == "");
    rig.clock += kMs;
    rig.claim(3, Claimant::kSentinel, rig.clock);
    CHECK(rig.look() == "");
    CHECK(rig.run_for(99) == "");
    CHECK(rig.run_for(1) == "pause");
  }
  SUBCASE("it acts, acts again, and that helps") {
    rig.run_for(60);
    rig.claim(2, Claimant::kSentinel, rig.clock);
    rig.run_for(60);
    rig.clock += kMs;
    rig.claim(3, Claimant::kSentinel, rig.clock);
    rig.look();
    rig.run_for(60);
    rig.relieve();
    rig.run_for(3);
    CHECK_FALSE(rig.group->machine().active());
    CHECK(rig.group->machine().end().outcome == Outcome::kGuardian);
  }
  SUBCASE("its act is counted once: a notification after it begins the quiet time again") {
    rig.run_for(10);
    rig.claim(2, Claimant::kSentinel, rig.clock);
    rig.run_for(1);
    rig.relieve();
    rig.run_for(1);
    rig.clock += 2 * kMs;
    rig.notify();
    CHECK(rig.group->machine().active());
    rig.run_for(2);
    CHECK_FALSE(rig.group->machine().active());
  }
}

TEST_CASE("what the sentinel did before this process's fallback does not count") {
  Rig rig(Fallback::kKillLargest);
  rig.claim(1, Claimant::kSentinel, rig.clock - 1000 * kMs);
  rig.raised_by_kill = true;
  rig.starve();
  rig.look();
  CHECK(rig.run_for(kDelay + kGrace) == "kill");
  CHECK(rig.group->machine().end().id == 1);
  CHECK(rig.group->machine().end().outcome == Outcome::kFallback);
}

TEST_CASE("what was sampled before a killing fallback begins no episode after it") {
  Rig rig(Fallback::kKillLargest);
  rig.raised_by_kill = true;
  rig.starve();
  rig.look();
  CHECK(rig.run_for(kDelay + kGrace) == "kill");
  CHECK(rig.group->machine().end().id == 1);
  CHECK_FALSE(rig.group->machine().active());
  // The timer is the later sample's.
  CHECK(rig.wakes_in() == 5);
}

TEST_CASE("a delay that is set while the kernel has its turn counts from there") {
  // The parent has slept through the OOM, and then released and held the group.
  for (bool held : {true, false}) {
    Rig rig;
    rig.starve();
    rig.look();
    CHECK(rig.run_for(kDelay + kGrace) == "pause");
    rig.slot->delay_ms.store(0);
    rig.slot->state.store(SlotState::kReleased);
    CHECK(rig.run_for(1) == "");
    rig.slot->delay_ms.store(100);
    rig.slot->state.store(SlotState::kArmed);
    rig.files->is_held = held;
    // Where it is not held the kernel still has its turn.
    CHECK(rig.run_for(1) == (held ? "hold" : "pause"));
    if (!held) continue;
    CHECK(rig.delaying());
    CHECK(rig.run_for(100 + kGrace - 1) == "");
    CHECK(rig.run_for(1) == "pause");
  }
}

TEST_CASE("a full group whose killer the parent has enabled is not out of memory") {
  Rig rig;
  rig.starve();
  rig.look();
  rig.files->shows.need = Need::kFine;
  rig.files->shows.let_in = true;
  rig.run_for(1);
  rig.run_for(2);
  CHECK_FALSE(rig.group->machine().active());
}

TEST_CASE("a delay that is set without an OOM does not change the next OOM's fallback") {
  Rig rig;
  rig.starve();
  rig.look();
  rig.slot->delay_ms.store(100);
  rig.run_for(1);
  rig.files->is_held = 1;
  CHECK(rig.run_for(100 + kGrace) == "pause");
  // Held again by another program, not by a parent that has set a delay since.
  CHECK(rig.run_for(4) == "");
  CHECK_FALSE(rig.delaying());
}

TEST_CASE("the sentinel's episode is followed from the first sample on") {
  Rig rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.look();
  rig.slot->state.store(SlotState::kArmed);
  // That one has ended: what is out of memory now is another.
  CHECK(rig.run_for(9) == "");
  CHECK(rig.run_for(kDelay + kGrace - 9) == "");
  CHECK(rig.run_for(1) == "pause");
}

TEST_CASE("v2: the kernel is asked for a victim, not while one frees memory") {
  V2 v2;
  Rig& rig = v2.rig;
  rig.slot->hold.frozen.store(1);
  rig.starve();
  rig.files->shows.kills = 7;
  rig.look();
  CHECK(rig.run_for(kDelay + kGrace) == "pause thaw");
  rig.slot->hold.frozen.store(0);
  CHECK(rig.run_for(49).find("ask") == std::string::npos);
  CHECK(rig.run_for(5).find("ask") != std::string::npos);
  CHECK(rig.asked.kills == 7);
  CHECK(rig.asked.base == 64 * kMiB);
  CHECK(rig.run_for(90).find("ask") == std::string::npos);
  // One is killed, and gives memory back.
  rig.files->shows.kills = 8;
  CHECK(rig.run_for(90).find("ask") == std::string::npos);
  rig.files->shows.usage -= kMiB;
  CHECK(rig.run_for(90).find("ask") == std::string::npos);
  CHECK(rig.run_for(20).find("ask") != std::string::npos);
  CHECK(rig.asked.kills == 8);
}

TEST_CASE("v2: members that the sentinel leaves asleep after the end are freed, once") {
  V2 v2;
  Rig& rig = v2.rig;
  rig.starve();
  rig.publish(1, SlotState::kEpisode);
  rig.look();
  rig.run_for(5);
  rig.relieve();
  CHECK(rig.run_for(3) == "");
  REQUIRE_FALSE(rig.group->machine().active());
  rig.slot->hold.frozen.store(1);
  SUBCASE("it has not seen the end") {
    CHECK(rig.wakes_in() <= kGrace);
    CHECK(rig.run_for(kGrace + 2) == "thaw hold");
    CHECK(rig.run_for(100) == "");
    CHECK(rig.wakes_in() == 100);
  }
  SUBCASE("it has") {
    rig.slot->state.store(SlotState::kArmed);
    CHECK(rig.run_for(100) == "");
  }
  SUBCASE("it has not, and its delay was set to 0 before the end") {
    rig.slot->hold.frozen.store(0);
    rig.run_for(kGrace + 2);
    rig.starve();
    rig.publish(2, SlotState::kEpisode);
    CHECK(rig.run_for(10) == "");
    rig.slot->delay_ms.store(0);
    rig.relieve();
    CHECK(rig.run_for(1) == "");
    REQUIRE_FALSE(rig.group->machine().active());
    rig.slot->hold.frozen.store(1);
    CHECK(rig.run_for(kGrace + 2) == "thaw hold");
  }
  SUBCASE("the parent has ended: the guardian releases the group and thaws it") {
    rig.config.parent_alive = false;
    CHECK(rig.run_for(1) == "release thaw done");
  }
}
