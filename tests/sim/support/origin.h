/* The origins behind the gateway: two of them, which answer in every framing, and in bad weather wrongly. */
#ifndef SIM_SUPPORT_ORIGIN_H
#define SIM_SUPPORT_ORIGIN_H

/* Opens their listeners and begins to accept, in world.origins. From a fiber. */
void origins_start(void);
/* Ends all of them. */
void origins_stop(void);

#endif
