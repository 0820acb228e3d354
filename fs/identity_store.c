/* Identities by name: see identity_store.h. */
#include "fs/identity_store.h"

#include "fs/small_file.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define STORE_FILE_MAX ((size_t)1024 * 1024)

const char *fs_identity_store_name(enum fs_identity_store store)
{
    return store == FS_IDENTITY_ICP ? "icp-cli" : "dfx";
}

void fs_identity_place_fini(struct fs_identity_place *place)
{
    free(place->key_file);
    free(place->chain_file);
    *place = (struct fs_identity_place){0};
}

static int fail_memory(struct ic_error *err)
{
    return ic_fail(err, IC_E_NO_MEMORY, "identity: out of memory");
}

/* ---- directories ---- */

/* An environment variable that holds an absolute path, or NULL. */
static const char *directory_of(const char *variable)
{
    const char *value = getenv(variable);
    return value && value[0] == '/' ? value : NULL;
}

static char *join(const char *first, const char *second)
{
    char *path;
    return asprintf(&path, "%s/%s", first, second) < 0 ? NULL : path;
}

/* Returns 0; -ENOENT when the environment does not tell; -ENOMEM. */
static int find_directory(enum fs_identity_store store, char **out)
{
    const char *home = directory_of("HOME");
    const char *base = directory_of(store == FS_IDENTITY_ICP ? "ICP_HOME" : "DFX_CONFIG_ROOT");
    const char *data = directory_of("XDG_DATA_HOME");
    if (store == FS_IDENTITY_DFX) {
        base = base ? base : home;
        *out = base ? join(base, ".config/dfx/identity") : NULL;
    } else if (base) {
        *out = join(base, "identity");
    } else if (data) {
        base = data;
        *out = join(base, "icp-cli/identity");
    } else {
        base = home;
        *out = base ? join(base, ".local/share/icp-cli/identity") : NULL;
    }
    return *out ? 0 : base ? -ENOMEM : -ENOENT;
}

/* Names become parts of paths. */
static bool is_name(const char *name)
{
    return name[0] && name[0] != '.' && !strchr(name, '/');
}

/* Read a JSON file of a store. Returns 0, -ENOENT, -EINVAL, -ENOMEM. */
static int read_json(const char *dir, const char *name, json_t **out, struct ic_error *err)
{
    char *text = NULL, *path = join(dir, name);
    size_t len = 0;
    json_error_t error;
    int result = path ? fs_small_file_read(path, STORE_FILE_MAX, &text, &len) : -ENOMEM;
    if (result == -ENOENT || result == -ENOTDIR) {
        result = ic_fail(err, IC_E_NOT_FOUND, "no %s", path);
    } else if (result == -ENOMEM) {
        result = fail_memory(err);
    } else if (result < 0) {
        result = ic_fail(err, IC_E_CONFIG, "%s: %s", path, fs_small_file_words(result));
    } else {
        *out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
        if (!*out || !json_is_object(*out)) {
            result = ic_fail(err, IC_E_CONFIG, "%s: not what %s", path,
                             "an identity store should hold (no JSON object)");
            json_decref(*out);
            *out = NULL;
        }
    }
    free(text);
    free(path);
    return result;
}

/* ---- icp-cli ---- */

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static int fail_icp(const char *name, const char *what, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG, "identity '%.80s' of icp-cli %s", name, what);
}

static int fail_keyring(const char *name, bool is_session, struct ic_error *err)
{
    if (is_session)
        return fail_icp(name,
                        "has its session key in the keyring, which canisterfs does not open: "
                        "make one with --storage plaintext or password",
                        err);
    return ic_fail(err, IC_E_CONFIG,
                   "identity '%.80s' of icp-cli is in the keyring, which canisterfs does not open: "
                   "umask 077; icp identity export %.80s > %.80s.pem; then -o identity=%.80s.pem",
                   name, name, name, name);
}

static int fill_icp_paths(const char *dir, const char *name, bool has_chain,
                          struct fs_identity_place *place, struct ic_error *err)
{
    if (asprintf(&place->key_file, "%s/keys/%s.pem", dir, name) < 0) {
        place->key_file = NULL;
        return fail_memory(err);
    }
    if (has_chain && asprintf(&place->chain_file, "%s/delegations/%s.json", dir, name) < 0) {
        place->chain_file = NULL;
        return fail_memory(err);
    }
    return 0;
}

/* What identity_list.json says of one name. */
static int read_icp_entry(const char *dir, const char *name, const json_t *entry,
                          struct fs_identity_place *place, struct ic_error *err)
{
    const char *kind = text_of(entry, "kind"), *principal = text_of(entry, "principal");
    const char *storage = text_of(json_object_get(entry, "storage"), "kind");
    bool is_session = strcmp(kind, "delegation") == 0 || strcmp(kind, "web-auth") == 0 ||
                      strcmp(kind, "internet-identity") == 0;

    if (strcmp(kind, "anonymous") == 0) {
        place->is_anonymous = true;
        return 0;
    }
    if (strcmp(kind, "keyring") == 0 || (is_session && strcmp(storage, "keyring") == 0))
        return fail_keyring(name, is_session, err);
    if (strcmp(kind, "hsm") == 0)
        return fail_icp(name,
                        "is in a hardware module, which canisterfs does not open: have it sign a "
                        "delegation (icp identity delegation request, sign, use)",
                        err);
    if (strcmp(kind, "pending-delegation") == 0)
        return fail_icp(name, "has no delegation yet: icp identity delegation sign, then use", err);
    if (!is_session && strcmp(kind, "pem") != 0)
        return fail_icp(name, "is of a kind that canisterfs does not know", err);
    place->has_principal = ic_principal_parse(principal, &place->principal) == 0;
    if (!place->has_principal)
        return fail_icp(name, "has no principal in identity_list.json", err);
    return fill_icp_paths(dir, name, is_session, place, err);
}

static int find_icp(const char *dir, const char *name, struct fs_identity_place *place,
                    struct ic_error *err)
{
    json_t *list = NULL;
    int result = read_json(dir, "identity_list.json", &list, err);
    if (result < 0)
        return result;
    const json_t *entry = json_object_get(json_object_get(list, "identities"), name);
    if (json_integer_value(json_object_get(list, "v")) != 1)
        result =
            ic_fail(err, IC_E_CONFIG,
                    "%s/identity_list.json is of a version that canisterfs does not know", dir);
    else if (!entry)
        result = ic_fail(err, IC_E_NOT_FOUND, "no such identity in %s", dir);
    else
        result = read_icp_entry(dir, name, entry, place, err);
    json_decref(list);
    return result;
}

/* ---- dfx ---- */

static int fail_dfx(const char *name, const char *what, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG,
                   "identity '%.80s' of dfx is %s, which canisterfs does not open: umask 077; dfx "
                   "identity export %.80s > %.80s.pem; then -o identity=%.80s.pem",
                   name, what, name, name, name);
}

static bool is_set(const json_t *config, const char *key)
{
    const json_t *value = json_object_get(config, key);
    return value && !json_is_null(value);
}

/* What identity.json says of the key, when there is one. */
static int check_dfx_config(const char *dir, const char *name, struct ic_error *err)
{
    json_t *config = NULL;
    int result = read_json(dir, "identity.json", &config, err);
    if (result == -ENOENT)
        return 0;
    if (result < 0)
        return result;
    if (is_set(config, "hsm"))
        result = ic_fail(err, IC_E_CONFIG,
                         "identity '%.80s' of dfx is in a hardware module, which canisterfs does "
                         "not open",
                         name);
    else if (is_set(config, "keyring_identity_suffix"))
        result = fail_dfx(name, "in the keyring", err);
    else if (is_set(config, "encryption"))
        result = fail_dfx(name, "encrypted as dfx alone does it", err);
    json_decref(config);
    return result;
}

static int find_dfx(const char *root, const char *name, struct fs_identity_place *place,
                    struct ic_error *err)
{
    struct stat st;
    char *dir = join(root, name);
    if (!dir)
        return fail_memory(err);
    int result = stat(dir, &st) < 0 || !S_ISDIR(st.st_mode)
                     ? ic_fail(err, IC_E_NOT_FOUND, "no such identity in %s", root)
                     : check_dfx_config(dir, name, err);
    if (result == 0 && !(place->key_file = join(dir, "identity.pem")))
        result = fail_memory(err);
    free(dir);
    return result;
}

/* ---- both ---- */

int fs_identity_store_find(enum fs_identity_store store, const char *name,
                           struct fs_identity_place *out, struct ic_error *err)
{
    char *dir = NULL;
    struct fs_identity_place place = {0};
    if (!is_name(name))
        return ic_fail(err, IC_E_NOT_FOUND, "'%.80s' is no name of an identity", name);
    int result = find_directory(store, &dir);
    if (result == -ENOENT)
        return ic_fail(err, IC_E_NOT_FOUND, "HOME is not set");
    if (result < 0)
        return fail_memory(err);
    result = store == FS_IDENTITY_ICP ? find_icp(dir, name, &place, err)
                                      : find_dfx(dir, name, &place, err);
    free(dir);
    if (result < 0)
        fs_identity_place_fini(&place);
    else
        *out = place;
    return result;
}
