/* The switch between two stacks: callee-saved registers go onto the old stack, its pointer is stored, the new one is
 * loaded. One assembly file per architecture; both end in an indirect jump, because a `ret` would miss the return
 * stack of the branch predictor at every switch. The floating-point control words are not switched: weir never
 * changes them. */
#ifndef RUNTIME_CONTEXT_H
#define RUNTIME_CONTEXT_H

/* Saves the current context in *save and goes on at `to`. Returns when somebody switches back. */
void rt_context_switch(void **save, void *to);
/* Makes a context at the top of a stack (16-byte aligned address) whose first switch calls entry(), which must never
 * return. */
void *rt_context_make(void *stack_top, void (*entry)(void));

#endif
