/* URLs in options. No password is taken in one: it would get into status, syslog and the process
 * list. */
#ifndef CANISTERFS_FS_URL_H
#define CANISTERFS_FS_URL_H

#include <stdbool.h>

/* `ic`, `local`, or an http(s) URL without user and password. */
bool fs_url_is_network(const char *text) __attribute__((nonnull));

/* `none`, or an http(s) URL of a name and a port alone. */
bool fs_url_is_proxy(const char *text) __attribute__((nonnull));

#endif
