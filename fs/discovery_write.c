/* Which methods of a canister write its memory. See memory_write.h.
 *
 * Nothing is called here. With an interface each method must be in it, with the right types; a map
 * or profile that the user named is believed without one. What was found by asking for known names
 * is not written to: that a method of some name exists says nothing about another one. */
#include "fs/discovery_impl.h"

#include <string.h>

/* What is being found. */
struct writes {
    struct discovery_search *search;
    const struct fs_memory *memory;
    char missing[FS_WRITE_WORDS]; /* of each way the first method that cannot be used, and why */
};

static void miss(struct writes *writes, const char *method, const char *reason)
{
    discovery_note(writes->search->out, method, false, "%s", reason);
    size_t len = strlen(writes->missing);
    snprintf(writes->missing + len, sizeof(writes->missing) - len, "%s%.40s: %.55s",
             len > 0 ? "; " : "", method, reason);
}

static const struct ic_type_method *find(struct writes *writes, const char *name)
{
    const struct ic_type_method *method = ic_did_find_method(writes->search->did, name);
    if (!method)
        miss(writes, name, "not in the Candid interface");
    return method;
}

static bool accept(struct writes *writes, const char *name, bool is_fit, const char *reason)
{
    if (is_fit)
        discovery_note(writes->search->out, name, true, "%s", "");
    else
        miss(writes, name, reason);
    return is_fit;
}

static bool has_staged(struct writes *writes, const struct fs_memory_write *write)
{
    for (int i = 0; i < FS_STAGED_METHODS; i++) {
        char name[FS_METHOD_NAME_MAX];
        char reason[FS_WRITE_WORDS] = "";
        fs_memory_write_method(write, (enum fs_staged_method)i, name);
        const struct ic_type_method *method = find(writes, name);
        if (!method ||
            !accept(writes, name,
                    fs_memory_write_fits_staged(method, (enum fs_staged_method)i, reason), reason))
            return false;
    }
    return true;
}

/* It is not needed: forgotten where it is not offered. */
static void check_hashes(struct writes *writes, struct fs_memory_write *write)
{
    char reason[FS_WRITE_WORDS] = "not in the Candid interface";
    const struct ic_type_method *method = ic_did_find_method(writes->search->did, write->hashes);
    bool is_fit = method && fs_memory_write_fits_hashes(method, reason);
    discovery_note(writes->search->out, write->hashes, is_fit, "%s", is_fit ? "" : reason);
    if (!is_fit)
        write->hashes[0] = '\0';
}

/* A method that is there must be of the right type: a write that leaves out what the canister wants
 * to be called before or after it is none. */
static bool check_number(struct writes *writes, char name[FS_METHOD_NAME_MAX], bool has_id,
                         enum ic_type_kind *number)
{
    char reason[FS_WRITE_WORDS] = "";
    const struct ic_type_method *method =
        name[0] ? ic_did_find_method(writes->search->did, name) : NULL;
    if (method)
        return accept(writes, name, fs_memory_write_fits_number(method, has_id, number, reason),
                      reason);
    if (name[0])
        discovery_note(writes->search->out, name, false, "not in the Candid interface");
    name[0] = '\0';
    return true;
}

static bool check_flag(struct writes *writes, char name[FS_METHOD_NAME_MAX])
{
    char reason[FS_WRITE_WORDS] = "";
    const struct ic_type_method *method =
        name[0] ? ic_did_find_method(writes->search->did, name) : NULL;
    if (method)
        return accept(writes, name, fs_memory_write_fits_flag(method, reason), reason);
    if (name[0])
        discovery_note(writes->search->out, name, false, "not in the Candid interface");
    name[0] = '\0';
    return true;
}

static bool has_plain(struct writes *writes, struct fs_memory_write *write)
{
    const struct fs_memory *memory = writes->memory;
    char reason[FS_WRITE_WORDS] = "";
    enum ic_type_kind init_number = IC_TYPE_NAT64;
    const struct ic_type_method *method = find(writes, write->write);
    if (!method ||
        !accept(writes, write->write,
                fs_memory_write_fits_plain(method, memory->has_id, memory->style == FS_MEMORY_PAGE,
                                           &write->number, reason),
                reason))
        return false;
    return check_number(writes, write->grow, memory->has_id, &write->grow_number) &&
           check_number(writes, write->init, false, &init_number) &&
           check_flag(writes, write->finish);
}

/* Without an interface: what the user named, as he named it. */
static enum fs_write_style believe(const struct fs_memory *memory, struct fs_memory_write *write)
{
    write->number = write->grow_number = memory->number;
    return write->restore[0] ? FS_WRITE_STAGED : write->write[0] ? FS_WRITE_PLAIN : FS_WRITE_NONE;
}

static enum fs_write_style choose(struct writes *writes, struct fs_memory_write *write,
                                  bool is_named)
{
    struct discovery_search *search = writes->search;
    if (!search->did && !is_named) {
        snprintf(writes->missing, sizeof(writes->missing),
                 "the canister publishes no Candid interface: -o did, map or profile tell");
        return FS_WRITE_NONE;
    }
    if (!search->did)
        return believe(writes->memory, write);
    if (write->hashes[0])
        check_hashes(writes, write);
    if (write->restore[0] && !writes->memory->has_id && has_staged(writes, write))
        return FS_WRITE_STAGED;
    return write->write[0] && has_plain(writes, write) ? FS_WRITE_PLAIN : FS_WRITE_NONE;
}

void discovery_find_writes(struct discovery_search *search, bool is_named, struct fs_memory *memory)
{
    struct fs_memory_write *write = &memory->write;
    struct writes writes = {.search = search, .memory = memory};
    write->style = choose(&writes, write, is_named);
    switch (write->style) {
    case FS_WRITE_STAGED:
        snprintf(write->words, sizeof(write->words),
                 "staged restore by %.120s_begin: all or nothing", write->restore);
        break;
    case FS_WRITE_PLAIN:
        snprintf(write->words, sizeof(write->words), "plain writes by %.120s: not atomic%s",
                 write->write, write->finish[0] ? ", complete after an upgrade" : "");
        break;
    case FS_WRITE_NONE:
        snprintf(write->words, sizeof(write->words), "not offered%s%.180s",
                 writes.missing[0] ? ": " : "", writes.missing);
        break;
    }
}
