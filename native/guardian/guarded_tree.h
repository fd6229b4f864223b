// One guard as the guardian has it: a GuardianGroup for the guarded group and each one below it.
//
// Runs on the guardian's only thread. Groups appear and vanish with the tree's events; what the
// running round of the loop may still point to is freed after that round.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "core/guardian_link/protocol.h"
#include "core/members/victims.h"
#include "core/memcg/back_end_kind.h"
#include "core/tree/tree.h"
#include "guardian/decider.h"
#include "guardian/deferred_free.h"
#include "guardian/guardian_group.h"

namespace oom::guardian {

// What all guarded trees share.
struct GuardianContext {
  Sentinel* loop = nullptr;
  DeferredFree* deferred_free = nullptr;
  SharedState* shared = nullptr;
  Victims* victims = nullptr;
  Decider* decider = nullptr;
  bool parent_alive = true;
  // Something has come to its end: perhaps everything has.
  void (*on_done)(void*) = nullptr;
  void* on_done_arg = nullptr;
};

// An fd whose readiness calls a member of the owner.
template <class T>
class Watched final : public Source {
 public:
  Watched(T& owner, void (T::*call)()) : owner_(owner), call_(call) {}
  void ready(Sentinel&, int64_t) override { (owner_.*call_)(); }
  void due(Sentinel&, int64_t) override { (owner_.*call_)(); }

 private:
  T& owner_;
  void (T::*call_)();
};

class GuardedTree final : public TreeListener, public Effects {
 public:
  GuardedTree(GuardianContext& context, const Question& question);
  ~GuardedTree() override;

  // `freezer` may be none.
  Status open(Fd root, Fd freezer);
  int root() const { return root_ ? root_->get() : -1; }
  void parent_gone();
  // Everything, at once, as far as the kernel lets it.
  void restore();
  // Once all is done: what was born in the last moment.
  void last_look() { tree_.rescan(); }
  // The parent has put it back: nothing of it is touched any more.
  void dispose(bool held);
  bool done() const;
  // Returns whether a decision about one of its groups is under way.
  bool deciding() const;

  uint32_t appeared(uint32_t parent, const Place& place, int dir) override;
  void vanished(uint32_t id) override;
  // The sentinel may act on what it has seen alone.
  TouchedFiles touched_files() override { return kind_.touched_files(true); }
  void touched(uint32_t id) override;
  bool out_of_sight(int err, const Place& place, int dir) override;

  int64_t now() override;
  int kill(const GuardianGroup& top, int32_t target, uint32_t& killed) override;
  void thaw(const GuardianGroup& group) override;
  bool any_member(const GuardianGroup& top) override;
  void ask_kernel(GuardianGroup& group, const Asking& asking) override;

 private:
  GuardianContext& context_;
  const BackEndKind& kind_;
  HoldConfig hold_;
  GroupConfig config_;
  bool guard_descendants_;
  bool opening_ = true;
  Status failure_;
  uint32_t last_id_ = 0;
  std::shared_ptr<const Fd> root_;
  Fd freezer_;
  std::unordered_map<uint32_t, std::shared_ptr<GuardianGroup>> groups_;
  Tree tree_{*this};
};

// Whether the group at `dir` or one below it has this process among its members, or the given
// cgroup.procs (0: none) as its own.
struct Residence {
  bool process = false;
  bool procs = false;
};
Residence residence(int dir, uint64_t procs_inode);

}  // namespace oom::guardian
