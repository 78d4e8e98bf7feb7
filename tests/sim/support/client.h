/* The clients in front of the gateway. */
#ifndef SIM_SUPPORT_CLIENT_H
#define SIM_SUPPORT_CLIENT_H

/* Runs this worker's clients to their end. From a fiber. */
void clients_run(void *arg);

#endif
