// A fallback that kills: when the kernel has to follow.
#include "core/rules/killing_fallback.h"

#include <doctest/doctest.h>

#include <initializer_list>

using namespace oom;  // NOLINT(google-build-using-namespace)

namespace {

constexpr int64_t kEscalate = KillingFallback::kEscalate;
constexpr int64_t kAnswerMost = KillingFallback::kAnswerMost;

}  // namespace

TEST_CASE("without a kill it is given up after its time, or at the answer") {
  KillingFallback fallback;
  const KillSeen none;
  fallback.begin(5);
  CHECK_FALSE(fallback.given_up(4 + kEscalate, none));
  CHECK(fallback.given_up(5 + kEscalate, none));
  CHECK_FALSE(fallback.given_up(6, none));
  fallback.answer();
  CHECK(fallback.given_up(6, none));
}

TEST_CASE("a kill has its own time, whether or not the killer has answered") {
  KillingFallback fallback;
  fallback.begin(5);
  KillSeen kill;
  kill.note(50);
  for (bool answered : {false, true}) {
    CAPTURE(answered);
    if (answered) fallback.answer();
    CHECK_FALSE(fallback.given_up(49 + kEscalate, kill));
    CHECK(fallback.given_up(50 + kEscalate, kill));
  }
}

TEST_CASE("an answer is awaited for its time, until it comes") {
  KillingFallback fallback;
  fallback.begin(5);
  CHECK_FALSE(fallback.answered());
  CHECK(fallback.awaits_answer(4 + kAnswerMost));
  CHECK_FALSE(fallback.awaits_answer(5 + kAnswerMost));
  fallback.answer();
  CHECK(fallback.answered());
  CHECK_FALSE(fallback.awaits_answer(5));
  fallback.begin(9);
  CHECK_FALSE(fallback.answered());
  CHECK(fallback.awaits_answer(9));
}
