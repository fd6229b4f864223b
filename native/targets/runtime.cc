// The little of libstdc++'s compiled part that the addon and its programs use, so that they need no
// libstdc++ of the machine they run on. The library's own objects would bring its exceptions along,
// and with them symbols of the newest glibc. What it has to do with trees and hash tables comes from
// its archive, where those objects stand alone (scripts/targets/build.mjs).
//
// Nothing here throws: as everywhere in native/, what the library would throw ends the process.
#include <sched.h>
#include <stdlib.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <new>

const std::nothrow_t std::nothrow{};

void* operator new(size_t size, const std::nothrow_t&) noexcept {
  return malloc(size == 0 ? 1 : size);
}
void* operator new(size_t size) {
  void* found = operator new(size, std::nothrow);
  if (found == nullptr) abort();
  return found;
}
void* operator new[](size_t size) { return operator new(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept {
  return operator new(size, std::nothrow);
}
void operator delete(void* at) noexcept { free(at); }
void operator delete(void* at, size_t) noexcept { free(at); }
void operator delete(void* at, const std::nothrow_t&) noexcept { free(at); }
void operator delete[](void* at) noexcept { free(at); }
void operator delete[](void* at, size_t) noexcept { free(at); }

namespace std {

void __throw_bad_alloc() { abort(); }
void __throw_bad_array_new_length() { abort(); }
void __throw_bad_function_call() { abort(); }
void __throw_length_error(const char*) { abort(); }
void __throw_logic_error(const char*) { abort(); }
void __throw_out_of_range_fmt(const char*, ...) { abort(); }
void __throw_system_error(int) { abort(); }

// Asked where there is no RTTI: the library's own answer there.
bool _Sp_make_shared_tag::_S_eq(const type_info&) noexcept { return false; }

}  // namespace std

extern "C" {

void __cxa_pure_virtual() { abort(); }

// A static of a function: byte 0 of the guard says that it is made (the compiler looks there first),
// byte 1 that a thread is making it.
int __cxa_guard_acquire(int64_t* guard) {
  auto* made = reinterpret_cast<std::atomic<uint8_t>*>(guard);
  while (made[1].exchange(1, std::memory_order_acquire) != 0) {
    if (made[0].load(std::memory_order_acquire) != 0) return 0;
    sched_yield();
  }
  return made[0].load(std::memory_order_acquire) == 0 ? 1 : 0;
}
void __cxa_guard_release(int64_t* guard) {
  auto* made = reinterpret_cast<std::atomic<uint8_t>*>(guard);
  made[0].store(1, std::memory_order_release);
}
void __cxa_guard_abort(int64_t* guard) {
  reinterpret_cast<std::atomic<uint8_t>*>(guard)[1].store(0, std::memory_order_release);
}
}
