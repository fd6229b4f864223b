#include "core/prepared/spare_fds.h"

#include <fcntl.h>
#include <pthread.h>

#include <atomic>
#include <cerrno>

#include "core/prepared/locked.h"
#include "core/sys/mutex_lock.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Helpers write it in the middle of an episode: apart from children (locked.h). Made with the first
// guard's tree, and never freed: threads outlive exit handlers.
struct Reserve {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  // Held for a whole loan.
  pthread_mutex_t loan_lock = PTHREAD_MUTEX_INITIALIZER;
  int spares[SpareFds::kSpares] = {-1, -1, -1};
  int users = 0;
  // Whether some may be missing: asked after each job, which must cost nothing.
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

pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
std::atomic<Reserve*> reserve{nullptr};

}  // namespace

Status SpareFds::acquire() {
  Status status = Status::success();
  {
    MutexLock starting(start_lock);
    if (!reserve.load()) reserve.store(make_locked<Reserve>(status).release());
  }
  Reserve* r = reserve.load();
  if (!r) return status;
  MutexLock held(r->lock);
  r->users++;
  r->short_of.store(true);
  r->fill();
  return status;
}

void SpareFds::release() {
  Reserve& r = *reserve.load();
  MutexLock held(r.lock);
  if (--r.users == 0) r.close_all();
}

SpareFds::Loan::Loan() {
  Reserve& r = *reserve.load();
  pthread_mutex_lock(&r.loan_lock);
  MutexLock held(r.lock);
  r.close_all();
}

SpareFds::Loan::~Loan() {
  refill();
  pthread_mutex_unlock(&reserve.load()->loan_lock);
}

Fd SpareFds::open_at(int dir, const char* name, int flags) {
  Fd opened(sys::open_at(dir, name, flags));
  if (opened || (opened.get() != -EMFILE && opened.get() != -ENFILE)) return opened;
  Reserve* r = reserve.load();
  if (!r) return opened;
  MutexLock held(r->lock);
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
  MutexLock held(r->lock);
  r->fill();
}

}  // namespace oom
