#include "ic/proxy.h"

#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* The first variable that is set. HTTP_PROXY is none of them: a CGI server sets it for any "Proxy:"
 * header. */
static const char *find_variable(bool is_https, const char **value)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        bool is_for_http = i == 0, is_for_https = i == 1 || i == 2;
        if (is_https ? is_for_http : is_for_https)
            continue;
        if ((*value = variable(names[i])) != NULL)
            return names[i];
    }
    return NULL;
}

/* "host:port " of a proxy; nothing when it is no URL. */
static void format_name(const char *text, char *out, size_t size)
{
    char *host = NULL, *port = NULL, *scheme = NULL, *user = NULL;
    CURLU *url = curl_url();
    *out = '\0';
    if (url != NULL &&
        curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | CURLU_GUESS_SCHEME) ==
            CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK) {
        /* A password with a bare slash would be taken for a port and a path. */
        bool is_torn =
            strchr(text, '@') != NULL && curl_url_get(url, CURLUPART_USER, &user, 0) != CURLUE_OK;
        /* Without a port: 443 for https, else 1080 (CURLOPT_PROXY). */
        if (curl_url_get(url, CURLUPART_PORT, &port, 0) != CURLUE_OK)
            port = NULL;
        if (!is_torn)
            (void)snprintf(out, size, "%.100s:%s ", host,
                           port != NULL                   ? port
                           : strcmp(scheme, "https") == 0 ? "443"
                                                          : "1080");
    }
    curl_free(host);
    curl_free(port);
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
}

void ic_proxy_describe(const char *url, const char *given, char way[IC_PROXY_WAY])
{
    char name[128];
    const char *text = given;
    const char *from =
        given != NULL ? "option proxy" : find_variable(strncmp(url, "https:", 6) == 0, &text);
    bool has_exceptions = given == NULL && (variable("no_proxy") || variable("NO_PROXY"));
    way[0] = '\0';
    if (text == NULL || *text == '\0')
        return;
    format_name(text, name, sizeof name);
    (void)snprintf(way, IC_PROXY_WAY, "by way of the proxy %s(%s%s%s): ", name, from,
                   given != NULL ? "" : " in the environment",
                   has_exceptions ? ", unless no_proxy has an exception" : "");
}
