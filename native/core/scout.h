// The "oom-scout" thread: waits for new groups in all trees of the process (tree.h), and goes again
// over those that are incomplete. Started with the first tree, stopped with the last.
#pragma once

#include "core/result.h"

namespace oom {

class Tree;

class Scout {
 public:
  // Any thread that may sleep.
  static Status add(Tree& tree);
  // The tree is not in use by the scout any more when it has returned.
  static void remove(Tree& tree);

 private:
  static void* main(void*);
};

}  // namespace oom
