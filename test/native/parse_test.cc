// The parsers against what kernels have really written, and against what they never should.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "core/sys/parse.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/sys/units.h"

using namespace oom;
using namespace std::literals;

TEST_CASE("u64") {
  uint64_t n = 7;
  CHECK(parse::u64("0\n", n) == 0);
  CHECK(n == 0);
  CHECK(parse::u64("18446744073709551615", n) == 0);
  CHECK(n == UINT64_MAX);
  n = 7;
  CHECK(parse::u64("18446744073709551616\n", n) == -ERANGE);
  for (auto bad :
       {""sv, "\n"sv, " 1"sv, "1 "sv, "-1"sv, "+1"sv, "0x10"sv, "1\n\n"sv, "max"sv, "1\0"sv}) {
    CAPTURE(bad);
    CHECK(parse::u64(bad, n) == -EINVAL);
  }
  CHECK(n == 7);
}

TEST_CASE("limit") {
  uint64_t n = 7;
  CHECK(parse::limit("max\n", n) == 0);
  CHECK(n == kUnlimited);
  CHECK(parse::limit("4096\n", n) == 0);
  CHECK(n == 4096);
  CHECK(parse::limit("maximum\n", n) == -EINVAL);
  CHECK(n == 4096);
}

TEST_CASE("key_value") {
  constexpr auto kEvents = "low 0\nhigh 12\nmax 3\noom 1\noom_kill 4\noom_group_kill 0\n"sv;
  uint64_t n = 7;
  CHECK(parse::key_value(kEvents, "oom", n) == 0);
  CHECK(n == 1);
  CHECK(parse::key_value(kEvents, "oom_kill", n) == 0);
  CHECK(n == 4);
  CHECK(parse::key_value(kEvents, "oom_", n) == -ENOENT);
  CHECK(parse::key_value("", "oom", n) == -ENOENT);
  CHECK(parse::key_value("oom\n", "oom", n) == -ENOENT);
  CHECK(parse::key_value("oom x\n", "oom", n) == -EINVAL);
  CHECK(parse::key_value("oom 5", "oom", n) == 0);
  CHECK(n == 5);
}

TEST_CASE("oom_control") {
  parse::OomControl c;
  CHECK(parse::oom_control("oom_kill_disable 1\nunder_oom 0\noom_kill 3\n", c) == 0);
  CHECK(c.oom_kill_disable == true);
  CHECK(c.under_oom == false);
  CHECK(c.oom_kill == 3);
  // Before 4.13 there was no oom_kill.
  CHECK(parse::oom_control("oom_kill_disable 0\nunder_oom 1\n", c) == 0);
  CHECK(c.oom_kill_disable == false);
  CHECK(c.under_oom == true);
  CHECK_FALSE(c.oom_kill.has_value());
  CHECK(parse::oom_control("", c) == -EINVAL);
  CHECK(parse::oom_control("oom_kill_disable\n", c) == -EINVAL);
  CHECK(parse::oom_control("oom_kill_disable 1\nunder_oom x\n", c) == -EINVAL);
  CHECK(c.under_oom == true);
}

TEST_CASE("pids, whole and in pieces") {
  auto read = [](std::string_view text, size_t cut, std::vector<pid_t>& all) {
    parse::PidLines lines;
    auto use = [&](pid_t pid) { all.push_back(pid); };
    int err = lines.feed(text.substr(0, cut), use);
    if (err == 0) err = lines.feed(text.substr(cut), use);
    return err == 0 ? lines.finish(use) : err;
  };
  const struct {
    std::string_view text;
    std::vector<pid_t> pids;
  } good[] = {{""sv, {}},
              {"1\n22\n4194304\n"sv, {1, 22, 4194304}},
              {"1\n2"sv, {1, 2}},
              // Members of other pid namespaces.
              {"0\n10\n0\n2003\n0\n"sv, {0, 10, 0, 2003, 0}}};
  for (const auto& [text, pids] : good) {
    CAPTURE(text);
    for (size_t cut = 0; cut <= text.size(); cut++) {
      std::vector<pid_t> all;
      CHECK(read(text, cut, all) == 0);
      CHECK(all == pids);
    }
  }
  for (auto bad :
       {"\n"sv, "1\n\n"sv, "-1\n"sv, "1 2\n"sv, "2147483648\n"sv, "99999999999999999999\n"sv}) {
    CAPTURE(bad);
    for (size_t cut = 0; cut <= bad.size(); cut++) {
      std::vector<pid_t> all;
      CHECK(read(bad, cut, all) == -EINVAL);
    }
  }
}

TEST_CASE("fields, whole and in pieces") {
  const std::string text = "low 0\noom 2\n" + std::string(5000, 'x') + " 3\nno_number\noom_kill 12";
  for (size_t first = 0; first <= text.size(); first += first < 30 || first > 4990 ? 1 : 7) {
    CAPTURE(first);
    parse::Field found[] = {{"oom"}, {"oom_kill"}, {"max"}};
    parse::FieldLines lines(found, 3);
    CHECK(lines.feed(std::string_view(text).substr(0, first)) == 0);
    CHECK(lines.feed(std::string_view(text).substr(first)) == 0);
    CHECK(lines.finish() == 0);
    CHECK(found[0].value == 2);
    CHECK(found[1].value == 12);
    CHECK_FALSE(found[2].value.has_value());
  }
  for (auto bad : {"oom x\n"sv, "oom \n"sv, "oom 1 2\n"sv, "oom -1"sv}) {
    CAPTURE(bad);
    parse::Field found[] = {{"oom"}};
    CHECK(parse::fields(bad, found, 1) == -EINVAL);
    CHECK_FALSE(found[0].value.has_value());
  }
  parse::Field large[] = {{"oom"}};
  CHECK(parse::fields("oom 18446744073709551616\n", large, 1) == -ERANGE);
  CHECK(parse::fields("oom 18446744073709551615\n", large, 1) == 0);
  CHECK(large[0].value == UINT64_MAX);
}

TEST_CASE(
    "a wanted line that is too long is refused wherever it is cut, any other is passed over") {
  for (size_t size = 40; size < 140; size++) {
    for (bool wanted : {true, false}) {
      std::string text = (wanted ? "oom " : "other ") + std::string(size, '\xaf') + "\nmax 7\n";
      for (size_t cut = 0; cut <= text.size(); cut++) {
        CAPTURE(size);
        CAPTURE(cut);
        parse::Field found[] = {{"oom"}, {"max"}};
        parse::FieldLines lines(found, 2);
        int err = lines.feed(std::string_view(text).substr(0, cut));
        if (err == 0) err = lines.feed(std::string_view(text).substr(cut));
        if (err == 0) err = lines.finish();
        CHECK(err == (wanted ? -EINVAL : 0));
        CHECK(found[1].value.has_value() == !wanted);
      }
    }
  }
}

TEST_CASE("statm") {
  parse::Statm statm{.resident = 7};
  CHECK(parse::statm("1234 567 89 1 0 100 0\n", statm) == 0);
  CHECK(statm.size == 1234);
  CHECK(statm.resident == 567);
  CHECK(statm.text == 1);
  CHECK(statm.data == 100);
  CHECK(parse::statm("1234\n", statm) == -EINVAL);
  CHECK(parse::statm("", statm) == -EINVAL);
  CHECK(parse::statm("1 x 3 4 5 6 7\n", statm) == -EINVAL);
  CHECK(statm.resident == 567);
  CHECK(parse::statm("0 0 0 0 0 0 0\n", statm) == 0);
  CHECK(statm.size == 0);
  CHECK(statm.resident == 0);
}

TEST_CASE("proc_stat, whatever the command is called") {
  auto line = [](std::string comm) {
    return "42 (" + comm +
           ") S 7 42 42 0 -1 4194560 100 0 0 0 1 2 0 0 20 0 1 0 987654 2592768 200 "
           "18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0\n";
  };
  for (auto comm : {"cat", "a) R 1 (b", ")", "(", "", "two\nlines", ") S 1 1 1", "(sd-pam)"}) {
    CAPTURE(comm);
    parse::ProcStat stat{};
    CHECK(parse::proc_stat(line(comm), stat) == 0);
    CHECK(stat.pid == 42);
    CHECK(stat.state == 'S');
    CHECK(stat.ppid == 7);
    CHECK(stat.flags == 4194560);
    CHECK(stat.start == 987654);
  }
  parse::ProcStat stat{};
  for (auto bad : {"", "42", "42 (cat", "42 (cat) S", "42 (cat) SS 7 1", "x (cat) S 7 1 1", ") (",
                   "42 (cat) S\n", "42 (cat) S 7 42 42 0 -1 4194560 100\n",
                   "42 (cat) S 7 42 42 0 -1 x 100 0 0 0 1 2 0 0 20 0 1 0 987654 1\n",
                   "42 (cat) S 7 42 42 0 -1 64 100 0 0 0 1 2 0 0 20 0 1 0 x 1\n"}) {
    CAPTURE(bad);
    CHECK(parse::proc_stat(bad, stat) == -EINVAL);
  }
}

TEST_CASE("oom_score_adj") {
  int adj = 7;
  CHECK(parse::oom_score_adj("-1000\n", adj) == 0);
  CHECK(adj == -1000);
  CHECK(parse::oom_score_adj("1000", adj) == 0);
  CHECK(adj == 1000);
  CHECK(parse::oom_score_adj("1001\n", adj) == -ERANGE);
  CHECK(parse::oom_score_adj("-\n", adj) == -EINVAL);
  CHECK(parse::oom_score_adj("\n", adj) == -EINVAL);
  CHECK(adj == 1000);
}

TEST_CASE("psi_totals") {
  parse::PsiTotals t{};
  CHECK(parse::psi_totals("some avg10=0.00 avg60=0.12 avg300=1.00 total=123\n"
                          "full avg10=0.00 avg60=0.00 avg300=0.00 total=45\n",
                          t) == 0);
  CHECK(t.some == 123);
  CHECK(t.full == 45);
  CHECK(parse::psi_totals("some avg10=0.00 avg60=0.12 avg300=1.00 total=9\n", t) == 0);
  CHECK(t.some == 9);
  CHECK_FALSE(t.full.has_value());
  CHECK(parse::psi_totals("full avg10=0.00 total=9\n", t) == -EINVAL);
  CHECK(parse::psi_totals("some avg10=0.00\n", t) == -EINVAL);
  CHECK(parse::psi_totals("some total=\n", t) == -EINVAL);
  CHECK(parse::psi_totals("", t) == -EINVAL);
}

TEST_CASE("/proc/PID/cgroup") {
  constexpr auto kText =
      "12:cpu,cpuacct:/both\n9:name=systemd:/init.scope\n5:name=a:b:/c:/d\n4:memory:/a/b c\n0::/u\n"sv;
  std::string_view path;
  CHECK(parse::cgroup_path(kText, "memory", path) == 0);
  CHECK(path == "/a/b c");
  CHECK(parse::cgroup_path(kText, "cpuacct", path) == 0);
  CHECK(path == "/both");
  CHECK(parse::cgroup_path(kText, "", path) == 0);
  CHECK(path == "/u");
  CHECK(parse::cgroup_path(kText, "name=a:b", path) == 0);
  CHECK(path == "/c:/d");
  CHECK(parse::cgroup_path(kText, "mem", path) == -ENOENT);
  CHECK(parse::cgroup_path("", "memory", path) == -ENOENT);
  CHECK(parse::cgroup_path("4:memory\n", "memory", path) == -EINVAL);
  CHECK(parse::cgroup_path("x:memory:/\n", "memory", path) == -EINVAL);
  CHECK(parse::cgroup_path("\n", "memory", path) == -EINVAL);
}

TEST_CASE("mountinfo") {
  parse::MountLine m;
  CHECK(
      parse::mount_line("35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 master:1 - cgroup "
                        "cgroup rw,memory",
                        m) == 0);
  CHECK(m.root == "/");
  CHECK(m.mount_point == "/sys/fs/cgroup/memory");
  CHECK(m.type == "cgroup");
  CHECK(parse::has_word(m.super_options, "memory"));
  CHECK_FALSE(parse::has_word(m.super_options, "mem"));
  CHECK(parse::mount_line("35 31 0:32 /docker/x /mnt/a\\040b rw - cgroup2  rw", m) == 0);
  CHECK(m.type == "cgroup2");
  CHECK(m.root == "/docker/x");
  CHECK(m.mount_point == "/mnt/a\\040b");
  for (auto bad : {"", "35 31", "35 31 0:32 / /sys rw", "35 31 0:32 / /sys rw -",
                   "35 31 0:32 / /sys rw - cgroup", "35 31 0:32 / sys rw - cgroup cgroup rw"}) {
    CAPTURE(bad);
    CHECK(parse::mount_line(bad, m) == -EINVAL);
  }
}

TEST_CASE("unescape") {
  char out[16];
  auto plain = [&](std::string_view text) {
    ssize_t n = parse::unescape(text, out, sizeof out);
    return n < 0 ? std::to_string(n) : std::string(out, static_cast<size_t>(n));
  };
  CHECK(plain("a\\040b\\011\\012\\134") == "a b\t\n\\");
  CHECK(plain("\\04") == "\\04");
  CHECK(plain("\\400") == "\\400");
  CHECK(plain("\\089") == "\\089");
  CHECK(plain("\\") == "\\");
  CHECK(plain("0123456789abcdef") == "0123456789abcdef");
  CHECK(plain("0123456789abcdefg") == std::to_string(-ENAMETOOLONG));
}

TEST_CASE("freezer_state") {
  parse::FreezerState state{};
  CHECK(parse::freezer_state("FREEZING\n", state) == 0);
  CHECK(state == parse::FreezerState::kFreezing);
  CHECK(parse::freezer_state("FROZEN\n", state) == 0);
  CHECK(state == parse::FreezerState::kFrozen);
  CHECK(parse::freezer_state("THAWED\n", state) == 0);
  CHECK(state == parse::FreezerState::kThawed);
  CHECK(parse::freezer_state("frozen\n", state) == -EINVAL);
  CHECK(parse::freezer_state("", state) == -EINVAL);
}

TEST_CASE("memory_events") {
  parse::MemoryEvents e;
  CHECK(parse::memory_events("low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n", e) ==
        0);
  CHECK(e.high == 2u);
  CHECK(e.max == 3u);
  CHECK(e.oom == 4u);
  CHECK(e.oom_kill == 5u);
  CHECK(e.oom_group_kill == 6u);
  CHECK(parse::memory_events("low 0\nhigh 0\nmax 7\noom 8\noom_kill 9\n", e) == 0);
  CHECK(e.oom == 8u);
  CHECK_FALSE(e.oom_group_kill.has_value());
  for (auto bad : {"", "oom_kill 1\n", "oom x\n", "oom 1\nmax\t2\nhigh -1\n"}) {
    CAPTURE(bad);
    CHECK(parse::memory_events(bad, e) == -EINVAL);
  }
  CHECK(e.oom == 8u);
}

TEST_CASE("cgroup_events and lists") {
  parse::CgroupEvents e{};
  CHECK(parse::cgroup_events("populated 1\nfrozen 0\n", e) == 0);
  CHECK(e.populated);
  CHECK(e.frozen == false);
  CHECK(parse::cgroup_events("populated 0\n", e) == 0);
  CHECK_FALSE(e.populated);
  CHECK_FALSE(e.frozen.has_value());
  CHECK(parse::cgroup_events("frozen 1\n", e) == -EINVAL);
  CHECK(parse::cgroup_events("populated 1\nfrozen y\n", e) == -EINVAL);

  CHECK(parse::lists("cpu memory pids\n", "memory"));
  CHECK(parse::lists("memory", "memory"));
  CHECK_FALSE(parse::lists("cpu memoryx pids\n", "memory"));
  CHECK_FALSE(parse::lists("\n", "memory"));
  CHECK_FALSE(parse::lists("", "memory"));
}
