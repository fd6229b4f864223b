#include "core/memcg/signal_back_end.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "core/memcg/charged_ahead.h"
#include "core/sys/codes.h"
#include "core/sys/field_file.h"
#include "core/sys/small_file.h"

namespace oom {
namespace {

// Why a control file is not written: this process may not, or this hold does not.
Status unwritten(int dir, const char* file) {
  return faccessat(dir, file, W_OK, AT_EACCESS) == 0 ? code::fail(code::kCgroupUnsupported, file)
                                                     : Status::last("open", file);
}

}  // namespace

Status SignalBackEnd::arm(const Place& place, int dir, const ArmNeeds& needs) {
  if (Status s = facts_.arm(dir, version_); !s.ok()) return s;
  if (Status s = members_.arm(place, dir, needs.inside); !s.ok()) return s;
  if (version_ == 1) {
    quiet_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!quiet_) return Status::last("eventfd");
  }
  dry_run_ = needs.dry_run;
  inode_ = place.inode();
  ahead_ = charged_ahead();
  if (Status s = Stopper::prepare_process(); !s.ok()) return s;
  Status status;
  stops_ = make_locked<Stops>(status, place, config_.who);
  if (!status.ok()) return status;
  stops_->stopper.note_in(stops_->own.table(), inode_);
  oom_since_last();
  return Status::success();
}

Status SignalBackEnd::arm_headroom(int dir) {
  return unwritten(dir, version_ == 2 ? "memory.max" : "memory.limit_in_bytes");
}

Status SignalBackEnd::arm_reclaim(int dir) {
  return unwritten(dir, version_ == 2 ? "memory.reclaim" : "memory.force_empty");
}

void SignalBackEnd::note_stops(const StopTable& table) {
  if (stops_) stops_->stopper.note_in(table.there() ? table : stops_->own.table(), inode_);
}

int SignalBackEnd::event_fd() const { return version_ == 2 ? facts_.events() : quiet_.get(); }

void SignalBackEnd::consume() {
  uint64_t ignored;
  // v2: only reading the file that is polled makes it quiet again.
  (void)facts_.kills(ignored);
}

// Where the line is no reason to stop anybody, the machine says when to look.
int64_t SignalBackEnd::next_look(int64_t now) {
  return now + (held_.load() || dry_run_ ? pause_ : kTraits.idle_sample_ns);
}

bool SignalBackEnd::oom_since_last() {
  uint64_t ooms = 0;
  if (read_field(facts_.events(), version_ == 2 ? "oom" : "oom_kill", ooms) != 0) return false;
  return ooms > std::exchange(ooms_, ooms);
}

int SignalBackEnd::sample(Sample& out) {
  if (int err = facts_.limit(out.limit)) return err;
  if (int err = facts_.usage(out.usage)) return err;
  const uint64_t line = signals::line(out.limit, config_.band);
  out.need = Need::kFine;
  out.reclaimable = 0;
  out.band = line == kUnlimited ? 0 : out.limit - line;
  // What CPUs have charged ahead is taken back of members that stand still.
  const uint64_t edge = frozen() ? hold::DipFilter::at(line, out.band, ahead_) : line;
  if (line != kUnlimited && out.usage >= edge) {
    if (int err = facts_.reclaimable(out.reclaimable)) return err;
  }
  const uint64_t needed = out.usage > out.reclaimable ? out.usage - out.reclaimable : 0;
  if (line != kUnlimited && needed >= edge) out.need = Need::kStarved;
  near_ = signals::is_near(needed, line, out.limit);
  pause_ = signals::pause(needed, line);
  // The last: a kill that shows in the usage has been counted.
  return facts_.kills(out.kills);
}

int SignalBackEnd::hold() {
  held_.store(true);
  return 0;
}

// On a helper: what follow() has asked for.
int SignalBackEnd::hold_slowly() {
  held_.store(true);
  Stopper& stopper = stops_->stopper;
  int64_t begun = sys::now_ns();
  bool stopping = stopper.wanted();
  bool found = stopping ? stopper.stop_all() : stopper.prepare();
  // The line was crossed meanwhile.
  if (!stopping && stopper.wanted()) {
    stopping = true;
    found = stopper.stop_all();
  }
  rounds_.done(begun, sys::now_ns(), stopping, found);
  return 0;
}

int SignalBackEnd::release() {
  held_.store(false);
  if (stops_) stops_->stopper.want(false);
  return 0;
}

int SignalBackEnd::follow(const Sample& sample) {
  if (!held_.load() || !stops_) return 0;
  Stopper& stopper = stops_->stopper;
  stopper.want(sample.starved());
  if (sample.starved()) {
    stopper.stop_known();
  } else if (!near_) {
    return 0;
  }
  return rounds_.due(sys::now_ns(), sample.starved()) ? -EAGAIN : 0;
}

int SignalBackEnd::freeze(bool frozen) {
  if (!stops_) return 0;
  Stopper& stopper = stops_->stopper;
  if (frozen) {
    stopper.want(true);
    stopper.stop_all();
  } else {
    stopper.go_on();
  }
  return 0;
}

}  // namespace oom
