// Timers of one thread: an intrusive pairing heap. A node lies in the object that waits, so that
// setting a timer allocates nothing and never fails, however many there are.
#pragma once

#include <cstdint>

namespace oom {

class TimerNode {
 public:
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  bool set() const { return set_; }
  int64_t when() const { return when_; }

 private:
  friend class Timers;
  int64_t when_ = 0;
  TimerNode* child_ = nullptr;  // leftmost
  TimerNode* next_ = nullptr;   // sibling to the right
  TimerNode* prev_ = nullptr;   // sibling to the left, or the parent if leftmost
  bool set_ = false;
};

class Timers {
 public:
  TimerNode* first() const { return root_; }

  // Sets or moves.
  void set(TimerNode& node, int64_t when) {
    if (node.set_) {
      if (node.when_ == when) return;
      clear(node);
    }
    node.when_ = when;
    node.child_ = node.next_ = node.prev_ = nullptr;
    node.set_ = true;
    root_ = root_ ? meld(root_, &node) : &node;
  }

  void clear(TimerNode& node) {
    if (!node.set_) return;
    node.set_ = false;
    TimerNode* rest = pair(node.child_);
    node.child_ = nullptr;
    if (&node == root_) {
      root_ = rest;
      return;
    }
    if (node.prev_->child_ == &node) {
      node.prev_->child_ = node.next_;
    } else {
      node.prev_->next_ = node.next_;
    }
    if (node.next_) node.next_->prev_ = node.prev_;
    node.next_ = node.prev_ = nullptr;
    if (rest) root_ = meld(root_, rest);
  }

 private:
  static TimerNode* meld(TimerNode* a, TimerNode* b) {
    if (b->when_ < a->when_) {
      TimerNode* t = a;
      a = b;
      b = t;
    }
    b->prev_ = a;
    b->next_ = a->child_;
    if (a->child_) a->child_->prev_ = b;
    a->child_ = b;
    a->next_ = a->prev_ = nullptr;
    return a;
  }

  // Two passes, without recursion: meld neighbours from the left, then the results from the right.
  static TimerNode* pair(TimerNode* first) {
    TimerNode* stack = nullptr;
    while (first) {
      TimerNode* a = first;
      TimerNode* b = a->next_;
      first = b ? b->next_ : nullptr;
      a->next_ = a->prev_ = nullptr;
      if (b) {
        b->next_ = b->prev_ = nullptr;
        a = meld(a, b);
      }
      a->next_ = stack;
      stack = a;
    }
    TimerNode* all = nullptr;
    while (stack) {
      TimerNode* a = stack;
      stack = a->next_;
      a->next_ = nullptr;
      all = all ? meld(all, a) : a;
    }
    return all;
  }

  TimerNode* root_ = nullptr;
};

}  // namespace oom
