#include "core/spare_fds.h"

#include <fcntl.h>
#include <pthread.h>

#include <cerrno>

#include "core/mutex_lock.h"
#include "core/sys.h"

namespace oom {
namespace {

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Held for a whole loan.
pthread_mutex_t loan_lock = PTHREAD_MUTEX_INITIALIZER;
int spares[SpareFds::kSpares] = {-1, -1, -1};
int users = 0;

void close_one(int& spare) {
  Fd(spare).reset();
  spare = -1;
}

void fill() {
  if (users == 0) return;
  for (int& spare : spares) {
    if (spare >= 0) continue;
    int fd = ::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    spare = fd;
  }
}

}  // namespace

void SpareFds::acquire() {
  MutexLock held(lock);
  users++;
  fill();
}

void SpareFds::release() {
  MutexLock held(lock);
  if (--users > 0) return;
  for (int& spare : spares) close_one(spare);
}

SpareFds::Loan::Loan() {
  pthread_mutex_lock(&loan_lock);
  MutexLock held(lock);
  for (int& spare : spares) close_one(spare);
}

SpareFds::Loan::~Loan() {
  refill();
  pthread_mutex_unlock(&loan_lock);
}

Fd SpareFds::open_at(int dir, const char* name, int flags) {
  Fd opened(sys::open_at(dir, name, flags));
  if (opened || (opened.get() != -EMFILE && opened.get() != -ENFILE)) return opened;
  MutexLock held(lock);
  for (int& spare : spares) {
    if (spare < 0) continue;
    close_one(spare);
    return Fd(sys::open_at(dir, name, flags));
  }
  return opened;
}

void SpareFds::refill() {
  MutexLock held(lock);
  fill();
}

}  // namespace oom
