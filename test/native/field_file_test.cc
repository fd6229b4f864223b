// native/core/sys/field_file.cc against real files: those of kernels that have more keys than today's, also
// more than any buffer holds, and what a watch makes of a wake-up by such a key.
#include "core/sys/field_file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "core/sentinel/channel.h"
#include "core/sentinel/sentinel.h"
#include "core/sys/fd.h"
#include "core/watch/watch_v2.h"
#include "on_sentinel.h"

using namespace oom;

namespace {

// A directory with the files of a v2 group, removed with the test.
class FakeGroup {
 public:
  FakeGroup() {
    REQUIRE(mkdtemp(path_) != nullptr);
    dir_ = std::make_shared<Fd>(open(path_, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    REQUIRE(*dir_);
    for (const char* name : {"cgroup.procs", "cgroup.type"}) put(name, "");
  }
  ~FakeGroup() {
    for (const char* name : {"cgroup.procs", "cgroup.type", "memory.events", "memory.events.local",
                             "memory.oom_control"}) {
      unlinkat(dir_->get(), name, 0);
    }
    rmdir(path_);
  }
  FakeGroup(const FakeGroup&) = delete;
  FakeGroup& operator=(const FakeGroup&) = delete;

  void put(const char* name, const std::string& text) {
    Fd file(openat(dir_->get(), name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600));
    REQUIRE(file);
    REQUIRE(write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  int fd() const { return dir_->get(); }
  Place place() const {
    struct stat st;
    REQUIRE(fstat(fd(), &st) == 0);
    return {dir_, "", st.st_ino};
  }

 private:
  char path_[32] = "/tmp/cgroup-oom-XXXXXX";
  std::shared_ptr<Fd> dir_;
};

// `keys` lines with keys that the library does not know, each with the value `count`.
std::string unknown(int keys, uint64_t count) {
  std::string text;
  for (int i = 0; i < keys; i++) {
    text += "some_key_of_a_later_kernel_" + std::to_string(i) + " " + std::to_string(count) + "\n";
  }
  return text;
}

std::string events(int oom, int before, int between, int after, uint64_t count = 7) {
  return unknown(before, count) + "low 0\nhigh 5\nmax 6\n" + unknown(between, count) + "oom " +
         std::to_string(oom) + "\noom_kill 3\noom_group_kill 2\nsock_throttled " +
         std::to_string(count) + "\n" + unknown(after, count);
}

}  // namespace

TEST_CASE("as many unknown keys as there may be, wherever they are") {
  FakeGroup group;
  for (int before : {0, 1, 9, 100, 2000}) {
    for (int between : {0, 10, 127, 128, 2000}) {
      for (int after : {0, 1, 100}) {
        CAPTURE(before);
        CAPTURE(between);
        CAPTURE(after);
        group.put("memory.events", events(4, before, between, after));
        parse::MemoryEvents found;
        REQUIRE(read_fields_at(group.fd(), "memory.events", found) == 0);
        CHECK(found.high == 5);
        CHECK(found.max == 6);
        CHECK(found.oom == 4);
        CHECK(found.oom_kill == 3);
        CHECK(found.oom_group_kill == 2);
      }
    }
  }
  group.put("memory.oom_control",
            unknown(300, 1) + "oom_kill_disable 1\nunder_oom 1\noom_kill 8\n");
  parse::OomControl control;
  REQUIRE(read_fields_at(group.fd(), "memory.oom_control", control) == 0);
  CHECK(control.oom_kill == 8);
  CHECK(read_fields_at(group.fd(), "memory.events.local", control) == -ENOENT);
}

TEST_CASE("a field that is not there counts as 0, another file is refused") {
  FakeGroup group;
  group.put("memory.events", "low 0\nhigh 0\n");
  Fd file(openat(group.fd(), "memory.events", O_RDONLY | O_CLOEXEC));
  uint64_t value = 7;
  CHECK(read_field(file.get(), "oom_kill", value) == 0);
  CHECK(value == 0);
  parse::MemoryEvents found;
  CHECK(read_fields(file.get(), found) == -EINVAL);
  group.put("memory.events", "oom many\n");
  CHECK(read_field(file.get(), "oom", value) == -EINVAL);
  CHECK(read_field(group.fd(), "oom", value) == -EISDIR);
}

TEST_CASE("a wake-up by an unknown key is not reported, and asks for no further sample") {
  FakeGroup group;
  for (int keys : {0, 500}) {
    CAPTURE(keys);
    for (const char* name : {"memory.events", "memory.events.local"}) {
      group.put(name, events(4, keys, keys, keys));
    }
    Status status;
    LockedPtr<Sentinel> loop = Sentinel::make_inline(status);
    REQUIRE(status.ok());
    auto channel = apart<Channel>([](void*) {}, nullptr);
    OomWatchV2 watch({channel.get(), 1, 1, group.place(), WatchSpec::kHigh | WatchSpec::kMax});
    REQUIRE(watch.arm({}).ok());
    for (uint64_t count = 8; count < 1000; count++) {
      group.put("memory.events.local", events(4, keys, keys, keys, count));
      watch.ready(*loop, 1);
      REQUIRE_FALSE(watch.set());
    }
    CHECK(channel->room(Channel::kSize));
    CHECK(loop->patient() == 0);
    // A known key is reported, and sampled afterwards.
    group.put("memory.events.local", events(5, keys, keys, keys));
    watch.ready(*loop, 1);
    CHECK_FALSE(channel->room(Channel::kSize));
    CHECK(watch.set());
    watch.detach(*loop);
  }
}
