#include "core/locked.h"

#include <pthread.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdint>

#include "core/lock.h"

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
};
constexpr size_t kFirst = (sizeof(Chunk) + kAlign - 1) & ~(kAlign - 1);
static_assert(kFirst + locked_most() <= kChunk);

pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
Chunk* chunks = nullptr;

void* map_aligned() {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS;
  void* at = mmap(nullptr, 2 * kChunk, PROT_NONE, kFlags | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  auto begin = reinterpret_cast<uintptr_t>(at);
  uintptr_t aligned = (begin + kChunk - 1) & ~(kChunk - 1);
  if (aligned > begin) munmap(at, aligned - begin);
  if (size_t rest = begin + kChunk - aligned) {
    munmap(reinterpret_cast<void*>(aligned + kChunk), rest);
  }
  void* chunk = reinterpret_cast<void*>(aligned);
  void* made =
      mmap(chunk, kChunk, PROT_READ | PROT_WRITE, kFlags | MAP_FIXED | MAP_POPULATE, -1, 0);
  if (made != MAP_FAILED) return made;
  int saved = errno;
  munmap(chunk, kChunk);
  errno = saved;
  return nullptr;
}

Chunk* grow(size_t slot_size, Status& status) {
  void* at = map_aligned();
  if (!at) {
    status = Status::last("mmap");
    return nullptr;
  }
  if (int err = LockedRegions::add(at, kChunk)) {
    status = Status::of(err, "mlock", kMemlockLimit);
    munmap(at, kChunk);
    return nullptr;
  }
  auto* chunk = new (at) Chunk{chunks, nullptr, nullptr, slot_size, 0};
  for (size_t offset = kFirst; offset + slot_size <= kChunk; offset += slot_size) {
    chunk->free = new (static_cast<char*>(at) + offset) Slot{chunk->free};
  }
  if (chunks) chunks->previous = chunk;
  chunks = chunk;
  return chunk;
}

}  // namespace

void* locked_alloc(size_t size, Status& status) {
  size_t slot_size = (size + kAlign - 1) & ~(kAlign - 1);
  status = Status::success();
  pthread_mutex_lock(&lock);
  Chunk* chunk = chunks;
  while (chunk && (chunk->slot_size != slot_size || !chunk->free)) chunk = chunk->next;
  if (!chunk) chunk = grow(slot_size, status);
  Slot* slot = chunk ? chunk->free : nullptr;
  if (slot) {
    chunk->free = slot->next;
    chunk->used++;
  }
  pthread_mutex_unlock(&lock);
  return slot;
}

void locked_free(void* at) {
  auto* chunk = reinterpret_cast<Chunk*>(reinterpret_cast<uintptr_t>(at) & ~(kChunk - 1));
  pthread_mutex_lock(&lock);
  chunk->free = new (at) Slot{chunk->free};
  if (--chunk->used == 0) {
    if (chunk->next) chunk->next->previous = chunk->previous;
    (chunk->previous ? chunk->previous->next : chunks) = chunk->next;
    LockedRegions::remove(chunk, kChunk);
    munmap(chunk, kChunk);
  }
  pthread_mutex_unlock(&lock);
}

}  // namespace oom
