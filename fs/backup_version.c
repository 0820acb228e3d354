#include "fs/backup_version.h"

#include "fs/query.h"
#include "ic/wait.h"

void fs_backup_version_init(struct fs_backup_version *version, const struct fs_target *target,
                            const char *method)
{
    *version = (struct fs_backup_version){.target = target, .method = method};
    pthread_mutex_init(&version->lock, NULL);
}

void fs_backup_version_fini(struct fs_backup_version *version)
{
    pthread_mutex_destroy(&version->lock);
}

static int ask(const struct fs_backup_version *version, const struct ic_io *io,
               struct fs_backup_state *out, struct ic_error *err)
{
    struct fs_answer answer;
    int result = fs_query(version->target, version->method, NULL, 0, io, &answer, err);
    if (result < 0)
        return fs_query_fail_gone(result, err);
    const struct ic_value *value = fs_answer_value(&answer, 0);
    uint64_t mtime_ns;
    if (ic_value_nat64(ic_value_field(value, "version"), &out->version) < 0)
        result = ic_fail(err, IC_E_WRONG_TYPE, "%s: the reply has no version", version->method);
    if (ic_value_nat64(ic_value_field(value, "mtime_ns"), &mtime_ns) < 0 || mtime_ns > INT64_MAX)
        mtime_ns = 0;
    out->mtime_ns = (int64_t)mtime_ns;
    fs_answer_fini(&answer);
    return result;
}

int fs_backup_version_get(struct fs_backup_version *version, int64_t since_ns,
                          const struct ic_io *io, struct fs_backup_state *out, struct ic_error *err)
{
    pthread_mutex_lock(&version->lock);
    bool is_known = version->asked_at_ns != 0 && version->asked_at_ns >= since_ns;
    *out = version->state;
    pthread_mutex_unlock(&version->lock);
    if (is_known)
        return 0;
    int64_t asked_at_ns = ic_wait_now_ns();
    struct fs_backup_state state = {0};
    int result = ask(version, io, &state, err);
    if (result < 0)
        return result;
    pthread_mutex_lock(&version->lock);
    /* A node that lags behind must not make the collections go back. */
    if (asked_at_ns > version->asked_at_ns) {
        version->asked_at_ns = asked_at_ns;
        version->state = state;
    }
    *out = version->state;
    pthread_mutex_unlock(&version->lock);
    return 0;
}
