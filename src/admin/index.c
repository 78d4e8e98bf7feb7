/* `/`: a page of links, until the dashboard takes its place. */
#include "admin/answer.h"

static void add_row(struct b_text *t, const struct adm_path *p) {
    b_text_lit(t, "<tr><td>");
    b_text_cstr(t, p->methods == ADM_POST ? "POST" : p->methods & ADM_PUT ? "GET, PUT" : "GET");
    if (p->methods & ADM_GET)
        b_text_printf(t, "<td><a href=\"%s\">%s</a>", p->path, p->path);
    else
        b_text_printf(t, "<td>%s", p->path);
    b_text_printf(t, "<td>%s\n", p->summary);
}

int adm_index(struct exchange *ex) {
    struct b_text t = adm_text();
    b_text_lit(&t,
               "<!doctype html><html lang=en><meta charset=utf-8><title>weir</title>\n"
               "<style>body{font:16px sans-serif;margin:2em}td{padding:.2em 1em .2em 0}</style>\n"
               "<h1>weir " WEIR_VERSION "</h1>\n<p>The dashboard is not built yet. What is here:\n<table>\n");
    for (const struct adm_path *p = adm_paths; p->path; p++)
        add_row(&t, p);
    b_text_lit(&t, "</table></html>\n");
    return adm_answer_text(ex, 200, B_LIT("text/html; charset=utf-8"), &t);
}
