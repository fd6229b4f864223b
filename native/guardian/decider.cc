#include "guardian/decider.h"

#include <utility>

#include "guardian/guardian_group.h"

namespace oom::guardian {

void Decider::prepare() {
  for (Worker& worker : workers_) {
    if (worker.thread.running()) continue;
    worker.decider = this;
    sem_init(&worker.bell, 0, 0);
    if (!worker.thread.start("oom-decider", &Decider::main, &worker).ok()) return;
  }
}

void Decider::ask(Decision& decision) {
  decision.decider = this;
  decision.next_waiting = nullptr;
  under_way_++;
  if (!workers_[0].thread.running()) {
    Alarm none;
    decision.hold->decide(decision.asking, none);
    return end(decision);
  }
  if (start(decision)) return;
  Decision** last = &waiting_;
  while (*last) last = &(*last)->next_waiting;
  *last = &decision;
}

bool Decider::start(Decision& decision) {
  for (Worker& worker : workers_) {
    if (!worker.thread.running() || worker.job) continue;
    worker.job = &decision;
    decision.thread = static_cast<int>(&worker - workers_);
    sem_post(&worker.bell);
    return true;
  }
  return false;
}

void* Decider::main(void* arg) {
  auto& self = *static_cast<Worker*>(arg);
  // Without an alarm, calls that it would interrupt may take longer.
  (void)self.alarm.open();
  for (;;) {
    if (sem_wait(&self.bell) != 0) continue;
    Decision& decision = *self.job;
    decision.hold->decide(decision.asking, self.alarm);
    decision.run = &Decider::finished;
    self.decider->loop_.post(decision);  // from here on it is the loop's
  }
}

void Decider::finished(Command& command, Sentinel&) {
  auto& decision = static_cast<Decision&>(command);
  Decider& self = *decision.decider;
  self.workers_[decision.thread].job = nullptr;
  if (Decision* next = self.waiting_; next && self.start(*next)) self.waiting_ = next->next_waiting;
  self.end(decision);
}

void Decider::end(Decision& decision) {
  under_way_--;
  // This may be the last reference to the group, which owns the decision.
  std::shared_ptr<GuardianGroup> group = std::move(decision.group);
  over_(arg_);
}

}  // namespace oom::guardian
