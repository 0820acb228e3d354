#include "fs/url.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* The syntax as far as it concerns the user; the agent looks at the rest. */
static bool is_url(const char *text)
{
    size_t scheme_len = strncmp(text, "https://", 8) == 0  ? 8
                        : strncmp(text, "http://", 7) == 0 ? 7
                                                           : 0;
    const char *host = text + scheme_len;
    size_t host_len = strcspn(host, "/");
    if (scheme_len == 0 || host_len == 0 || host[0] == ':')
        return false;
    if (memchr(host, '@', host_len) || strpbrk(host, "?#\\"))
        return false;
    for (const char *p = host; *p; p++)
        if ((unsigned char)*p <= ' ' || (unsigned char)*p >= 0x7f)
            return false;
    const char *colon = memrchr(host, ':', host_len);
    if (!colon || memchr(colon, ']', host_len - (size_t)(colon - host)))
        return true;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    return colon[1] >= '0' && colon[1] <= '9' && end == host + host_len && port <= UINT16_MAX;
}

bool fs_url_is_network(const char *text)
{
    return strcmp(text, "ic") == 0 || strcmp(text, "local") == 0 || is_url(text);
}

bool fs_url_is_proxy(const char *text)
{
    const char *host = is_url(text) ? strstr(text, "://") + 3 : text;
    size_t host_len = strcspn(host, "/");
    return strcmp(text, "none") == 0 ||
           (host != text && host[host_len + strspn(host + host_len, "/")] == '\0');
}
