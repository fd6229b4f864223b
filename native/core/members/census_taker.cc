#include "core/members/census_taker.h"

#include "core/sys/page.h"

namespace oom {
namespace {

bool passes_by(int err) { return err == -ENOMEM || err == -EMFILE || err == -ENFILE; }

}  // namespace

void CensusTaker::add(const MemberList& members) {
  int err = each_member_now(members, [&](pid_t pid) {
    if (pid == 0 || left_ == 0) return census_.add_unseen();
    left_--;
    Proc::Memory memory;
    int why = proc_.memory(pid, memory);
    if (why == 0) return census_.add(pid, memory.statm.resident * page_size());
    // One that has just ended is no member any more.
    if (why == -ESRCH) return;
    census_.add_unseen();
    if (passes_by(why)) failed_ = why;
  });
  // A group that has been removed has no members.
  if (err != 0 && err != -ENODEV) failed_ = err;
}

int CensusTaker::finish() {
  for (size_t i = 0; i < census_.size(); i++) proc_.name(census_[i].pid, census_.name(i));
  if (failed_ != 0 && census_.size() == 0) return failed_;
  census_.set_known();
  return 0;
}

}  // namespace oom
