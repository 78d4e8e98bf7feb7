/* Figures of upstreams and endpoints in the metrics that are read at the scrape. For the folder only. */
#ifndef UPSTREAM_FIGURES_H
#define UPSTREAM_FIGURES_H

struct up_registry;
struct up_figures;

/* From now on a scrape shows what the registry has. NULL when memory is short. */
struct up_figures *up_figures_new(struct up_registry *r);
void up_figures_free(struct up_figures *f);

#endif
