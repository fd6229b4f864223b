// A v2 group's warm files, on plain files: what two processes do to them at once.
#include "core/hot_v2.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "core/warm_file.h"

using namespace oom;

namespace {

constexpr uint64_t kMiB = 1 << 20;

class Files {
 public:
  Files() {
    char name[] = "/tmp/hot_v2_test-XXXXXX";
    path_ = mkdtemp(name);
    for (const char* file : {"memory.events", "memory.events.local", "memory.stat", "cgroup.procs",
                             "memory.reclaim"}) {
      put(file, "");
    }
    put("memory.current", "0");
    put("memory.max", std::to_string(32 * kMiB));
    put("memory.high", "max");
    put("cgroup.freeze", "0");
    dir_.reset(open(path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }
  ~Files() { std::filesystem::remove_all(path_); }
  int dir() const { return dir_.get(); }
  Fd writable(const char* file) const { return Fd(openat(dir(), file, O_WRONLY | O_CLOEXEC)); }

 private:
  void put(const char* file, const std::string& text) const {
    Fd fd(open((path_ + "/" + file).c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    REQUIRE(write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  std::string path_;
  Fd dir_;
};

}  // namespace

TEST_CASE("a limit that is lowered for the kernel is never seen") {
  Files files;
  HotGroupV2 hot({});
  REQUIRE(hot.arm(files.dir()).ok());
  HoldNote note;
  hot.share(&note);
  uint64_t ahead = static_cast<uint64_t>(sysconf(_SC_NPROCESSORS_CONF)) * 64 * 4096;
  uint64_t own = 32 * kMiB, lowered = hold::squeeze(own, {}, ahead);
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
    if (hot.sample(sample) != 0 || sample.limit == lowered) seen++;
  }
  over.store(true);
  other.join();
  CHECK(seen == 0);
}

TEST_CASE("one that somebody else has lowered is") {
  Files files;
  HotGroupV2 hot({});
  REQUIRE(hot.arm(files.dir()).ok());
  Sample sample;
  CHECK(hot.sample(sample) == 0);
  CHECK(sample.limit == 32 * kMiB);
  CHECK(write_limit(files.writable("memory.max"), 16 * kMiB) == 0);
  CHECK(hot.sample(sample) == 0);
  CHECK(sample.limit == 16 * kMiB);
}
