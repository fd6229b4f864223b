// A memory group made of numbers, on a virtual clock: what a v1 group does when it runs out of
// memory, for the simulation tests and for cgroup-oom/testing. Portable: no Linux in it.
//
// What it copies from the kernel: charges are taken until the limit is met, page cache is reclaimed
// first; with the killer disabled tasks then wait, the one that gets the group's OOM lock notifies;
// every uncharge, a raised limit and an enabled killer wake all waiters, which leave under_oom, try
// again microseconds later and wait (and notify) again if they must; with the killer enabled the
// largest process that is not spared dies some milliseconds later, one victim at a time; a victim's
// memory comes back in parts while it is reaped; SIGKILL of a frozen process waits for the thaw. That
// tasks stall for memory which they get is not made of anything: it is set, as a share of the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace oom {

inline constexpr uint64_t kPage = 4096;

constexpr uint64_t kNoLimit = 0x7ffffffffffff000;  // what v1 shows for "none"

struct SimProcess {
  enum class State : uint8_t {
    kRunning,
    kRetrying,  // woken, will try its charge again at `at`
    kWaiting,   // for user space
    kOoming,    // in the kernel's OOM path, which comes to its kill at `at`
    kDying,     // killed, its memory comes back at `at`
  };
  int32_t pid = 0;
  uint64_t size = 0;    // charged
  uint64_t want = 0;    // what it still waits to charge
  bool spared = false;  // oom_score_adj -1000
  bool killed = false;  // SIGKILL is pending or has been taken
  bool half_reaped = false;
  State state = State::kRunning;
  int64_t at = 0;
};

class SimGroup {
 public:
  struct Config {
    uint64_t limit = kNoLimit;
    int64_t retry_ns = 50'000;           // a woken waiter's way back to its charge
    int64_t kernel_kill_ns = 5'000'000;  // from the OOM to the kernel's kill
    int64_t reap_ns = 2'000'000;         // from the kill to the memory being back, plus
    int64_t reap_per_gib_ns = 15'000'000;
  };

  SimGroup() = default;
  explicit SimGroup(const Config& config) : config_(config), limit_(config.limit) {}

  // Processes. Results: 0, or a negative errno.
  int32_t spawn(uint64_t size, bool spared = false);
  int add(int32_t pid, uint64_t size);  // a process from elsewhere, with what it will charge here
  // Moved to another group. One that waits goes on waiting in this one's queue, until it is woken.
  int take_out(int32_t pid);
  // Of what the process has, so much is tmpfs pages: they stay when it is gone.
  int strand(int32_t pid, uint64_t bytes);
  // Of all that is left of processes that were moved away, or had tmpfs pages.
  void unlink_stranded();
  int allocate(int32_t pid, uint64_t bytes);
  int release(int32_t pid, uint64_t bytes);
  void cache(uint64_t bytes);  // reads that much of files: reclaimable
  // From now on all tasks stall for that share of the time, in parts per thousand; `restores`: for
  // pages that they have to read back.
  void stall(uint32_t per_mille, bool restores = true);
  int kill(int32_t pid);
  int exit(int32_t pid);
  int32_t largest() const;  // 0: none
  int32_t newest() const;   // by its pid: they are given in rising order; 0: none

  // Control files.
  int set_limit(uint64_t bytes);
  int set_killer_disabled(bool disabled);
  void freeze();
  void thaw();
  uint64_t reclaim(uint64_t bytes);
  int remove();

  uint64_t usage() const { return usage_; }
  uint64_t peak() const { return peak_; }
  uint64_t cached() const { return cache_; }
  uint64_t limit() const { return limit_; }
  uint64_t kernel_kills() const { return kernel_kills_; }
  uint64_t kills() const { return kills_; }  // by anybody
  uint64_t failures() const { return failures_; }
  uint64_t notifications() const { return notifications_; }
  bool stalls() const { return stall_per_mille_ > 0; }
  uint64_t stalled_us() const;  // in all, up to now
  uint64_t restored() const;    // in all: one for each microsecond stalled so
  bool killer_disabled() const { return killer_disabled_; }
  bool under_oom() const { return waiting_ + strays_ > 0; }
  bool stuck() const;  // some task does not get its memory
  bool frozen() const { return frozen_; }
  bool removed() const { return removed_; }
  const std::vector<SimProcess>& processes() const { return processes_; }
  const SimProcess* find(int32_t pid) const;

  // The clock. Nothing happens by itself before next_event().
  int64_t now() const { return now_; }
  int64_t next_event() const;
  void advance_to(int64_t now);  // up to and including

  Config& config() { return config_; }

 private:
  SimProcess* get(int32_t pid);
  SimProcess* live(int32_t pid);
  void charge(SimProcess& p);
  void uncharged();
  void wake();
  void wait(SimProcess& p);
  void kernel_kill(SimProcess& p);
  void die(SimProcess& p);
  void reap(size_t index);
  uint64_t stalled_since() const;

  Config config_;
  std::vector<SimProcess> processes_;
  int32_t next_pid_ = 1001;
  int32_t lock_ = 0;  // the waiter that holds the OOM lock
  uint32_t waiting_ = 0;
  uint32_t strays_ = 0;  // moved away while they waited
  uint64_t limit_ = kNoLimit;
  uint64_t usage_ = 0;
  uint64_t peak_ = 0;
  uint64_t cache_ = 0;
  uint64_t stranded_ = 0;
  uint64_t kernel_kills_ = 0;
  uint64_t kills_ = 0;
  uint64_t failures_ = 0;
  uint64_t notifications_ = 0;
  uint32_t stall_per_mille_ = 0;
  bool stall_restores_ = false;
  int64_t stall_from_ = 0;     // since when it is so
  uint64_t stalled_ns_ = 0;    // before
  uint64_t restoring_ns_ = 0;  // of that, for pages that were read back
  bool killer_disabled_ = false;
  bool frozen_ = false;
  bool removed_ = false;
  int64_t now_ = 0;
};

}  // namespace oom
