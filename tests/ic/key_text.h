/* Key files written in C, and a source of passwords for them. */
#ifndef CANISTERFS_TESTS_IC_KEY_TEXT_H
#define CANISTERFS_TESTS_IC_KEY_TEXT_H

#include "ic/identity_pem.h"

#include <string.h>

#define BEGIN(label)         "-----BEGIN " label "-----\n"
#define END(label)           "-----END " label "-----\n"
#define BLOCK(label, base64) BEGIN(label) base64 "\n" END(label)

/* A source of passwords that counts how often it is asked. */
struct asked {
    const char *password; /* NULL: fails */
    int n;
};

static inline int give(void *arg, const char *file, char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    struct asked *asked = arg;
    asked->n++;
    if (!asked->password)
        return ic_fail(err, IC_E_CONFIG, "%s: nobody there", file);
    memcpy(buf, asked->password, strlen(asked->password));
    return (int)strlen(asked->password);
}

#endif
