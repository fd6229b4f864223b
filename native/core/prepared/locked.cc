#include "core/prepared/locked.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstdint>
#include <mutex>

#include "core/prepared/image_ranges.h"
#include "core/prepared/mlock.h"

namespace oom {
namespace {

constexpr size_t kChunk = 128 * 1024;  // also its alignment: that is how a slot finds its chunk
constexpr size_t kAlign = 64;

struct Slot {
  Slot* next;
};

struct Chunk {
  Chunk* next;
  Chunk* previous;
  Slot* free;
  size_t slot_size;
  size_t used;
  size_t fresh;     // where the slots begin that were never used
  size_t resident;  // how much of the chunk is resident: all used slots, and the rest of a page
  Keep keep;

  bool has_room() const { return free || fresh + slot_size <= kChunk; }
};
constexpr size_t kFirst = (sizeof(Chunk) + kAlign - 1) & ~(kAlign - 1);
static_assert(kFirst + locked_most() <= kChunk);

std::mutex lock;
Chunk* chunks = nullptr;

// Apart from children before there is a page that could be shared.
void* map_aligned(Status& status) {
  void* at =
      mmap(nullptr, 2 * kChunk, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) {
    status = Status::last("mmap");
    return nullptr;
  }
  auto begin = reinterpret_cast<uintptr_t>(at);
  uintptr_t aligned = (begin + kChunk - 1) & ~(kChunk - 1);
  if (aligned > begin) munmap(at, aligned - begin);
  if (size_t rest = begin + kChunk - aligned) {
    munmap(reinterpret_cast<void*>(aligned + kChunk), rest);
  }
  void* chunk = reinterpret_cast<void*>(aligned);
  if (madvise(chunk, kChunk, MADV_DONTFORK) != 0) {
    status = Status::last("madvise");
  } else if (mprotect(chunk, kChunk, PROT_READ | PROT_WRITE) != 0) {
    status = Status::last("mprotect");
  } else {
    status = make_resident(chunk, sizeof(Chunk));
  }
  if (status.ok()) return chunk;
  munmap(chunk, kChunk);
  return nullptr;
}

Chunk* grow(size_t slot_size, Keep keep, Status& status) {
  void* at = map_aligned(status);
  if (!at) return nullptr;
  if (int err = keep == Keep::kLocked ? LockedRegions::add(at, kChunk) : 0) {
    status = Status::of(err, "mlock", kMemlockLimit);
    munmap(at, kChunk);
    return nullptr;
  }
  auto* chunk = new (at) Chunk{chunks, nullptr, nullptr, slot_size, 0, kFirst, kFirst, keep};
  if (chunks) chunks->previous = chunk;
  chunks = chunk;
  return chunk;
}

void* take(Chunk& chunk, Status& status) {
  void* slot = chunk.free;
  if (slot) {
    chunk.free = chunk.free->next;
  } else {
    slot = reinterpret_cast<char*>(&chunk) + chunk.fresh;
    if (chunk.fresh + chunk.slot_size > chunk.resident) {
      Range pages = pages_of(slot, chunk.slot_size);
      status = make_resident(reinterpret_cast<void*>(pages.begin), pages.size());
      if (!status.ok()) return nullptr;
      chunk.resident = pages.end - reinterpret_cast<uintptr_t>(&chunk);
    }
    chunk.fresh += chunk.slot_size;
  }
  chunk.used++;
  return slot;
}

uintptr_t chunk_at(const void* at) { return reinterpret_cast<uintptr_t>(at) & ~(kChunk - 1); }

}  // namespace

void* locked_alloc(size_t size, Keep keep, Status& status) {
  size_t slot_size = (size + kAlign - 1) & ~(kAlign - 1);
  status = Status::success();
  std::lock_guard held(lock);
  Chunk* chunk = chunks;
  while (chunk && (chunk->keep != keep || chunk->slot_size != slot_size || !chunk->has_room())) {
    chunk = chunk->next;
  }
  if (!chunk) chunk = grow(slot_size, keep, status);
  return chunk ? take(*chunk, status) : nullptr;
}

void locked_free(void* at) {
  auto* chunk = reinterpret_cast<Chunk*>(chunk_at(at));
  std::lock_guard held(lock);
  size_t offset = reinterpret_cast<uintptr_t>(at) - chunk_at(at) - kFirst;
  char* slot =
      reinterpret_cast<char*>(chunk) + kFirst + offset / chunk->slot_size * chunk->slot_size;
  chunk->free = new (slot) Slot{chunk->free};
  if (--chunk->used == 0) {
    if (chunk->next) chunk->next->previous = chunk->previous;
    (chunk->previous ? chunk->previous->next : chunks) = chunk->next;
    if (chunk->keep == Keep::kLocked) LockedRegions::remove(chunk, kChunk);
    munmap(chunk, kChunk);
  }
}

bool is_apart(const void* at) {
  std::lock_guard held(lock);
  Chunk* chunk = chunks;
  while (chunk && reinterpret_cast<uintptr_t>(chunk) != chunk_at(at)) chunk = chunk->next;
  return chunk != nullptr;
}

}  // namespace oom
