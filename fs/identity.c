/* Who the mount is: see identity.h. */
#include "fs/identity.h"

#include "fs/identity_chain.h"
#include "fs/identity_store.h"
#include "fs/password.h"
#include "ic/identity_pem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

/* What is being opened, for whom. */
struct opening {
    const struct fs_options *options;
    struct fs_password password;
    struct ic_error *err;
};

static int fail_memory(struct ic_error *err)
{
    return ic_fail(err, IC_E_NO_MEMORY, "identity: out of memory");
}

static int64_t wall_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* A key and, unless NULL, the delegations to it. */
static int open_key(struct opening *o, const char *key_file, const char *chain_file,
                    struct ic_identity **out)
{
    const struct ic_password password = {.get = fs_password_get, .arg = &o->password};
    struct ic_identity *id = NULL;
    int result = ic_identity_open_pem(key_file, &password, &id, o->err);
    if (result == 0 && chain_file)
        result = fs_identity_chain_apply(chain_file, id, wall_clock_ns(), o->err);
    if (result < 0) {
        ic_identity_free(id);
        return result;
    }
    *out = id;
    return 0;
}

static int open_anonymous(struct opening *o, struct ic_identity **out)
{
    if (o->options->delegation)
        return ic_fail(o->err, IC_E_CONFIG, "nobody can delegate to the anonymous identity");
    return ic_identity_new_anonymous(out) < 0 ? fail_memory(o->err) : 0;
}

/* Tell where the identity came from. store: NULL for a file. */
static int describe(struct opening *o, struct fs_identity *identity, const char *name,
                    const char *store, const char *key_file)
{
    char principal[IC_PRINCIPAL_TEXT], date[IC_DATE_TEXT] = "";
    uint64_t expiration = ic_identity_expiration_ns(identity->id);
    int len = store ? asprintf(&identity->origin, "identity '%s' of %s (%s)", name, store, key_file)
                    : asprintf(&identity->origin, "identity '%s'", key_file);
    if (len < 0) {
        identity->origin = NULL;
        return fail_memory(o->err);
    }
    ic_principal_format(ic_identity_principal(identity->id), principal);
    if (expiration)
        ic_delegation_format_date(expiration, date);
    if (asprintf(&identity->story, "%s signs as %s%s%s", identity->origin, principal,
                 expiration ? ", by a delegation until " : "", date) < 0) {
        identity->story = NULL;
        return fail_memory(o->err);
    }
    return 0;
}

/* ---- by name ---- */

static int open_place(struct opening *o, const char *name, const struct fs_identity_place *place,
                      struct ic_identity **out)
{
    const char *chain_file = o->options->delegation ? o->options->delegation : place->chain_file;
    struct ic_identity *id = NULL;
    if (place->is_anonymous)
        return open_anonymous(o, out);
    int result = open_key(o, place->key_file, chain_file, &id);
    if (result < 0)
        return result;
    if (place->has_principal && !o->options->delegation &&
        !ic_principal_is_equal(ic_identity_principal(id), &place->principal)) {
        ic_identity_free(id);
        return ic_fail(o->err, IC_E_CONFIG,
                       "identity '%.80s': %.250s does not hold the key of the principal that its "
                       "store names",
                       name, place->key_file);
    }
    *out = id;
    return 0;
}

/* Both stores have the name: they must mean the same, or the user chooses. */
static int check_same(struct opening *o, const char *name, const struct ic_identity *icp,
                      const struct fs_identity_place *icp_place,
                      const struct fs_identity_place *dfx_place)
{
    struct ic_identity *dfx = NULL;
    struct ic_error ignored = {0};
    struct opening other = {.options = o->options, .password = o->password, .err = &ignored};
    bool is_same = open_place(&other, name, dfx_place, &dfx) == 0 && dfx &&
                   ic_principal_is_equal(ic_identity_principal(icp), ic_identity_principal(dfx));
    ic_identity_free(dfx);
    if (is_same)
        return 0;
    return ic_fail(o->err, IC_E_CONFIG,
                   "icp-cli and dfx both have an identity '%.80s', and they are not the same: name "
                   "the file, %.150s or %.150s",
                   name, icp_place->key_file ? icp_place->key_file : "(anonymous)",
                   dfx_place->key_file);
}

static int open_found(struct opening *o, const char *name, struct fs_identity_place *places,
                      const int *found, struct fs_identity *out)
{
    enum fs_identity_store store = found[FS_IDENTITY_ICP] == 0 ? FS_IDENTITY_ICP : FS_IDENTITY_DFX;
    int result = open_place(o, name, &places[store], &out->id);
    if (result == 0 && found[FS_IDENTITY_ICP] == 0 && found[FS_IDENTITY_DFX] == 0)
        result = check_same(o, name, out->id, &places[FS_IDENTITY_ICP], &places[FS_IDENTITY_DFX]);
    if (result == 0 && !ic_identity_is_anonymous(out->id))
        result = describe(o, out, name, fs_identity_store_name(store), places[store].key_file);
    return result;
}

static int open_by_name(struct opening *o, const char *name, struct fs_identity *out)
{
    struct fs_identity_place places[FS_IDENTITY_STORES] = {0};
    struct ic_error errors[FS_IDENTITY_STORES] = {0};
    int found[FS_IDENTITY_STORES], result;
    for (int i = 0; i < FS_IDENTITY_STORES; i++)
        found[i] = fs_identity_store_find((enum fs_identity_store)i, name, &places[i], &errors[i]);
    const int icp = found[FS_IDENTITY_ICP], dfx = found[FS_IDENTITY_DFX];
    if (icp < 0 && icp != -ENOENT) {
        *o->err = errors[FS_IDENTITY_ICP];
        result = icp;
    } else if (dfx < 0 && dfx != -ENOENT) {
        *o->err = errors[FS_IDENTITY_DFX];
        result = dfx;
    } else if (icp < 0 && dfx < 0) {
        result =
            ic_fail(o->err, IC_E_CONFIG,
                    "identity '%.80s': no file of that name here; icp-cli: %.150s; dfx: %.150s",
                    name, errors[FS_IDENTITY_ICP].message, errors[FS_IDENTITY_DFX].message);
    } else {
        result = open_found(o, name, places, found, out);
    }
    for (int i = 0; i < FS_IDENTITY_STORES; i++)
        fs_identity_place_fini(&places[i]);
    return result;
}

/* ---- as the options say ---- */

static bool is_file(const char *word)
{
    struct stat st;
    return strchr(word, '/') || (stat(word, &st) == 0 && !S_ISDIR(st.st_mode));
}

/* Who one is must not depend on what lies in the current directory. */
static int check_only_a_file(struct opening *o, const char *word)
{
    int result = 0;
    for (int i = 0; i < FS_IDENTITY_STORES && result == 0; i++) {
        enum fs_identity_store store = (enum fs_identity_store)i;
        struct fs_identity_place place = {0};
        struct ic_error ignored = {0};
        if (fs_identity_store_find(store, word, &place, &ignored) != -ENOENT)
            result =
                ic_fail(o->err, IC_E_CONFIG,
                        "identity '%.80s' is a file here and an identity of %s: ./%.80s is the "
                        "file; for the other name its key file%s%.150s%s, or start elsewhere",
                        word, fs_identity_store_name(store), word, place.key_file ? " (" : "",
                        place.key_file ? place.key_file : "", place.key_file ? ")" : "");
        fs_identity_place_fini(&place);
    }
    return result;
}

static int open_file(struct opening *o, const char *word, struct fs_identity *out)
{
    int result = strchr(word, '/') ? 0 : check_only_a_file(o, word);
    if (result != 0)
        return result;
    result = open_key(o, word, o->options->delegation, &out->id);
    return result < 0 ? result : describe(o, out, NULL, NULL, word);
}

static int open_word(struct opening *o, const char *word, struct fs_identity *out)
{
    if (is_file(word))
        return open_file(o, word, out);
    if (strcmp(word, "anonymous") == 0)
        return open_anonymous(o, &out->id);
    return open_by_name(o, word, out);
}

enum fs_exit fs_identity_open(struct fs_identity *out, const struct fs_options *options,
                              char *message, size_t message_size)
{
    struct ic_error err = {0};
    struct opening opening = {
        .options = options, .password.file = options->password_file, .err = &err};
    struct fs_identity identity = {0};
    if (open_word(&opening, options->identity ? options->identity : "anonymous", &identity) < 0 ||
        !identity.id) {
        fs_identity_close(&identity);
        snprintf(message, message_size, "%s%s", err.message,
                 opening.password.is_exposed ? "; others can read the password file: chmod 600 it"
                                             : "");
        return FS_EXIT_CONFIG;
    }
    if (opening.password.is_exposed)
        identity.exposed_password_file = options->password_file;
    *out = identity;
    return FS_EXIT_OK;
}

void fs_identity_close(struct fs_identity *identity)
{
    ic_identity_free(identity->id);
    free(identity->origin);
    free(identity->story);
    *identity = (struct fs_identity){0};
}

void fs_identity_warn(const struct fs_identity *identity, struct fs_log *log)
{
    if (ic_identity_is_exposed(identity->id))
        fs_log_print(log, FS_LOG_WARNING, "%s can be read by others: chmod 600 it",
                     identity->origin);
    if (identity->exposed_password_file)
        fs_log_print(log, FS_LOG_WARNING, "password file '%s' can be read by others: chmod 600 it",
                     identity->exposed_password_file);
}

enum fs_exit fs_identity_whoami(const struct fs_options *options)
{
    char message[600], text[IC_PRINCIPAL_TEXT];
    struct fs_identity identity;
    struct fs_log *log = NULL;
    enum fs_exit result = fs_identity_open(&identity, options, message, sizeof(message));
    if (result != FS_EXIT_OK) {
        fprintf(stderr, "canisterfs: %s\n", message);
        return result;
    }
    if (fs_log_open(&log, FS_LOG_WARNING) == 0)
        fs_identity_warn(&identity, log);
    fs_log_close(log);
    ic_principal_format(ic_identity_principal(identity.id), text);
    fs_identity_close(&identity);
    if (printf("%s\n", text) > 0 && fflush(stdout) == 0)
        return FS_EXIT_OK;
    fprintf(stderr, "canisterfs: cannot write the principal: %s\n", strerror(errno));
    return FS_EXIT_CONFIG;
}
