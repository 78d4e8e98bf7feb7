/* What every service takes instead of the exchange: where to allocate, until when to wait. First member of struct
 * exchange. */
#ifndef RUNTIME_CALL_H
#define RUNTIME_CALL_H

#include "base/arena.h"
#include "runtime/time.h"

struct rt_call {
    struct b_arena arena; /* of the request: given back whole at its end */
    rt_time deadline;     /* no wait on behalf of this call goes past it */
};

#endif
