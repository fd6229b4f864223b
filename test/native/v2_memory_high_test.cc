// A v2 group's warm files, on plain files: what two processes do to them at once.
#include "core/memcg/v2_memory_high.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "core/prepared/alarm.h"
#include "core/sys/small_file.h"
#include "core/sys/warm_file.h"

using namespace oom;

namespace {

constexpr uint64_t kMiB = 1 << 20;

class Files {
 public:
  Files() {
    char name[] = "/tmp/v2_memory_high_test-XXXXXX";
    path_ = mkdtemp(name);
    for (const char* file : {"memory.events", "memory.events.local", "memory.stat", "cgroup.procs",
                             "memory.reclaim"}) {
      put(file, "");
    }
    put("memory.current", "0");
    put("memory.max", std::to_string(32 * kMiB));
    put("memory.high", "max");
    put("cgroup.freeze", "0");
    dir_ = std::make_shared<const Fd>(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Files() { std::filesystem::remove_all(path_); }
  void set(const char* file, const std::string& text) const {
    Fd fd(openat(dir(), file, O_WRONLY | O_TRUNC | O_CLOEXEC));
    REQUIRE(write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  uint64_t max() const {
    uint64_t value = 0;
    Fd fd(openat(dir(), "memory.max", O_RDONLY | O_CLOEXEC));
    REQUIRE(read_limit(fd, value) == 0);
    return value;
  }
  int dir() const { return dir_->get(); }
  Place place() const { return Place(dir_, "", 0); }
  Fd writable(const char* file) const { return Fd(openat(dir(), file, O_WRONLY | O_CLOEXEC)); }

 private:
  void put(const char* file, const std::string& text) const {
    Fd fd(open((path_ + "/" + file).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  std::string path_;
  std::shared_ptr<const Fd> dir_;
};

}  // namespace

TEST_CASE("a limit that is lowered for the kernel is never seen") {
  Files files;
  MemoryHighBackEnd back_end({});
  REQUIRE(back_end.arm(files.place(), files.dir(), {}).ok());
  HoldNote note;
  back_end.share(&note);
  uint64_t ahead = static_cast<uint64_t>(sysconf(_SC_NPROCESSORS_CONF)) * 64 * 4096;
  uint64_t own = 32 * kMiB, lowered = hold::lowered_limit(own, {}, ahead);
  Fd max = files.writable("memory.max");
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over.load()) {
      note.own_max.store(own);
      (void)write_limit(max, lowered);
      (void)write_limit(max, own);
      note.own_max.store(0);
    }
  });
  int seen = 0;
  for (int i = 0; i < 300'000; i++) {
    Sample sample;
    if (back_end.sample(sample) != 0 || sample.limit == lowered) seen++;
  }
  over.store(true);
  other.join();
  CHECK(seen == 0);
}

TEST_CASE("a limit that another process has lowered is seen") {
  Files files;
  MemoryHighBackEnd back_end({});
  REQUIRE(back_end.arm(files.place(), files.dir(), {}).ok());
  Sample sample;
  CHECK(back_end.sample(sample) == 0);
  CHECK(sample.limit == 32 * kMiB);
  CHECK(write_limit(files.writable("memory.max"), 16 * kMiB) == 0);
  CHECK(back_end.sample(sample) == 0);
  CHECK(sample.limit == 16 * kMiB);
}

namespace {

// A group past its line with 3 members killed so far, and the process that asks about it.
struct Asked {
  static constexpr uint64_t kMax = 32 * kMiB;
  Files files;
  HoldNote note;
  MemoryHighBackEnd back_end{{}};
  Alarm alarm;
  uint64_t lowered = hold::lowered_limit(
      kMax, {}, static_cast<uint64_t>(sysconf(_SC_NPROCESSORS_CONF)) * 64 * 4096);

  Asked() {
    files.set("memory.events", "oom_kill 3\n");
    files.set("memory.current", std::to_string(31 * kMiB));
    // With as many digits as the line: what is written over a longer text leaves its end.
    files.set("memory.high", std::to_string(64 * kMiB));
    REQUIRE(alarm.open().ok());
    REQUIRE(back_end.arm(files.place(), files.dir(), {}).ok());
    back_end.share(&note);
    REQUIRE(back_end.hold_slowly() == 0);
    REQUIRE(back_end.pause_hold() == 0);
  }
  int ask(uint64_t kills = 3) { return back_end.decide({kMax, kMax, kills}, alarm); }
};

}  // namespace

TEST_CASE("memory.max is lowered, and restored whatever came of it") {
  Asked asked;
  // No kernel acts on this file, so it shows the last write only: the one that restores the limit.
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == Asked::kMax);
  CHECK(asked.note.own_max.load() == 0);
  CHECK(asked.note.asks_until.load() == 0);
  CHECK(asked.note.chosen_at.load() == 0);
}

TEST_CASE("if a kill has come in between, the kernel is not asked for another") {
  Asked asked;
  bool written = false;
  std::atomic<bool> over{false};
  std::thread other([&] {
    while (!over.load()) written |= asked.files.max() != Asked::kMax;
  });
  for (int i = 0; i < 1000; i++) CHECK(asked.ask(2) == 0);
  over.store(true);
  other.join();
  CHECK_FALSE(written);
}

TEST_CASE("one process asks at a time, a second only when the first gives no sign any more") {
  Asked asked;
  // The first process has lowered the limit, and is stopped.
  asked.note.own_max.store(Asked::kMax);
  asked.files.set("memory.max", std::to_string(asked.lowered));
  asked.note.asks_until.store(sys::now_ns() + 3'600'000'000'000);
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == asked.lowered);
  asked.note.asks_until.store(sys::now_ns() - 1);
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == Asked::kMax);
  CHECK(asked.note.own_max.load() == 0);
}

TEST_CASE("the kernel is not asked while the kill of its last victim takes effect") {
  Asked asked;
  asked.note.own_max.store(Asked::kMax);
  asked.files.set("memory.max", std::to_string(asked.lowered));
  asked.note.chosen_at.store(sys::now_ns() + 3'600'000'000'000);
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == asked.lowered);
  // It has had its time, and nothing is back yet.
  asked.note.chosen_at.store(sys::now_ns() - hold::kKillTakesEffect);
  asked.note.chosen_usage.store(31 * kMiB / 65536);
  CHECK((asked.ask() == 0 && asked.files.max() == asked.lowered));
  asked.note.chosen_usage.store(31 * kMiB / 65536 + 1);
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == Asked::kMax);
}

TEST_CASE("the kernel is not asked about a group that is held again") {
  Asked asked;
  REQUIRE(asked.back_end.hold_slowly() == 0);
  asked.files.set("memory.max", std::to_string(asked.lowered));
  asked.note.own_max.store(Asked::kMax);
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == asked.lowered);
}

TEST_CASE("a limit that another process has set meanwhile is kept") {
  Asked asked;
  asked.files.set("memory.max", std::to_string(16 * kMiB));
  CHECK(asked.ask() == 0);
  CHECK(asked.files.max() == 16 * kMiB);
}

TEST_CASE("a limit that was lowered while headroom was raised is restored above what is in use") {
  Asked asked;
  asked.files.set("memory.current", std::to_string(kMiB));
  REQUIRE(asked.back_end.hold() == 0);
  REQUIRE(asked.back_end.raise_to(48 * kMiB) == 0);
  auto lower = [&](uint64_t usage) {
    asked.files.set("memory.current", std::to_string(usage));
    asked.note.own_max.store(Asked::kMax);
    asked.files.set("memory.max", std::to_string(asked.lowered));
    (void)asked.back_end.hold_slowly();
    CHECK(asked.note.own_max.load() == 0);
    return asked.files.max();
  };
  CHECK(lower(40 * kMiB) == 48 * kMiB);
  CHECK(lower(60 * kMiB) > 60 * kMiB);
  CHECK(lower(20 * kMiB) == Asked::kMax);
}
