// Which processes have been stopped (SIGSTOP) for which group: whoever is in here is to go on. In
// memory that the guardian has mapped as well, so that it can do so when this process has ended.
//
// An entry is written before its process is stopped, and freed after it was sent SIGCONT, which may
// come twice and then does no harm. Lock-free: any process or thread may end between two
// instructions.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace oom {

struct StopEntry {
  // pid << 32 | count << 1 | ours; 0: free. `ours`: stopped by this library, so that it is to go on; else it
  // was found stopped, and stays so. The count tells two uses of an entry apart.
  std::atomic<uint64_t> word{0};
  std::atomic<uint64_t> start{0};  // of the process, in clock ticks after the boot
  std::atomic<uint64_t> group{0};  // the inode of the group that it was stopped for
};

struct Stopped {
  pid_t pid = 0;
  uint64_t start = 0;
  bool ours = false;
};

// All zero to begin with.
struct StopHead {
  std::atomic<uint32_t> top{0};    // no entry from here on was ever used
  std::atomic<uint32_t> count{0};  // how many have been added
};

class StopTable {
 public:
  StopTable() = default;
  StopTable(StopHead& head, StopEntry* entries, uint32_t size)
      : head_(&head), entries_(entries), size_(size) {}

  bool there() const { return head_ != nullptr; }

  // One thread at a time, of the process that stops. False: the table is full.
  bool add(uint64_t group, const Stopped& process) const {
    for (uint32_t i = 0; i < size_; i++) {
      StopEntry& entry = entries_[i];
      if (entry.word.load() != 0) continue;
      // Not visible before its word is.
      entry.start.store(process.start);
      entry.group.store(group);
      if (head_->top.load() <= i) head_->top.store(i + 1);
      uint64_t count = ++head_->count & 0x7fffffff;
      entry.word.store(static_cast<uint64_t>(process.pid) << 32 | count << 1 |
                       static_cast<uint64_t>(process.ours));
      return true;
    }
    return false;
  }

  // Calls use(process) for each of the group's until that gives false.
  template <class Use>
  void each(uint64_t group, Use&& use) const {
    visit(group, [&](StopEntry&, uint64_t, const Stopped& process) { return use(process); });
  }
  bool any(uint64_t group) const {
    bool found = false;
    each(group, [&](const Stopped&) {
      found = true;
      return false;
    });
    return found;
  }
  // `start` 0: whenever it was started.
  bool has(uint64_t group, pid_t pid, uint64_t start = 0) const {
    bool found = false;
    each(group, [&](const Stopped& process) {
      found = process.pid == pid && (start == 0 || process.start == start);
      return !found;
    });
    return found;
  }

  // Whether it was stopped by this library, for whichever group.
  bool ours(pid_t pid, uint64_t start) const {
    for (uint32_t i = 0; i < used(); i++) {
      uint64_t word = entries_[i].word.load();
      if (word == 0 || static_cast<pid_t>(word >> 32) != pid || (word & 1) == 0) continue;
      if (entries_[i].start.load() == start) return true;
    }
    return false;
  }

  // Frees the group's entries, each after go_on(process). One whose process another group has stopped
  // as well is freed without that.
  template <class GoOn>
  void clear(uint64_t group, GoOn&& go_on) const {
    visit(group, [&](StopEntry& entry, uint64_t word, const Stopped& process) {
      if (process.ours && !kept_by_another(group, process)) go_on(process);
      entry.word.compare_exchange_strong(word, 0);
      return true;
    });
  }
  // The group of some entry. False: the table is empty.
  bool any_group(uint64_t& group) const {
    for (uint32_t i = 0; i < used(); i++) {
      if (entries_[i].word.load() == 0) continue;
      group = entries_[i].group.load();
      return true;
    }
    return false;
  }
  // Frees one entry of the group: its process was not stopped after all.
  void drop(uint64_t group, pid_t pid) const {
    visit(group, [&](StopEntry& entry, uint64_t word, const Stopped& process) {
      if (process.pid == pid) entry.word.compare_exchange_strong(word, 0);
      return process.pid != pid;
    });
  }

 private:
  uint32_t used() const {
    uint32_t top = there() ? head_->top.load() : 0;
    return top < size_ ? top : size_;
  }
  template <class Visit>
  void visit(uint64_t group, Visit&& visit) const {
    for (uint32_t i = 0; i < used(); i++) {
      StopEntry& entry = entries_[i];
      uint64_t word = entry.word.load();
      if (word == 0) continue;
      Stopped process{static_cast<pid_t>(word >> 32), entry.start.load(), (word & 1) != 0};
      bool theirs = entry.group.load() != group;
      // Used anew while it was read.
      if (entry.word.load() != word || theirs) continue;
      if (!visit(entry, word, process)) return;
    }
  }
  bool kept_by_another(uint64_t group, const Stopped& process) const {
    for (uint32_t i = 0; i < used(); i++) {
      StopEntry& entry = entries_[i];
      uint64_t word = entry.word.load();
      if (word == 0 || static_cast<pid_t>(word >> 32) != process.pid || (word & 1) == 0) continue;
      if (entry.group.load() != group && entry.start.load() == process.start) return true;
    }
    return false;
  }

  StopHead* head_ = nullptr;
  StopEntry* entries_ = nullptr;
  uint32_t size_ = 0;
};

// The entries themselves.
template <uint32_t kSize>
struct StopEntries {
  StopHead head;
  StopEntry list[kSize];
  StopTable table() { return {head, list, kSize}; }
};

}  // namespace oom
