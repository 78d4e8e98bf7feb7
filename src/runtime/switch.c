#include "runtime/switch.h"

void rt_switch_open(struct rt_worker *w) {
#if B_TSAN
    w->tsan_loop = __tsan_get_current_fiber();
#endif
    (void)w;
}

void rt_switch_fiber_new(struct rt_fiber *f) {
#if B_TSAN
    f->tsan_fiber = __tsan_create_fiber(0);
#endif
    (void)f;
}

void rt_switch_fiber_gone(struct rt_fiber *f) {
#if B_TSAN
    __tsan_destroy_fiber(f->tsan_fiber);
#endif
    (void)f;
}

void rt_switch_arrived(struct rt_worker *w) {
#if B_ASAN
    __sanitizer_finish_switch_fiber(NULL, &w->asan_loop_bottom, &w->asan_loop_size);
#endif
    (void)w;
}
