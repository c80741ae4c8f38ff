// Marks memory that must not be touched, for AddressSanitizer; does nothing in a build without it.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define PULLBACK_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PULLBACK_ASAN 1
#endif
#endif

#if defined(PULLBACK_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace pullback {

#if defined(PULLBACK_ASAN)
constexpr bool kPoisons = true;
static inline void poison(void* p, int64_t bytes) { __asan_poison_memory_region(p, bytes); }
static inline void unpoison(void* p, int64_t bytes) { __asan_unpoison_memory_region(p, bytes); }
#else
constexpr bool kPoisons = false;
static inline void poison(void*, int64_t) {}
static inline void unpoison(void*, int64_t) {}
#endif

}  // namespace pullback
