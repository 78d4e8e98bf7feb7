/* What the sanitizers are told: poisoned arenas and pools here, stack switches in runtime/fiber.c. */
#ifndef BASE_SANITIZE_H
#define BASE_SANITIZE_H

#if defined(__SANITIZE_ADDRESS__)
#define B_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define B_ASAN 1
#endif
#endif
#ifndef B_ASAN
#define B_ASAN 0
#endif

#if defined(__SANITIZE_THREAD__)
#define B_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define B_TSAN 1
#endif
#endif
#ifndef B_TSAN
#define B_TSAN 0
#endif

#if B_ASAN
#include <sanitizer/asan_interface.h>
#define B_POISON(p, n) __asan_poison_memory_region((p), (n))
#define B_UNPOISON(p, n) __asan_unpoison_memory_region((p), (n))
#else
#define B_POISON(p, n) ((void)(p), (void)(n))
#define B_UNPOISON(p, n) ((void)(p), (void)(n))
#endif

#endif
