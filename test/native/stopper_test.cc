// Which processes a hold by signals stops, that none escapes, and that each goes on: over processes
// that fork, end, are stopped by other programs or cannot be signalled, between any two steps.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/members/stopper.h"

#include <doctest/doctest.h>
#include <signal.h>

#include <cerrno>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <vector>

using namespace oom;

namespace {

constexpr pid_t kSelf = 100, kGuardian = 101, kParent = 50;
constexpr uint64_t kGroup = 7;

struct Process {
  pid_t parent = kSelf;
  uint64_t start = 1;
  bool stopped = false;
  bool ended = false;
  bool before_exec = false;
  bool foreign = false;  // of another user
  bool member = true;
};

class World final : public Processes {
 public:
  std::map<pid_t, Process> all;
  std::function<void()> meanwhile = [] {};  // runs before each read and each signal
  int pins = 0;
  int sent = 0;
  bool may_pin = true;
  pid_t spare = 0;

  World() {
    all[1] = {.parent = 0};
    all[kParent] = {.parent = 1};
    all[kSelf] = {.parent = kParent};
    all[kGuardian] = {};
  }
  int list(Use use, void* arg) override {
    std::vector<pid_t> pids;
    for (auto& [pid, process] : all) {
      if (process.member) pids.push_back(pid);
    }
    for (pid_t pid : pids) use(arg, pid);
    return 0;
  }
  int look(pid_t pid, ProcessLook& out) override {
    meanwhile();
    auto it = all.find(pid);
    if (it == all.end()) return -ESRCH;
    const Process& p = it->second;
    out = {pid, p.parent, p.start, p.ended, p.stopped, p.before_exec};
    return 0;
  }
  // The handle is the process's time of start: it never means another one.
  int pin(pid_t pid) override {
    auto it = all.find(pid);
    if (!may_pin || it == all.end()) return -1;
    pins++;
    return static_cast<int>(it->second.start);
  }
  void unpin(int pin) override {
    if (pin >= 0) pins--;
  }
  int send(int pin, pid_t pid, int signal) override {
    meanwhile();
    auto it = all.find(pid);
    if (it == all.end() || (pin >= 0 && it->second.start != static_cast<uint64_t>(pin)))
      return -ESRCH;
    if (it->second.foreign) return -EPERM;
    sent++;
    it->second.stopped = signal == SIGSTOP;
    return 0;
  }
  void self(StopSelf& out) override {
    out.pid = kSelf;
    out.guardian = kGuardian;
    out.parents[out.parent_count++] = kParent;
  }
  bool spared(pid_t pid) override { return pid == spare; }
  int64_t now() override { return ++time_; }

 private:
  int64_t time_ = 0;
};

using Entries = StopEntries<64>;

struct Rig {
  World world;
  std::unique_ptr<Entries> entries = std::make_unique<Entries>();
  Stopper stopper;
  explicit Rig(Who who = Who::kChildren) : stopper(world, who) {
    REQUIRE(Stopper::prepare_process().ok());
    stopper.note_in(entries->table(), kGroup);
  }
  std::set<pid_t> stopped() {
    std::set<pid_t> out;
    for (auto& [pid, process] : world.all) {
      if (process.stopped) out.insert(pid);
    }
    return out;
  }
  void stop() {
    stopper.want(true);
    stopper.stop_all();
  }
  void go_on() {
    stopper.want(false);
    stopper.go_on();
  }
};

using Pids = std::set<pid_t>;

}  // namespace

TEST_CASE("descendants are stopped, never the process itself, its parents, its guardian or pid 1") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.all[201] = {.parent = 200};
  rig.world.all[300] = {.parent = kParent};
  rig.world.all[301] = {.parent = 1};
  rig.world.all[302] = {.parent = kGuardian};
  rig.stop();
  CHECK(rig.stopped() == Pids{200, 201});
  CHECK(rig.stopper.chosen(200));
  CHECK_FALSE(rig.stopper.chosen(300));
  rig.go_on();
  CHECK(rig.stopped().empty());
  CHECK_FALSE(rig.stopper.any());
}

TEST_CASE("a guardian that is replaced while the members are listed is spared") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.all[201] = {};
  rig.stopper.prepare();
  rig.world.spare = 201;
  rig.stopper.want(true);
  rig.stopper.stop_known();
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{200});
  // One that was stopped before it was known as the guardian is no victim.
  rig.world.spare = 200;
  CHECK_FALSE(rig.stopper.chosen(200));
}

TEST_CASE("who: members are stopped, whichever process is their parent") {
  Rig rig(Who::kMembers);
  rig.world.all[200] = {};
  rig.world.all[300] = {.parent = kParent};
  rig.world.all[301] = {.parent = 1};
  rig.world.all[400] = {.member = false};
  rig.stop();
  CHECK(rig.stopped() == Pids{200, 300, 301});
}

TEST_CASE("a child that has not executed its program yet is left until it has") {
  Rig rig;
  rig.world.all[200] = {.before_exec = true};
  // One that a job has forked has its program, and its memory.
  rig.world.all[201] = {.parent = 200, .before_exec = true};
  rig.stop();
  CHECK(rig.stopped() == Pids{201});
  rig.world.all[200].before_exec = false;
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{200, 201});
}

TEST_CASE("what another program has stopped stays stopped, and may be a victim") {
  Rig rig;
  rig.world.all[200] = {.stopped = true};
  rig.world.all[201] = {};
  rig.stop();
  CHECK(rig.stopper.chosen(200));
  rig.go_on();
  CHECK(rig.stopped() == Pids{200});
}

TEST_CASE("a process that another program continues is stopped again, and goes on at the end") {
  Rig rig;
  rig.world.all[200] = {.stopped = true};
  rig.world.all[201] = {};
  rig.stop();
  rig.world.all[200].stopped = rig.world.all[201].stopped = false;
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{200, 201});
  rig.go_on();
  CHECK(rig.stopped().empty());
}

TEST_CASE("one whose parent ends in the episode stays one of ours") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.all[201] = {.parent = 200};
  rig.stop();
  rig.world.all.erase(200);
  rig.world.all[201] = {.parent = 1, .stopped = false};
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{201});
  // And so is what it forks.
  rig.world.all[202] = {.parent = 201};
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{201, 202});
}

TEST_CASE("a number that is another process's by now is not signalled") {
  Rig rig;
  rig.world.all[200] = {.start = 1};
  rig.stop();
  rig.world.all[200] = {.parent = 1, .start = 2, .stopped = true};
  rig.go_on();
  CHECK(rig.stopped() == Pids{200});

  // Nor is it taken for one that was chosen.
  rig.world.all[201] = {.start = 1};
  rig.stop();
  rig.world.all[201] = {.parent = 1, .start = 2};
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{200});
}

TEST_CASE("one that may not be signalled, or has ended, is not noted") {
  Rig rig;
  rig.world.all[200] = {.foreign = true};
  rig.world.all[201] = {.ended = true};
  rig.stop();
  CHECK_FALSE(rig.stopper.any());
  CHECK(rig.stopped().empty());
}

TEST_CASE("a fork bomb is stopped whole: a list with a new one is followed by another") {
  Rig rig;
  rig.world.all[200] = {};
  pid_t next = 201;
  // Each process that runs forks at each step, up to a bound.
  rig.world.meanwhile = [&] {
    if (next >= 240) return;
    for (auto& [pid, process] : rig.world.all) {
      if (pid < 200 || process.stopped) continue;
      rig.world.all[next++] = {.parent = pid};
      break;
    }
  };
  rig.stop();
  for (auto& [pid, process] : rig.world.all) {
    CAPTURE(pid);
    if (pid >= 200) CHECK(process.stopped);
  }
  rig.go_on();
  CHECK(rig.stopped().empty());
}

TEST_CASE("a new one that was not stopped yet may be killed with the others") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.all[300] = {.parent = kParent};
  rig.stop();
  rig.world.all[201] = {.parent = 200};
  CHECK(rig.stopper.would_choose(200));
  CHECK(rig.stopper.would_choose(201));
  for (pid_t pid : {pid_t{1}, kSelf, kGuardian, kParent, pid_t{300}, pid_t{999}}) {
    CAPTURE(pid);
    CHECK_FALSE(rig.stopper.would_choose(pid));
  }
}

TEST_CASE("those found in advance are stopped with a signal each") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.all[201] = {.parent = 200};
  CHECK(rig.stopper.prepare());
  CHECK_FALSE(rig.stopper.prepare());
  rig.world.all.erase(201);
  rig.stopper.prepare();
  rig.world.all[202] = {};
  rig.stopper.stop_known();
  CHECK(rig.stopped().empty());
  rig.stopper.want(true);
  rig.world.meanwhile = [] {};
  rig.stopper.stop_known();
  CHECK(rig.stopped() == Pids{200});
  CHECK(rig.world.sent == 1);
  rig.stopper.stop_known();
  CHECK(rig.world.sent == 1);
  rig.stopper.stop_all();
  CHECK(rig.stopped() == Pids{200, 202});
}

TEST_CASE("while the members are listed in advance, those known are stopped all the same") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.all[201] = {};
  rig.stopper.prepare();
  // The line is crossed in the middle of the next listing.
  int looks = 0;
  rig.world.meanwhile = [&] {
    if (looks++ != 1) return;
    rig.stopper.want(true);
    rig.stopper.stop_known();
    CHECK(rig.stopped() == Pids{200, 201});
  };
  rig.stopper.prepare();
  CHECK(looks > 1);
}

TEST_CASE("no handle is left behind") {
  Rig rig;
  for (pid_t pid = 200; pid < 300; pid++) rig.world.all[pid] = {};
  {
    Stopper stopper(rig.world, Who::kChildren);
    stopper.note_in(rig.entries->table(), kGroup);
    stopper.prepare();
    CHECK(rig.world.pins == 64);
    stopper.want(true);
    stopper.stop_all();
    CHECK(rig.world.pins == 64);
    stopper.want(false);
    stopper.go_on();
  }
  CHECK(rig.world.pins == 0);
}

TEST_CASE("without handles it goes by numbers") {
  Rig rig;
  rig.world.may_pin = false;
  rig.world.all[200] = {};
  rig.stop();
  CHECK(rig.stopped() == Pids{200});
  rig.go_on();
  CHECK(rig.stopped().empty());
}

TEST_CASE("a full table stops no more than it can note") {
  Rig rig;
  for (pid_t pid = 200; pid < 300; pid++) rig.world.all[pid] = {};
  rig.stop();
  CHECK(rig.stopped().size() == 64);
  rig.go_on();
  CHECK(rig.stopped().empty());
}

TEST_CASE("a stopper can let all run before it has learnt that the stop is over") {
  // A group is removed while its members, moved elsewhere, are stopped: no sample follows.
  Rig rig;
  rig.world.all[200] = {};
  rig.stop();
  rig.stopper.go_on();
  CHECK(rig.stopped().empty());
  CHECK_FALSE(rig.stopper.wanted());
}

TEST_CASE("an end that overtakes a listing stops no process any more") {
  Rig rig;
  rig.world.all[200] = {};
  rig.world.meanwhile = [&] { rig.stopper.want(false); };
  rig.stop();
  CHECK(rig.stopped().empty());
  CHECK_FALSE(rig.stopper.any());
}

TEST_CASE("a process that two groups have stopped runs again when both have ended") {
  Rig rig;
  Stopper other(rig.world, Who::kChildren);
  other.note_in(rig.entries->table(), kGroup + 1);
  rig.world.all[200] = {};
  rig.stop();
  other.want(true);
  other.stop_all();
  CHECK(other.chosen(200));
  rig.go_on();
  CHECK(rig.stopped() == Pids{200});
  other.want(false);
  other.go_on();
  CHECK(rig.stopped().empty());
}

TEST_CASE("a guardian that knows none of the groups lets all in the table go on") {
  Rig rig;
  Stopper other(rig.world, Who::kChildren);
  other.note_in(rig.entries->table(), kGroup + 1);
  rig.world.all[200] = {};
  rig.stop();
  rig.world.all[201] = {};
  rig.world.all[202] = {.stopped = true};
  other.want(true);
  other.stop_all();
  CHECK(rig.stopped() == Pids{200, 201, 202});
  Stopper::all_go_on(rig.world, rig.entries->table());
  CHECK(rig.stopped() == Pids{202});
  uint64_t group = 0;
  CHECK_FALSE(rig.entries->table().any_group(group));
}

TEST_CASE("a process that ends anywhere leaves notes by which another one lets all run") {
  // Between any two calls of the system: what the guardian then finds.
  int last = 0;
  for (bool over = false; !over; last++) {
    CAPTURE(last);
    Rig rig;
    for (pid_t pid = 200; pid < 206; pid++)
      rig.world.all[pid] = {.parent = pid == 200 ? kSelf : 200};
    rig.world.all[206] = {.stopped = true};
    // What there is at that moment; what comes after it has not happened.
    std::map<pid_t, Process> left = rig.world.all;
    auto notes = std::make_unique<Entries>();
    int steps = 0;
    rig.world.meanwhile = [&] {
      if (steps++ != last) return;
      left = rig.world.all;
      notes->head.top = rig.entries->head.top.load();
      for (int i = 0; i < 64; i++) {
        notes->list[i].start = rig.entries->list[i].start.load();
        notes->list[i].group = rig.entries->list[i].group.load();
        notes->list[i].word = rig.entries->list[i].word.load();
      }
    };
    rig.stopper.want(true);
    rig.stopper.prepare();
    rig.stopper.stop_known();
    rig.stopper.stop_all();
    rig.stopper.want(false);
    rig.stopper.go_on();
    over = steps <= last;

    rig.world.meanwhile = [] {};
    rig.world.all = left;
    Stopper guardian(rig.world, Who::kChildren);
    guardian.note_in(notes->table(), kGroup);
    guardian.go_on();
    CHECK(rig.stopped() == Pids{206});
  }
  CHECK(last > 40);
}
