// Descriptors kept in reserve, for the process: where none is to be had any more, what must be
// opened all the same is opened in their place, for a moment.
//
// Any thread but the sentinel; allocates nothing.
#pragma once

#include <cstddef>

#include "core/sys/fd.h"
#include "core/sys/status.h"

namespace oom {

class SpareFds {
 public:
  // For a helper: the members of a group, a file of one of them, and its pidfd.
  static constexpr int kSpares = 3;

  // The spare descriptors exist between acquire() and release(); a Loan needs them.
  static Status acquire();
  static void release();

  // Closes the spares for its lifetime, so that its owner can open files; one at a time.
  class Loan {
   public:
    Loan();
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
  };
  // sys::open_at(), with one of them given up where there is no other; they come back by refill().
  static Fd open_at(int dir, const char* name, int flags);
  static void refill();
};

}  // namespace oom
