#include "core/prepared/spare_fds.h"

#include <fcntl.h>

#include <atomic>
#include <cerrno>
#include <mutex>

#include "core/prepared/locked.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Helpers write it in the middle of an episode: apart from children (locked.h). Made with the first
// guard's tree, and never freed: threads outlive exit handlers.
struct Reserve {
  std::mutex lock;
  // Held for the lifetime of a Loan.
  std::mutex loan_lock;
  int spares[SpareFds::kSpares] = {-1, -1, -1};
  int users = 0;
  // Some may be missing. Read after each job, so it must cost nothing.
  std::atomic<bool> short_of{false};

  void close_all() {
    for (int& spare : spares) close_one(spare);
    short_of.store(users > 0);
  }
  void close_one(int& spare) {
    Fd(spare).reset();
    spare = -1;
    short_of.store(users > 0);
  }
  void fill() {
    if (users == 0) return;
    for (int& spare : spares) {
      if (spare >= 0) continue;
      int fd = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
      if (fd < 0) return;
      spare = fd;
    }
    short_of.store(false);
  }
};

std::mutex start_lock;
std::atomic<Reserve*> reserve{nullptr};

}  // namespace

Status SpareFds::acquire() {
  Status status = Status::success();
  {
    std::lock_guard starting(start_lock);
    if (!reserve.load()) reserve.store(make_locked<Reserve>(status).release());
  }
  Reserve* r = reserve.load();
  if (!r) return status;
  std::lock_guard held(r->lock);
  r->users++;
  r->short_of.store(true);
  r->fill();
  return status;
}

void SpareFds::release() {
  Reserve& r = *reserve.load();
  std::lock_guard held(r.lock);
  if (--r.users == 0) r.close_all();
}

SpareFds::Loan::Loan() {
  Reserve& r = *reserve.load();
  r.loan_lock.lock();
  std::lock_guard held(r.lock);
  r.close_all();
}

SpareFds::Loan::~Loan() {
  refill();
  reserve.load()->loan_lock.unlock();
}

Fd SpareFds::open_at(int dir, const char* name, int flags) {
  Fd opened(sys::open_at(dir, name, flags));
  if (opened || (opened.get() != -EMFILE && opened.get() != -ENFILE)) return opened;
  Reserve* r = reserve.load();
  if (!r) return opened;
  std::lock_guard held(r->lock);
  for (int& spare : r->spares) {
    if (spare < 0) continue;
    r->close_one(spare);
    return Fd(sys::open_at(dir, name, flags));
  }
  return opened;
}

void SpareFds::refill() {
  Reserve* r = reserve.load();
  if (!r || !r->short_of.load()) return;
  std::lock_guard held(r->lock);
  r->fill();
}

}  // namespace oom
