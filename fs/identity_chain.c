/* Delegation chains as files: see identity_chain.h. */
#include "fs/identity_chain.h"

#include "fs/small_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct reader {
    const char *name;
    size_t at; /* number of the delegation at hand; 0 outside */
    struct ic_arena *arena;
    struct ic_error *err;
};

static int fail(const struct reader *r, const char *what)
{
    if (r->at == 0)
        return ic_fail(r->err, IC_E_CONFIG, "delegation file %.250s: %s", r->name, what);
    return ic_fail(r->err, IC_E_CONFIG, "delegation file %.250s: delegation %zu: %s", r->name,
                   r->at, what);
}

static int alloc(const struct reader *r, size_t n, size_t size, void **out)
{
    if (ic_arena_alloc(r->arena, n, size, out) == 0)
        return 0;
    return ic_fail(r->err, IC_E_NO_MEMORY, "delegation file %.250s: out of memory", r->name);
}

/* ---- values ---- */

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_hex(const struct reader *r, const json_t *value, const char *what,
                    struct ic_view *out)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    void *room = NULL;
    if (!text || len % 2 != 0)
        return fail(r, what);
    if (alloc(r, len / 2, 1, &room) < 0)
        return -ENOMEM;
    uint8_t *bytes = room;
    for (size_t i = 0; i < len / 2; i++) {
        int high = nibble(text[2 * i]), low = nibble(text[2 * i + 1]);
        if (high < 0 || low < 0)
            return fail(r, what);
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    *out = ic_view(bytes, len / 2);
    return 0;
}

static int read_expiration(const struct reader *r, const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    uint64_t number = 0;
    if (!text || len < 1 || len > 16)
        return fail(r, "'expiration' is not a number in hex digits");
    for (size_t i = 0; i < len; i++) {
        int digit = nibble(text[i]);
        if (digit < 0)
            return fail(r, "'expiration' is not a number in hex digits");
        number = number << 4 | (uint64_t)digit;
    }
    *out = number;
    return 0;
}

static int read_targets(const struct reader *r, const json_t *value, struct ic_delegation *out)
{
    static const char what[] = "'targets' is not a list of principals in hex digits";
    size_t n = json_array_size(value);
    void *room = NULL;
    if (!value || json_is_null(value))
        return 0;
    if (!json_is_array(value))
        return fail(r, what);
    if (alloc(r, n, sizeof(struct ic_principal), &room) < 0)
        return -ENOMEM;
    struct ic_principal *targets = room;
    for (size_t i = 0; i < n; i++) {
        struct ic_view bytes;
        int result = read_hex(r, json_array_get(value, i), what, &bytes);
        if (result < 0)
            return result;
        if (ic_principal_from_bytes(bytes.bytes, bytes.len, &targets[i]) < 0)
            return fail(r, what);
    }
    out->has_targets = true;
    out->targets = targets;
    out->n_targets = n;
    return 0;
}

static int read_permissions(const struct reader *r, const json_t *value, struct ic_view *out)
{
    void *room = NULL;
    if (!value || json_is_null(value))
        return 0;
    size_t len = json_string_length(value);
    if (!json_is_string(value))
        return fail(r, "'permissions' is not a text");
    if (alloc(r, len + 1, 1, &room) < 0) /* not NULL when empty: it is there */
        return -ENOMEM;
    memcpy(room, json_string_value(value), len + 1);
    *out = ic_view(room, len);
    return 0;
}

/* ---- the chain ---- */

/* An object with no keys but these. */
static bool has_only(const json_t *object, const char *const *keys, size_t n)
{
    size_t found = 0;
    if (!json_is_object(object))
        return false;
    for (size_t i = 0; i < n; i++)
        found += json_object_get(object, keys[i]) != NULL;
    return found == json_object_size(object);
}

static int read_link(const struct reader *r, const json_t *signed_delegation,
                     struct ic_delegation *out)
{
    static const char *const outer[] = {"delegation", "signature"};
    static const char *const inner[] = {"pubkey", "expiration", "targets", "permissions"};
    const json_t *delegation = json_object_get(signed_delegation, "delegation");
    *out = (struct ic_delegation){0};
    if (!has_only(signed_delegation, outer, 2) || !has_only(delegation, inner, 4))
        return fail(r, "not an object with 'delegation' (of 'pubkey', 'expiration', 'targets' and "
                       "'permissions') and 'signature' alone");
    int result = read_hex(r, json_object_get(delegation, "pubkey"),
                          "'pubkey' is not a key in hex digits", &out->pubkey);
    if (result == 0)
        result = read_expiration(r, json_object_get(delegation, "expiration"), &out->expiration_ns);
    if (result == 0)
        result = read_targets(r, json_object_get(delegation, "targets"), out);
    if (result == 0)
        result = read_permissions(r, json_object_get(delegation, "permissions"), &out->permissions);
    if (result == 0)
        result = read_hex(r, json_object_get(signed_delegation, "signature"),
                          "'signature' is not in hex digits", &out->signature);
    return result;
}

static int read_chain(struct reader *r, const json_t *root, struct ic_delegation_chain *out)
{
    const json_t *list = json_object_get(root, "delegations");
    size_t n = json_array_size(list);
    void *room = NULL;
    if (!json_is_object(root) || !json_is_array(list))
        return fail(r, "no delegation chain: not an object with 'publicKey' and 'delegations'");
    struct ic_delegation_chain chain = {.n = n};
    int result = read_hex(r, json_object_get(root, "publicKey"),
                          "'publicKey' is not a key in hex digits", &chain.public_key);
    if (result == 0)
        result = alloc(r, n, sizeof(struct ic_delegation), &room);
    if (result < 0)
        return result;
    struct ic_delegation *links = room;
    for (size_t i = 0; i < n && result == 0; i++) {
        r->at = i + 1;
        result = read_link(r, json_array_get(list, i), &links[i]);
    }
    chain.links = links;
    if (result == 0)
        *out = chain;
    return result;
}

int fs_identity_chain_parse(const char *name, const char *text, size_t len, struct ic_arena *arena,
                            struct ic_delegation_chain *out, struct ic_error *err)
{
    struct reader r = {.name = name, .arena = arena, .err = err};
    json_error_t error;
    if (len > FS_IDENTITY_CHAIN_MAX)
        return fail(&r, "too large");
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return ic_fail(err, IC_E_CONFIG, "delegation file %.250s: no JSON: line %d: %s", name,
                       error.line, error.text);
    int result = read_chain(&r, root, out);
    json_decref(root);
    return result;
}

int fs_identity_chain_apply(const char *path, struct ic_identity *id, int64_t now_ns,
                            struct ic_error *err)
{
    char *text = NULL;
    size_t len = 0;
    struct ic_delegation_chain chain;
    struct ic_error cause = {0};
    int result = fs_small_file_read(path, FS_IDENTITY_CHAIN_MAX, &text, &len);
    if (result < 0)
        return ic_fail(err, result == -ENOMEM ? IC_E_NO_MEMORY : IC_E_CONFIG,
                       "delegation file %.250s: %s", path, fs_small_file_words(result));
    struct ic_arena arena;
    ic_arena_init(&arena, 16 * FS_IDENTITY_CHAIN_MAX);
    result = fs_identity_chain_parse(path, text, len, &arena, &chain, err);
    if (result == 0 && (result = ic_identity_delegate(id, &chain, now_ns, &cause)) < 0)
        result = ic_fail(err, cause.code, "delegation file %.200s: %s", path, cause.message);
    ic_arena_fini(&arena);
    free(text);
    return result;
}
