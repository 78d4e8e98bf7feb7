/* Inside runtime/: moving between the loop's stack and a fiber's, with what the sanitizers must be told. */
#ifndef RUNTIME_SWITCH_H
#define RUNTIME_SWITCH_H

#include "base/sanitize.h"
#include "runtime/context.h"
#include "runtime/worker.h"

#if B_ASAN
#include <sanitizer/common_interface_defs.h>
#endif
#if B_TSAN
#include <sanitizer/tsan_interface.h>
/* The switch happens between two instrumented frames; instrumenting this one would unbalance TSan's shadow stack. */
#define RT_SWITCH __attribute__((no_sanitize("thread"), noinline, unused)) static void
#else
/* Inlined, because every return after a switch is one that the processor predicts wrongly: it pairs calls with returns
 * without knowing of stacks. */
#define RT_SWITCH __attribute__((always_inline)) static inline void
#endif

/* From the loop: lets f run until it parks or ends. */
RT_SWITCH rt_switch_to_fiber(struct rt_worker *w, struct rt_fiber *f) {
#if B_ASAN
    __sanitizer_start_switch_fiber(&w->asan_loop_fake, f->stack->low, f->stack->size);
#endif
#if B_TSAN
    __tsan_switch_to_fiber(f->tsan_fiber, 0);
#endif
    rt_context_switch(&w->loop_context, f->context);
#if B_ASAN
    __sanitizer_finish_switch_fiber(w->asan_loop_fake, NULL, NULL);
#endif
}

/* From a fiber: back to the loop; returns when the fiber is let run again (never, when it is done). */
RT_SWITCH rt_switch_to_loop(struct rt_worker *w, struct rt_fiber *f, bool done) {
#if B_ASAN
    __sanitizer_start_switch_fiber(done ? NULL : &f->asan_fake_stack, w->asan_loop_bottom, w->asan_loop_size);
#endif
#if B_TSAN
    __tsan_switch_to_fiber(w->tsan_loop, 0);
#endif
    (void)done;
    rt_context_switch(&f->context, w->loop_context);
#if B_ASAN
    __sanitizer_finish_switch_fiber(f->asan_fake_stack, &w->asan_loop_bottom, &w->asan_loop_size);
#endif
}

/* First code on a fiber's stack. */
void rt_switch_arrived(struct rt_worker *w);
/* Before the first switch of a worker's thread, and for a fiber that will not run again. */
void rt_switch_open(struct rt_worker *w);
void rt_switch_fiber_new(struct rt_fiber *f);
void rt_switch_fiber_gone(struct rt_fiber *f);

#endif
