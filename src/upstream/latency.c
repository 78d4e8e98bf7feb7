#include "upstream/latency.h"

#define UNKNOWN_COST \
    (UINT64_MAX / 2)  /* of one that has never answered, and has something to: more than any other */
#define PENALTY RT_MS /* that a failure adds */
#define PENALTY_MAX (10 * RT_S)
#define FRESH (UP_LATENCY_DECAY / 128) /* less than a percent is forgotten by then: not reckoned */

/* exp(-t / decay), within some percent: the exponent of a float is set (after Schraudolph 1999). */
static double decay(rt_time t) {
    union {
        uint32_t bits;
        float value;
    } f;
    double x = t <= 0 ? 0 : (double)t * (1.4426950408889634 / UP_LATENCY_DECAY);
    if (x > 100)
        return 0;
    f.bits = (uint32_t)((127 - x) * 8388608.0 + 0.5);
    return (double)f.value;
}

static uint64_t average(const struct up_endpoint *e, rt_time now) {
    struct up_latency *l = &((struct up_endpoint *)(uintptr_t)e)->latency;
    uint64_t ns = atomic_load_explicit(&l->average, memory_order_relaxed);
    rt_time age = now - atomic_load_explicit(&l->at, memory_order_relaxed);
    return age < FRESH || !ns ? ns : (uint64_t)((double)ns * decay(age)) + 1;
}

uint64_t up_latency(const struct up_endpoint *e, rt_time now) {
    return average(e, now);
}

void up_latency_observe(struct up_endpoint *e, rt_time took, rt_time now) {
    struct up_latency *l = &e->latency;
    uint64_t old = atomic_load_explicit(&l->average, memory_order_relaxed);
    double sample = took > 1000 ? (double)took : 1000;
    double value = sample;
    if (old) {
        /* between two samples the average moves by the time that lies between them, and by a little at least */
        double keep = decay(now - atomic_load_explicit(&l->at, memory_order_relaxed));
        keep = keep > 0.95 ? 0.95 : keep;
        value = sample > (double)old ? sample : (double)old * keep + sample * (1 - keep);
    }
    atomic_store_explicit(&l->average, (uint64_t)value, memory_order_relaxed);
    atomic_store_explicit(&l->at, now, memory_order_relaxed);
}

void up_latency_punish(struct up_endpoint *e, rt_time took, rt_time now) {
    rt_time sample = (rt_time)(2 * average(e, now)) + PENALTY;
    sample = sample > took ? sample : took;
    up_latency_observe(e, sample < PENALTY_MAX ? sample : PENALTY_MAX, now);
}

void up_latency_at_least(struct up_endpoint *e, rt_time took, rt_time now) {
    if (took > 0 && (uint64_t)took > average(e, now))
        up_latency_observe(e, took, now);
}

uint64_t up_cost(const struct up_endpoint *e, rt_time now) {
    uint32_t load = up_load(e);
    uint64_t latency = average(e, now);
    if (load) {
        rt_time since =
            atomic_load_explicit(&((struct up_endpoint *)(uintptr_t)e)->latency.since, memory_order_relaxed);
        uint64_t silent = now > since ? (uint64_t)(now - since) : 0;
        if (!latency)
            return UNKNOWN_COST;
        latency = silent > latency ? silent : latency;
    }
    return latency * (load + 1); /* 10 s times 4 billion fit */
}
