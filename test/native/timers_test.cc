// The timers of the sentinel, against a std::multimap, at random.
#include "core/sentinel/timers.h"

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <random>
#include <vector>

using oom::TimerNode;
using oom::Timers;

namespace {

// What Timers should be.
class Model {
 public:
  void set(TimerNode& node, int64_t when) {
    clear(node);
    at_[&node] = by_time_.emplace(when, &node);
  }
  void clear(TimerNode& node) {
    auto it = at_.find(&node);
    if (it == at_.end()) return;
    by_time_.erase(it->second);
    at_.erase(it);
  }
  bool empty() const { return by_time_.empty(); }
  size_t size() const { return by_time_.size(); }
  int64_t first() const { return by_time_.begin()->first; }
  bool has(TimerNode& node) const { return at_.contains(&node); }
  int64_t when(TimerNode& node) const { return at_.at(&node)->first; }

 private:
  std::multimap<int64_t, TimerNode*> by_time_;
  std::map<TimerNode*, std::multimap<int64_t, TimerNode*>::iterator> at_;
};

}  // namespace

TEST_CASE("nothing set") {
  Timers timers;
  CHECK(timers.first() == nullptr);
  TimerNode node;
  timers.clear(node);
  CHECK(timers.first() == nullptr);
  CHECK_FALSE(node.set());
}

TEST_CASE("random sets, moves, clears and expirations agree with a multimap") {
  for (unsigned seed = 0; seed < 200; seed++) {
    std::mt19937 random(seed);
    const size_t count = 1 + seed % 50;
    // Few different times: equal ones must work as well.
    const int64_t span = seed % 3 == 0 ? 5 : 1'000'000;
    std::vector<std::unique_ptr<TimerNode>> nodes(count);
    for (auto& node : nodes) node = std::make_unique<TimerNode>();
    Timers timers;
    Model model;
    for (int step = 0; step < 2000; step++) {
      TimerNode& node = *nodes[random() % count];
      switch (random() % 4) {
        case 0:
        case 1: {
          auto when = static_cast<int64_t>(random() % static_cast<unsigned>(span)) - span / 4;
          timers.set(node, when);
          model.set(node, when);
          break;
        }
        case 2:
          timers.clear(node);
          model.clear(node);
          break;
        default:
          if (TimerNode* first = timers.first()) {
            timers.clear(*first);
            model.clear(*first);
          }
      }
      REQUIRE(node.set() == model.has(node));
      REQUIRE((timers.first() == nullptr) == model.empty());
      if (!model.empty()) {
        REQUIRE(timers.first()->when() == model.first());
        REQUIRE(model.has(*timers.first()));
        REQUIRE(model.when(*timers.first()) == timers.first()->when());
      }
    }
    size_t left = 0;
    for (int64_t last = INT64_MIN; timers.first(); left++) {
      TimerNode* first = timers.first();
      REQUIRE(first->when() >= last);
      last = first->when();
      timers.clear(*first);
      model.clear(*first);
    }
    CHECK(model.size() == 0);
  }
}

TEST_CASE("many, in the worst orders, without recursion") {
  constexpr int kMany = 200'000;
  std::vector<TimerNode> nodes(kMany);
  for (int order = 0; order < 2; order++) {
    Timers timers;
    for (int i = 0; i < kMany; i++) timers.set(nodes[i], order ? i : kMany - i);
    int64_t last = -1;
    int count = 0;
    while (TimerNode* first = timers.first()) {
      REQUIRE(first->when() > last);
      last = first->when();
      timers.clear(*first);
      count++;
    }
    CHECK(count == kMany);
  }
}
