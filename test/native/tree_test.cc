// Trees and watches on real cgroup directories (v1, as root; skipped where there is none). Those
// are on the heap: their mutexes are never destroyed, and where one lies that lay on the stack in a test
// before, ThreadSanitizer takes both for one and finds a cycle.
#include "core/tree/tree.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>

#include "core/memcg/hierarchy.h"
#include "core/memcg/memcg_v1.h"
#include "core/sys/small_file.h"
#include "core/tree/forest.h"
#include "core/watch/tree_watch.h"
#include "core/watch/watch_kind.h"
#include "on_sentinel.h"

using namespace oom;

namespace {

// A directory in the memory hierarchy, empty when there is none that may be written.
class Scratch {
 public:
  Scratch() {
    hierarchy::Mount mount;
    if (!hierarchy::memory(mount).ok() || mount.version != 1) return;
    std::string dir = mount.point + "/cgroup-oom-test-" + std::to_string(getpid());
    if (::mkdir(dir.c_str(), 0755) == 0) path_ = dir;
  }
  ~Scratch() {
    while (!made_.empty()) remove(*made_.rbegin());
    if (!path_.empty()) CHECK(::rmdir(path_.c_str()) == 0);
  }
  explicit operator bool() const { return !path_.empty(); }
  // rmdir(2) of a parent comes after those of its children: a path sorts before what is below it.
  void make(const std::string& name) {
    REQUIRE(::mkdir((path_ + "/" + name).c_str(), 0755) == 0);
    made_.insert(name);
  }
  void remove(const std::string& name) {
    REQUIRE(::rmdir((path_ + "/" + name).c_str()) == 0);
    made_.erase(name);
  }
  std::shared_ptr<const Fd> open() const {
    return std::make_shared<Fd>(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }

 private:
  std::string path_;
  std::set<std::string> made_;
};

#define SCRATCH(name)                           \
  Scratch name;                                 \
  if (!name) {                                  \
    MESSAGE("no writable v1 memory hierarchy"); \
    return;                                     \
  }

// Notes what is reported to it, and checks that it makes sense.
class Notes : public TreeListener {
 public:
  uint32_t appeared(uint32_t parent, const Place& place, int dir) override {
    std::lock_guard lock(mutex_);
    const std::string& name = place.name();
    struct stat st;
    CHECK(fstat(dir, &st) == 0);
    if (name.empty()) {
      CHECK(parent == 0);
    } else {
      size_t slash = name.rfind('/');
      CHECK(ids_.at(parent) == (slash == std::string::npos ? "" : name.substr(0, slash)));
    }
    CHECK_FALSE(now_.contains(name));
    ids_[++last_] = name;
    now_.insert(name);
    return last_;
  }
  void vanished(uint32_t id) override {
    std::lock_guard lock(mutex_);
    CHECK(now_.erase(ids_.at(id)) == 1);
  }
  void failed(const Status& status) override { FAIL_CHECK(status.err); }
  std::set<std::string> now() {
    std::lock_guard lock(mutex_);
    return now_;
  }
  uint32_t total() {
    std::lock_guard lock(mutex_);
    return last_;
  }
  void until(const std::set<std::string>& wanted) {
    while (now() != wanted) std::this_thread::yield();
  }

 private:
  std::mutex mutex_;
  std::map<uint32_t, std::string> ids_;
  std::set<std::string> now_;
  uint32_t last_ = 0;
};

}  // namespace

TEST_CASE("those there are, and those that come and go") {
  SCRATCH(scratch);
  for (const char* name : {"a", "a/b", "a/b/c", ".hidden"}) scratch.make(name);
  Notes notes;
  auto owned = std::make_unique<Tree>(notes);
  Tree& tree = *owned;
  REQUIRE(tree.open(scratch.open()).ok());
  CHECK(tree.opened());
  CHECK(notes.now() == std::set<std::string>{"", "a", "a/b", "a/b/c", ".hidden"});
  scratch.make("d");
  scratch.make("d/e");
  scratch.remove("a/b/c");
  notes.until({"", "a", "a/b", ".hidden", "d", "d/e"});
  tree.rescan();
  CHECK(notes.now().size() == 6);
  tree.close();
  scratch.make("late");
  tree.close();
  CHECK(notes.total() == 7);
  CHECK(tree.open(scratch.open()).err == -ECANCELED);
}

TEST_CASE("made again under the same name: another one") {
  SCRATCH(scratch);
  Notes notes;
  auto owned = std::make_unique<Tree>(notes);
  Tree& tree = *owned;
  REQUIRE(tree.open(scratch.open()).ok());
  for (int i = 0; i < 200; i++) {
    scratch.make("x");
    if (i % 3 == 0) scratch.make("x/y");
    if (i % 5 == 0) std::this_thread::yield();
    if (i % 3 == 0) scratch.remove("x/y");
    scratch.remove("x");
  }
  scratch.make("x");
  scratch.make("x/z");
  notes.until({"", "x", "x/z"});
  CHECK(notes.total() > 2);
}

TEST_CASE("lost with what was below it, whatever event comes first") {
  SCRATCH(scratch);
  Notes notes;
  auto owned = std::make_unique<Tree>(notes);
  Tree& tree = *owned;
  REQUIRE(tree.open(scratch.open(), false).ok());
  // One turn of a tree is 512 of these; the removal of the first x is left for the second.
  for (int i = 0; i < 255; i++) {
    scratch.make("p");
    scratch.remove("p");
  }
  scratch.make("q");
  scratch.make("x");
  scratch.remove("x");
  scratch.make("x");
  scratch.make("x/y");
  Forest::events();
  CHECK(notes.now() == std::set<std::string>{"", "q", "x", "x/y"});
  scratch.remove("x/y");
  scratch.remove("x");
  Forest::events();
  CHECK(notes.now() == std::set<std::string>{"", "q"});
}

TEST_CASE("writes to a group's files are reported, those that inotify has lost as well") {
  struct Touches final : TreeListener {
    uint32_t appeared(uint32_t, const Place& place, int) override {
      names[++last] = place.name();
      return last;
    }
    void vanished(uint32_t) override {}
    TouchedFiles touched_files() override { return {"memory.limit_in_bytes"}; }
    void touched(uint32_t id) override { seen.insert(names[id]); }
    std::map<uint32_t, std::string> names;
    std::set<std::string> seen;
    uint32_t last = 0;
  } touches;
  SCRATCH(scratch);
  for (const char* name : {"a", "b", "c", "d"}) scratch.make(name);
  auto root = scratch.open();
  auto owned = std::make_unique<Tree>(touches);
  REQUIRE(owned->open(root, false).ok());
  CHECK(owned->touches_watched());
  auto touch = [&](const char* name) {
    std::string file = std::string(name) + "/memory.limit_in_bytes";
    REQUIRE(sys::write_at(root->get(), file.c_str(), "16M") == 0);
  };
  auto handled = [&] {
    while (Forest::events()) {
    }
    return std::exchange(touches.seen, {});
  };
  CHECK(handled().empty());
  touch("a");
  CHECK(handled() == std::set<std::string>{"a"});

  // Repeated events of one file are one: as many of two in turn as the queue holds.
  int most = 0;
  FILE* file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
  REQUIRE(file != nullptr);
  REQUIRE(fscanf(file, "%d", &most) == 1);
  fclose(file);
  for (int i = 0; i <= most; i += 2) {
    touch("a");
    touch("b");
  }
  touch("c");
  CHECK(handled() == std::set<std::string>{"", "a", "b", "c", "d"});
  CHECK(handled().empty());
}

TEST_CASE("several trees, opened and closed while groups come and go") {
  SCRATCH(scratch);
  std::atomic<bool> stop{false};
  std::thread maker([&] {
    for (int i = 0; !stop; i = (i + 1) % 50) {
      std::string name = "m" + std::to_string(i);
      scratch.make(name);
      scratch.make(name + "/n");
      scratch.remove(name + "/n");
      scratch.remove(name);
    }
  });
  for (int round = 0; round < 50; round++) {
    Notes one, two;
    auto owned = std::make_unique<Tree>(one), other = std::make_unique<Tree>(two);
    Tree &first = *owned, &second = *other;
    CHECK(first.open(scratch.open()).ok());
    CHECK(second.open(scratch.open()).ok());
    if (round % 2) first.rescan();
    if (round % 3) first.close();
    if (round % 5) std::this_thread::yield();
  }
  stop = true;
  maker.join();
}

TEST_CASE("closed while it is opened") {
  SCRATCH(scratch);
  for (int i = 0; i < 100; i++) scratch.make(std::to_string(i));
  for (int round = 0; round < 50; round++) {
    Notes notes;
    auto owned = std::make_unique<Tree>(notes);
    Tree& tree = *owned;
    std::thread closer([&] { tree.close(); });
    Status status = tree.open(scratch.open());
    CHECK((status.ok() || status.err == -ECANCELED));
    closer.join();
  }
}

TEST_CASE("if a listener refuses a group, nothing below it is reported to it") {
  struct Picky final : TreeListener {
    uint32_t appeared(uint32_t, const Place& place, int) override {
      seen.insert(place.name());
      return place.name() == "no" ? 0 : ++last;
    }
    void vanished(uint32_t) override {}
    std::set<std::string> seen;
    uint32_t last = 0;
  } picky;
  SCRATCH(scratch);
  for (const char* name : {"no", "no/below", "yes", "yes/below"}) scratch.make(name);
  auto owned = std::make_unique<Tree>(picky);
  Tree& tree = *owned;
  REQUIRE(tree.open(scratch.open()).ok());
  tree.close();
  CHECK(picky.seen == std::set<std::string>{"", "no", "yes", "yes/below"});
}

TEST_CASE("a tree's watches: each group's removal once, the names until they are forgotten") {
  SCRATCH(scratch);
  Status status;
  Sentinel* sentinel = Sentinel::acquire(status);
  REQUIRE(sentinel != nullptr);
  auto channel = apart<Channel>([](void*) {}, nullptr);
  on_sentinel(*sentinel, [&](Sentinel& s) { CHECK(s.attach(*channel)); });
  for (int i = 0; i < 20; i++) scratch.make("g" + std::to_string(i));
  {
    auto owned = std::make_unique<TreeWatch>(*sentinel, *channel, 9, 0);
    TreeWatch& watch = *owned;
    REQUIRE(watch.open(scratch.open(), memcg_v1()).ok());
    CHECK(watch.trouble().ok());
    std::string name;
    CHECK(watch.path_of(1, name));
    CHECK(name == "");
    CHECK_FALSE(watch.path_of(1000, name));
    for (int i = 0; i < 20; i++) scratch.make("g" + std::to_string(i) + "/below");
    // All that are made are found, in time: 1 + 20 + 20.
    while (!watch.path_of(41, name)) std::this_thread::yield();
    for (int i = 0; i < 20; i++) {
      scratch.remove("g" + std::to_string(i) + "/below");
      scratch.remove("g" + std::to_string(i));
    }
    std::set<std::string> gone;
    size_t left = 41;
    while (left > 1) {
      Record record;
      if (!channel->pop(record)) {
        std::this_thread::yield();
        continue;
      }
      CHECK(record.target == 9);
      CHECK(record.kind == RecordKind::kRemoved);
      REQUIRE(watch.path_of(record.sub, name));
      CHECK(gone.insert(name).second);
      left = watch.forget(record.sub);
    }
    CHECK(gone.size() == 40);
  }
  on_sentinel(*sentinel, [&](Sentinel& s) { s.detach(*channel); });
  Sentinel::release();
}

TEST_CASE(
    "a removal that is seen before its signal, of a group without an OOM, is reported at once") {
  SCRATCH(scratch);
  Status status;
  Sentinel* sentinel = Sentinel::acquire(status);
  REQUIRE(sentinel != nullptr);
  auto channel = apart<Channel>([](void*) {}, nullptr);
  on_sentinel(*sentinel, [&](Sentinel& s) { CHECK(s.attach(*channel)); });
  auto root = scratch.open();
  int at_once = 0;
  // The kernel signals some 20 ms later, on a busy machine perhaps before this thread goes on.
  for (int i = 0; i < 10; i++) {
    std::string name = "g" + std::to_string(i);
    scratch.make(name);
    struct stat st;
    REQUIRE(fstatat(root->get(), name.c_str(), &st, 0) == 0);
    auto watch = WatchKind::of(memcg_v1())
                     .make_watch({channel.get(), 5, 1, Place(root, name, st.st_ino)}, status);
    REQUIRE(watch);
    REQUIRE(watch->arm({}).ok());
    on_sentinel(*sentinel, [&](Sentinel& s) { CHECK(watch->attach(s) == 0); });
    // It is there: nothing to report.
    watch->post_vanished(*sentinel);
    on_sentinel(*sentinel, [](Sentinel&) {});
    Record record;
    CHECK_FALSE(channel->pop(record));
    scratch.remove(name);
    watch->post_vanished(*sentinel);
    watch->post_vanished(*sentinel);
    on_sentinel(*sentinel, [](Sentinel&) {});
    bool reported = channel->pop(record);
    at_once += reported;
    while (!reported) reported = channel->pop(record);
    CHECK(record.kind == RecordKind::kRemoved);
    CHECK_FALSE(channel->pop(record));
    on_sentinel(*sentinel, [&](Sentinel& s) { watch->detach(s); });
  }
  CHECK(at_once > 0);
  on_sentinel(*sentinel, [&](Sentinel& s) { s.detach(*channel); });
  Sentinel::release();
}
