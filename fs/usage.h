/* What the program says about itself: --help and the manual page, both from the same tables. */
#ifndef CANISTERFS_FS_USAGE_H
#define CANISTERFS_FS_USAGE_H

#include <stdio.h>

void fs_usage_print_help(FILE *to);

/* roff, man macros. */
void fs_usage_print_man_page(FILE *to);

#endif
