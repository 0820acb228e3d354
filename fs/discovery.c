/* The best methods are asked for first; what they make unnecessary is not asked for. A reply counts
 * only when it has the convention's shape: a method of the same name may mean something else. */
#include "fs/discovery.h"

#include "fs/query.h"

#include <string.h>

static const char *const method_names[FS_N_METHODS] = {
    [FS_METHOD_VERSION] = "stable_version",
    [FS_METHOD_READ_AT] = "stable_read_at",
    [FS_METHOD_SIZE] = "stable_size",
    [FS_METHOD_READ] = "stable_read",
};

const char *fs_method_name(enum fs_method method)
{
    return method_names[method];
}

struct probe {
    const struct fs_target *target;
    uint64_t timeout_ns;
    uint64_t version; /* from stable_version */
};

static bool has_version_shape(const struct ic_value *v, uint64_t *ret_version)
{
    uint64_t size;
    return ic_value_nat64(ic_value_field(v, "size"), &size) == 0 &&
           ic_value_nat64(ic_value_field(v, "version"), ret_version) == 0;
}

static bool has_shape(enum fs_method method, const struct ic_value *v, struct probe *probe)
{
    uint64_t number;
    struct ic_view blob;
    switch (method) {
    case FS_METHOD_VERSION:
        return has_version_shape(v, &probe->version);
    case FS_METHOD_READ_AT:
        /* A version that moved since it was asked for still proves the method. */
        return ic_value_blob(ic_value_case(v, "ok"), &blob) == 0 || ic_value_case(v, "err");
    case FS_METHOD_SIZE:
        /* nat32 would count pages in other conventions. */
        return v && v->type->kind == IC_TYPE_NAT64 && ic_value_nat64(v, &number) == 0;
    case FS_METHOD_READ:
        return ic_value_blob(v, &blob) == 0;
    case FS_N_METHODS:
        break;
    }
    return false;
}

/* Does a verified reply have the method's type? Anything else is a method that means something
 * else. */
static void judge_reply(enum fs_method method, const struct ic_reply *reply, struct probe *probe,
                        struct fs_finding *finding)
{
    struct ic_candid *values = NULL;
    struct ic_error err = {0};
    if (ic_candid_decode(reply->arg, reply->len, NULL, &values, &err) < 0) {
        snprintf(finding->note, sizeof(finding->note), "its reply is not Candid: %.200s",
                 err.message);
        return;
    }
    finding->offered = has_shape(method, ic_candid_arg(values, 0), probe);
    if (!finding->offered)
        snprintf(finding->note, sizeof(finding->note), "its reply has another type");
    ic_candid_free(values);
}

/* Ask for one method. Returns 0 when the canister answered anything, else -errno. */
static int ask(struct probe *probe, enum fs_method method, struct fs_finding *finding,
               struct ic_error *err)
{
    /* (0, 0) is in range even for an empty memory. */
    const struct ic_value args[] = {ic_nat64(probe->version), ic_nat64(0), ic_nat64(0)};
    const struct ic_value *first = method == FS_METHOD_READ_AT ? args : args + 1;
    size_t n_args = method == FS_METHOD_READ_AT ? 3 : method == FS_METHOD_READ ? 2 : 0;
    struct ic_io io = fs_target_io(probe->timeout_ns);
    struct ic_reply reply;
    finding->asked = true;
    int result = fs_query_raw(probe->target, method_names[method], first, n_args, &io, &reply, err);
    if (result == 0) {
        judge_reply(method, &reply, probe, finding);
        ic_reply_fini(&reply);
        return 0;
    }
    if (err->reject_code == 0)
        return result; /* the network failed, not the canister */
    if (strcmp(err->error_code, "IC0536") == 0)
        snprintf(finding->note, sizeof(finding->note), "no such method");
    else
        snprintf(finding->note, sizeof(finding->note), "%.250s", err->message);
    return 0;
}

static void warn_nothing_found(const struct fs_discovery *discovery, const struct fs_target *target)
{
    char text[512] = "";
    size_t len = 0;
    for (int i = 0; i < FS_N_METHODS; i++) {
        const struct fs_finding *finding = &discovery->findings[i];
        if (!finding->asked || finding->offered || len >= sizeof(text))
            continue;
        int n = snprintf(text + len, sizeof(text) - len, "%s%s: %.90s", len ? "; " : "",
                         method_names[i], finding->note);
        len += n > 0 ? (size_t)n : 0;
    }
    fs_log_print(target->log, FS_LOG_WARNING,
                 "stable memory is not shown, canister %s has no methods to read it (%s)",
                 target->canister_text, text);
}

enum fs_exit fs_discovery_run(struct fs_discovery *out, const struct fs_target *target,
                              uint64_t timeout_ns, char *message, size_t message_size)
{
    memset(out, 0, sizeof(*out));
    struct probe probe = {.target = target, .timeout_ns = timeout_ns};
    struct ic_error err = {0};
    struct fs_finding *findings = out->findings;
    int result = ask(&probe, FS_METHOD_VERSION, &findings[FS_METHOD_VERSION], &err);
    if (result == 0 && findings[FS_METHOD_VERSION].offered)
        result = ask(&probe, FS_METHOD_READ_AT, &findings[FS_METHOD_READ_AT], &err);
    if (result == 0 && !findings[FS_METHOD_VERSION].offered)
        result = ask(&probe, FS_METHOD_SIZE, &findings[FS_METHOD_SIZE], &err);
    if (result == 0 && !findings[FS_METHOD_READ_AT].offered)
        result = ask(&probe, FS_METHOD_READ, &findings[FS_METHOD_READ], &err);
    if (result < 0) {
        snprintf(message, message_size, "asking canister %s what it offers: %s",
                 target->canister_text, err.message);
        return FS_EXIT_NETWORK;
    }
    if (!fs_discovery_has_stable(out))
        warn_nothing_found(out, target);
    return FS_EXIT_OK;
}

bool fs_discovery_has_stable(const struct fs_discovery *discovery)
{
    bool has_size = fs_discovery_offers(discovery, FS_METHOD_VERSION) ||
                    fs_discovery_offers(discovery, FS_METHOD_SIZE);
    bool has_read = fs_discovery_offers(discovery, FS_METHOD_READ_AT) ||
                    fs_discovery_offers(discovery, FS_METHOD_READ);
    return has_size && has_read;
}
