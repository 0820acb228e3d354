/* One read_state for the module hash and the controllers, one for the Candid interface: a section
 * that is private makes the network refuse the whole request (IC interface spec, Request: Read
 * state).
 *
 * lock guards the contents; it is not held across a call. Lock order: a leaf.
 */
#include "fs/facts.h"

#include "ic/certificate.h"
#include "ic/controllers.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct content {
    char *text; /* NULL: absent */
    size_t len;
    uint64_t serial;
    int64_t mtime_ns;
};

struct fs_facts {
    const struct fs_target *target; /* immutable */
    pthread_mutex_t lock;
    struct content contents[FS_N_FACTS]; /* guarded by lock */
    int64_t asked_at_ns;                 /* guarded by lock: monotonic, when the asking began */
    int64_t outdated_at_ns;              /* guarded by lock: what was asked before is too old */
    bool asking;                         /* guarded by lock: some thread is at it */
    uint64_t code_at_start;              /* guarded by lock: the serial of the module hash */
};

struct fact_source {
    struct source source; /* first */
    struct fs_facts *facts;
    enum fs_fact fact;
};

static const char *const names[FS_N_FACTS] = {
    [FS_FACT_ID] = "id",
    [FS_FACT_SUBNET] = "subnet",
    [FS_FACT_MODULE_HASH] = "module_hash",
    [FS_FACT_CONTROLLERS] = "controllers",
    [FS_FACT_CANDID] = "candid.did",
};

const char *fs_fact_name(enum fs_fact fact)
{
    return names[fact];
}

static int64_t clock_ns(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* What one round of questions brought; texts are owned, NULL for absent. */
struct answers {
    char *texts[FS_N_FACTS];
    size_t lens[FS_N_FACTS];
};

static void free_answers(struct answers *answers)
{
    for (int i = 0; i < FS_N_FACTS; i++)
        free(answers->texts[i]);
}

/* Keep a copy, with a newline unless `verbatim`. */
static int keep(struct answers *answers, enum fs_fact fact, const char *text, size_t len,
                bool verbatim)
{
    size_t total = len + (verbatim ? 0 : 1);
    char *copy = malloc(total + 1);
    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, len);
    if (!verbatim)
        copy[len] = '\n';
    copy[total] = '\0';
    answers->texts[fact] = copy;
    answers->lens[fact] = total;
    return 0;
}

static int keep_principal(struct answers *answers, enum fs_fact fact, const struct ic_principal *p)
{
    char text[IC_PRINCIPAL_TEXT];
    ic_principal_format(p, text);
    return keep(answers, fact, text, strlen(text), false);
}

static int keep_hex(struct answers *answers, enum fs_fact fact, const uint8_t *bytes, size_t len)
{
    char text[2 * 64 + 1];
    if (len > 64)
        return -EPROTO;
    for (size_t i = 0; i < len; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    return keep(answers, fact, text, 2 * len, false);
}

static int keep_controllers(struct answers *answers, const uint8_t *leaf, size_t len)
{
    struct ic_principal controllers[IC_CONTROLLERS_MAX];
    size_t n;
    int result = ic_controllers_decode(leaf, len, controllers, &n);
    char text[IC_CONTROLLERS_MAX * (IC_PRINCIPAL_TEXT + 1) + 1] = "";
    size_t used = 0;
    for (size_t i = 0; result == 0 && i < n; i++) {
        ic_principal_format(&controllers[i], text + used);
        used += strlen(text + used);
        text[used++] = '\n';
    }
    return result < 0 ? result : keep(answers, FS_FACT_CONTROLLERS, text, used, true);
}

/* A leaf below /canister/<id>/. Returns 1 and fills, 0 when provably absent, or -EPROTO. */
static int look_up(const struct ic_certificate *cert, const struct ic_path *path,
                   const uint8_t **leaf, size_t *len, struct ic_error *err)
{
    switch (ic_certificate_lookup(cert, path, leaf, len)) {
    case IC_LOOKUP_FOUND:
        return 1;
    case IC_LOOKUP_ABSENT:
        return 0;
    case IC_LOOKUP_UNKNOWN:
    case IC_LOOKUP_ERROR:
        break;
    }
    return ic_fail(err, IC_E_MALFORMED, "the certificate does not say what was asked");
}

static int ask_state(const struct fs_target *target, const struct ic_io *io,
                     struct answers *answers, struct ic_error *err)
{
    struct ic_label id = ic_label_principal(&target->canister);
    const struct ic_path paths[] = {
        *IC_PATH(ic_label_text("canister"), id, ic_label_text("module_hash")),
        *IC_PATH(ic_label_text("canister"), id, ic_label_text("controllers")),
    };
    struct ic_certificate *cert = NULL;
    const uint8_t *leaf;
    size_t len;
    int result = ic_agent_read_state(target->agent, &target->canister, paths, 2, io, &cert, err);
    if (result < 0)
        return result;
    int found = look_up(cert, &paths[1], &leaf, &len, err);
    if (found == 0)
        /* Every canister has controllers, if only an empty list of them. */
        found = ic_fail(err, IC_E_NOT_FOUND, "there is no canister %s on this network",
                        target->canister_text);
    if (found > 0 && (result = keep_controllers(answers, leaf, len)) < 0)
        found = ic_fail(err, result == -ENOMEM ? IC_E_NO_MEMORY : IC_E_MALFORMED,
                        "the list of controllers does not decode");
    if (found > 0)
        found = look_up(cert, &paths[0], &leaf, &len, err);
    if (found > 0 && keep_hex(answers, FS_FACT_MODULE_HASH, leaf, len) < 0)
        found = ic_fail(err, IC_E_MALFORMED, "the module hash has %zu bytes", len);
    if (found >= 0 && (keep_principal(answers, FS_FACT_SUBNET, ic_certificate_subnet(cert)) < 0 ||
                       keep_principal(answers, FS_FACT_ID, &target->canister) < 0))
        found = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    ic_certificate_free(cert);
    return found < 0 ? found : 0;
}

static int ask_candid(const struct fs_target *target, const struct ic_io *io,
                      struct answers *answers, struct ic_error *err)
{
    const struct ic_path path =
        *IC_PATH(ic_label_text("canister"), ic_label_principal(&target->canister),
                 ic_label_text("metadata"), ic_label_text("candid:service"));
    struct ic_certificate *cert = NULL;
    int result = ic_agent_read_state(target->agent, &target->canister, &path, 1, io, &cert, err);
    if (result < 0)
        return err->code == IC_E_DENIED ? 0 : result;
    const uint8_t *leaf;
    size_t len;
    int found = look_up(cert, &path, &leaf, &len, err);
    if (found > 0 && keep(answers, FS_FACT_CANDID, (const char *)leaf, len, true) < 0)
        found = ic_fail(err, IC_E_NO_MEMORY, "out of memory");
    ic_certificate_free(cert);
    return found < 0 ? found : 0;
}

static int ask(struct fs_facts *facts, const struct ic_io *io, struct answers *answers,
               struct ic_error *err)
{
    int result = ask_state(facts->target, io, answers, err);
    if (result == 0)
        result = ask_candid(facts->target, io, answers, err);
    return result;
}

/* Take over what changed. Texts move out of answers. */
static void adopt_locked(struct fs_facts *facts, struct answers *answers)
{
    for (int i = 0; i < FS_N_FACTS; i++) {
        struct content *content = &facts->contents[i];
        bool same = content->serial != 0 && !content->text == !answers->texts[i] &&
                    content->len == answers->lens[i] &&
                    (!content->text || memcmp(content->text, answers->texts[i], content->len) == 0);
        if (same)
            continue;
        free(content->text);
        content->text = answers->texts[i];
        content->len = answers->lens[i];
        content->serial++;
        content->mtime_ns = clock_ns(CLOCK_REALTIME);
        answers->texts[i] = NULL;
    }
}

/* What methods there are was found out at the start. */
static void warn_of_new_code(const struct fs_facts *facts)
{
    fs_log_print(facts->target->log, FS_LOG_WARNING,
                 "the code of canister %s has changed since it was mounted: mount it anew, or new "
                 "methods, collections and names of fields are not seen",
                 facts->target->canister_text);
}

/* Ask again when the answers are old and nobody is at it. The old ones stay when that fails. */
static void refresh(struct fs_facts *facts, const struct ic_io *io)
{
    pthread_mutex_lock(&facts->lock);
    int64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    bool is_old = facts->asked_at_ns <= facts->outdated_at_ns ||
                  began_ns - facts->asked_at_ns > FS_FACTS_TTL_NS;
    bool is_due = is_old && !facts->asking;
    if (is_due)
        facts->asking = true;
    pthread_mutex_unlock(&facts->lock);
    if (!is_due)
        return;

    struct answers answers = {0};
    struct ic_error err = {0};
    int result = ask(facts, io, &answers, &err);
    pthread_mutex_lock(&facts->lock);
    facts->asking = false;
    /* After a failure not again at once: each try may be slow. */
    facts->asked_at_ns = result == 0 ? began_ns : clock_ns(CLOCK_MONOTONIC);
    if (result == 0)
        adopt_locked(facts, &answers);
    bool is_new_code =
        result == 0 && facts->contents[FS_FACT_MODULE_HASH].serial != facts->code_at_start;
    pthread_mutex_unlock(&facts->lock);
    if (is_new_code)
        warn_of_new_code(facts);
    free_answers(&answers);
    if (result < 0 && err.code != IC_E_CANCELLED)
        fs_log_print_about(facts->target->log, FS_LOG_WARNING, "facts",
                           "facts about the canister are %d s old or older: %s",
                           (int)(FS_FACTS_TTL_NS / 1000000000), err.message);
}

static struct fact_source *fact_of(struct source *source)
{
    return (struct fact_source *)source;
}

static int fact_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    const struct fact_source *self = fact_of(source);
    struct fs_facts *facts = self->facts;
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    refresh(facts, &ic_io);
    int result = 0;
    pthread_mutex_lock(&facts->lock);
    const struct content *content = &facts->contents[self->fact];
    if (content->text)
        *out = (struct source_stat){
            .size = content->len,
            .version = content->serial,
            .mtime_ns = content->mtime_ns,
            .preferred_io = 4096,
            .versioned = true,
        };
    else
        result = -ENOENT;
    pthread_mutex_unlock(&facts->lock);
    return result;
}

static int fact_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    (void)io;
    const struct fact_source *self = fact_of(source);
    struct fs_facts *facts = self->facts;
    size_t len = source_iov_size(iov, n_iov);
    int result = 0;
    pthread_mutex_lock(&facts->lock);
    const struct content *content = &facts->contents[self->fact];
    if (content->serial != version || !content->text || off > content->len ||
        len > content->len - off)
        result = -ESTALE;
    else
        source_iov_copy(iov, n_iov, 0, content->text + off, len);
    pthread_mutex_unlock(&facts->lock);
    return result;
}

static void fact_close(struct source *source)
{
    free(fact_of(source));
}

static const struct source_ops fact_ops = {
    .stat = fact_stat,
    .readv = fact_readv,
    .close = fact_close,
};

int fs_facts_open_source(struct fs_facts *facts, enum fs_fact fact, struct source **out)
{
    struct fact_source *self = calloc(1, sizeof(*self));
    if (!self)
        return -ENOMEM;
    source_init(&self->source, &fact_ops);
    self->facts = facts;
    self->fact = fact;
    *out = &self->source;
    return 0;
}

enum fs_exit fs_facts_open(struct fs_facts **out, const struct fs_target *target,
                           uint64_t timeout_ns, char *message, size_t message_size)
{
    struct fs_facts *facts = calloc(1, sizeof(*facts));
    if (!facts) {
        snprintf(message, message_size, "out of memory");
        return FS_EXIT_CONFIG;
    }
    pthread_mutex_init(&facts->lock, NULL);
    facts->target = target;
    struct answers answers = {0};
    struct ic_error err = {0};
    struct ic_io io = fs_target_io(target, timeout_ns);
    facts->asked_at_ns = clock_ns(CLOCK_MONOTONIC);
    int result = ask(facts, &io, &answers, &err);
    if (result == 0)
        adopt_locked(facts, &answers);
    facts->code_at_start = facts->contents[FS_FACT_MODULE_HASH].serial;
    free_answers(&answers);
    if (result == 0) {
        *out = facts;
        return FS_EXIT_OK;
    }
    fs_facts_close(facts);
    snprintf(message, message_size, "canister %s of %s: %s", target->canister_text, target->url,
             err.message);
    return FS_EXIT_NETWORK;
}

void fs_facts_close(struct fs_facts *facts)
{
    if (!facts)
        return;
    for (int i = 0; i < FS_N_FACTS; i++)
        free(facts->contents[i].text);
    pthread_mutex_destroy(&facts->lock);
    free(facts);
}

void fs_facts_refresh(struct fs_facts *facts, const struct source_io *io)
{
    struct ic_io ic_io = fs_target_io_from(io->deadline_ns, io->cancel);
    refresh(facts, &ic_io);
}

void fs_facts_outdate(struct fs_facts *facts)
{
    pthread_mutex_lock(&facts->lock);
    facts->outdated_at_ns = clock_ns(CLOCK_MONOTONIC);
    pthread_mutex_unlock(&facts->lock);
}

void fs_facts_copy(struct fs_facts *facts, enum fs_fact fact, char *out, size_t size)
{
    pthread_mutex_lock(&facts->lock);
    const struct content *content = &facts->contents[fact];
    snprintf(out, size, "%s", content->text ? content->text : "");
    pthread_mutex_unlock(&facts->lock);
    out[strcspn(out, "\n")] = '\0';
}

int fs_facts_take_candid(struct fs_facts *facts, char **out, size_t *len)
{
    int result = 0;
    *out = NULL;
    *len = 0;
    pthread_mutex_lock(&facts->lock);
    const struct content *content = &facts->contents[FS_FACT_CANDID];
    if (content->text) {
        *out = malloc(content->len + 1);
        if (*out) {
            memcpy(*out, content->text, content->len + 1);
            *len = content->len;
        } else {
            result = -ENOMEM;
        }
    }
    pthread_mutex_unlock(&facts->lock);
    return result;
}
