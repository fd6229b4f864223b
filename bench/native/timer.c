// The floor of `lateness`: a program that only waits for a timerfd. For each number of nanoseconds
// on stdin it waits that long and prints by how many nanoseconds it was late.
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static long long now(void) {
  struct timespec ts;
  clock_gettime(CLOCK_MONOTONIC, &ts);
  return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(void) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
  long long delay;
  while (scanf("%lld", &delay) == 1) {
    long long due = now() + delay;
    struct itimerspec when = {
        .it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000}};
    uint64_t count;
    if (timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, 0) != 0) return 1;
    if (read(timer, &count, sizeof count) < 0) return 1;
    printf("late %lld\n", now() - due);
    fflush(stdout);
  }
  return 0;
}
