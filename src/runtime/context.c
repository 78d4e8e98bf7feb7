#include "runtime/context.h"

#include <stdint.h>
#include <string.h>

void rt_context_start(void); /* context.S */

#if defined(__x86_64__)
#define SAVED 7 /* r15 r14 r13 r12 rbx rbp, return address */
#define ENTRY 4
#define RETURN 6
#else
#define SAVED 20
#define ENTRY 0
#define RETURN 11
#endif

void *rt_context_make(void *stack_top, void (*entry)(void)) {
    /* two spare words, so that rt_context_start's push leaves the stack aligned as at a call */
    void **sp = (void **)((uintptr_t)stack_top & ~(uintptr_t)15) - SAVED - (SAVED & 1) - 2;
    memset(sp, 0, SAVED * sizeof *sp);
    sp += SAVED & 1;
    sp[ENTRY] = (void *)(uintptr_t)entry;
    sp[RETURN] = (void *)(uintptr_t)rt_context_start;
    return sp;
}
