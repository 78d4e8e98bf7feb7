/* Reads the config from disk: a file, or all *.yaml and *.yml of a directory in the order of their names. The only
 * place of this folder that touches the world; called at start and from the reload's helper thread, as it blocks. */
#ifndef CONFIG_FILES_H
#define CONFIG_FILES_H

#include "config/node.h"

#define CFG_FILES_MAX 256 /* of a directory */

struct cfg_files {
    struct cfg_source *sources; /* owned, names and bytes too */
    size_t count;
};

/* Fills *out. 0, or -EINVAL (not found, unreadable, too large, no file in the directory: errors says what), or -ENOMEM;
 * *out is then empty. */
int cfg_files_read(const char *path, struct cfg_files *out, struct cfg_errors *errors)
    __attribute__((warn_unused_result));
/* Sources must outlive the arena of a load that used them. */
void cfg_files_free(struct cfg_files *f);

#endif
