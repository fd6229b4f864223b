// A violated invariant of the rules ends the process, and prints which one it was and where.
#include "core/rules/invariant.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>

#include "core/rules/episode.h"

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

// What a process that runs `what` prints before it is aborted; empty if it is not.
template <class What>
std::string last_words(What&& what) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    std::signal(SIGABRT, SIG_DFL);  // not the test's own failure
    dup2(ends[1], STDERR_FILENO);
    what();
    _exit(0);
  }
  close(ends[1]);
  char text[512];
  ssize_t length = read(ends[0], text, sizeof text);
  close(ends[0]);
  int status = 0;
  waitpid(pid, &status, 0);
  bool aborted = WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
  return aborted && length > 0 ? std::string(text, static_cast<size_t>(length)) : std::string();
}

}  // namespace

TEST_CASE("what holds ends nothing") {
  CHECK(last_words([] { OOM_INVARIANT(1 < 2); }).empty());
}

TEST_CASE("what does not hold is named with its place") {
  std::string said = last_words([] { OOM_INVARIANT(2 < 1); });
  CHECK(said.find("invariant_test.cc:") != std::string::npos);
  CHECK(said.find("2 < 1") != std::string::npos);
}

TEST_CASE("an action more than there is room for is not dropped") {
  auto add = [](int count) {
    Actions actions;
    for (int i = 0; i < count; i++) actions.add(Do::kLowerLimit);
  };
  CHECK(last_words([&] { add(Actions::kMost); }).empty());
  CHECK(last_words([&] { add(Actions::kMost + 1); }).find("kMost") != std::string::npos);
}
