/* Which proxy libcurl takes for a URL, in words: for messages about what went wrong on the way. (It
 * tells itself whether it took one, but only from version 8.7 on, and never where it was named.)
 *
 * Source: libcurl manual, CURLOPT_PROXY, "Environment variables".
 */
#ifndef CANISTERFS_IC_PROXY_H
#define CANISTERFS_IC_PROXY_H

#include "ic/attr.h"

#define IC_PROXY_WAY 256

/* given  the configuration's (ic_http_config); may be NULL
 * way    fills: "by way of the proxy HOST:PORT (where it is named): ", "" without a proxy. Never
 *        with its user and password
 *
 * Reads the environment, as libcurl does.
 */
void ic_proxy_describe(const char *url, const char *given, char way[IC_PROXY_WAY]) IC_NONNULL(1, 3);

#endif
