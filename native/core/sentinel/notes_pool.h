// Where the notes of episodes lie until JavaScript has read them: as many as are wanted at a time in
// practice, for the whole process. An episode that finds none free goes without, and notes that are
// not read in time are overwritten, the oldest first: neither costs the episode anything else.
//
// A ticket names one use of one seat. take(), finish() and drop() are the sentinel's (drop() also
// of the thread that frees a group which the sentinel has left); read() is any other thread's.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/rules/episode_notes.h"
#include "core/sys/status.h"

namespace oom {

class NotesPool {
 public:
  static constexpr uint64_t kSeats = 64;
  struct Seat;

  // Before the first guard, on a thread that may allocate. What it makes is never freed.
  static Status start();
  // Null: none is free.
  static Seat* take();
  static EpisodeNotes& notes(Seat& seat);
  // Ready to be read: the ticket.
  static uint64_t finish(Seat& seat);
  static void drop(Seat& seat);
  // Copies them and frees their seat. False: they have been overwritten.
  static bool read(uint64_t ticket, EpisodeNotes& out);
};

}  // namespace oom
