#include "tests/ic/pem_vectors.h"

#include "ic/identity_pem.h"
#include "tests/ic/vectors.h"

static int give(void *arg, const char *file, char buf[IC_PASSWORD_MAX], struct ic_error *err)
{
    const char *word = arg;
    (void)file, (void)err;
    memcpy(buf, word, strlen(word));
    return (int)strlen(word);
}

static bool is_expected(const struct ic_identity *id, const char *expected)
{
    static const char der_prefix[] = "public key DER ";
    char text[IC_PRINCIPAL_TEXT];
    if (strncmp(expected, der_prefix, sizeof(der_prefix) - 1) == 0) {
        struct ic_buf der = vector_unhex(expected + sizeof(der_prefix) - 1);
        bool is_same = ic_view_equal(ic_identity_public_key_der(id), ic_view(der.bytes, der.len));
        ic_buf_fini(&der);
        return is_same;
    }
    ic_principal_format(ic_identity_principal(id), text);
    return strlen(text) == strcspn(expected, " ") && strncmp(text, expected, strlen(text)) == 0;
}

/* The word after "(password ", or NULL. */
static const char *password_of(const char *expected, char word[64])
{
    const char *at = strstr(expected, "(password ");
    size_t len = at ? strcspn(at + 10, ")") : 0;
    if (len == 0 || len >= 64)
        return NULL;
    memcpy(word, at + 10, len);
    word[len] = '\0';
    return word;
}

/* Opens with this password (NULL: there is none to be had), or does not. */
static bool opens(const char *path, const char *word, const char *expected, struct ic_error *err)
{
    const struct ic_password password = {.get = give, .arg = (void *)(uintptr_t)word};
    struct ic_identity *id = NULL;
    bool ok = ic_identity_open_pem(path, word ? &password : NULL, &id, err) == 0 &&
              is_expected(id, expected);
    ic_identity_free(id);
    return ok;
}

void pem_vector_check(const char *path, const char *expected,
                      void (*check)(bool ok, const char *name, const char *what,
                                    const char *detail))
{
    char word[64];
    struct ic_error err = {0};
    const char *password = password_of(expected, word);
    bool is_bad = strcmp(expected, "must be rejected") == 0 || strstr(expected, "(only when ");
    bool is_open = opens(path, password ? password : "unasked", expected, &err);
    check(is_open == !is_bad, path, is_bad ? "must be rejected" : "whose key it is", err.message);
    if (!password)
        return;
    check(!opens(path, NULL, expected, &err), path, "without its password", "");
    word[0] ^= 1;
    check(!opens(path, word, expected, &err), path, "with another password", "");
}
