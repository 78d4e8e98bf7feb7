/* Fiber stacks: address space of a fixed size each, of which only the touched pages are memory, with a guard page at
 * the low end. A pool per worker keeps them warm (last in, first out) and gives back what a quiet second did not
 * need. Under AddressSanitizer nothing is pooled. */
#ifndef RUNTIME_STACK_H
#define RUNTIME_STACK_H

#include <stddef.h>
#include <stdint.h>

struct rt_stack {
    struct rt_stack *next; /* in the pool */
    char *low;             /* lowest usable byte, above the guard */
    size_t size;           /* usable bytes */
    unsigned valgrind_id;
    uint32_t pages; /* accounted: touched, as far as is known */
};
/* The record itself lies at the top of the stack's own memory: what is above (char *)stack is not to be touched. */

struct rt_stack_pool {
    struct rt_stack *free;
    uint32_t count, low_mark; /* free now; fewest free since the last trim */
    uint32_t taken, mapped;   /* since start; taken, for sampling */
    uint32_t usual;           /* pages that the stack that was measured last had touched */
    size_t high_water;        /* most bytes of one stack seen in use; sampled */
    size_t stack_bytes;       /* whole mapping of one stack, guard included */
};

void rt_stack_pool_init(struct rt_stack_pool *p, size_t stack_bytes);
void rt_stack_pool_free(struct rt_stack_pool *p);
/* NULL when the kernel gives no more memory or mappings. */
struct rt_stack *rt_stack_take(struct rt_stack_pool *p);
void rt_stack_give(struct rt_stack_pool *p, struct rt_stack *s);
/* Once a second: unmaps half of the stacks that stood unused since the last call. */
void rt_stack_pool_trim(struct rt_stack_pool *p);
/* How many stacks the kernel's map count allows this process (vm.max_map_count), for clamping the fiber limit. */
uint32_t rt_stack_limit(void);
/* Bytes of the stack that have been touched, to a word (reads only resident pages). */
size_t rt_stack_used(const struct rt_stack *s);

#endif
