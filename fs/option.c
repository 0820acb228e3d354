#include "fs/option.h"

#include "fs/option_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Words that mount(8) and fstab put into -o (mount(8), "Filesystem-independent mount options").
 * The first group means something to the kernel; the others do not change anything about files that
 * cannot be written, devices and links that are not there, or are meant for mount(8) itself. */
static const char *const kernel_words[] = {"nosuid", "nodev", "noexec", "noatime", "nodiratime"};
static const char *const ignored_words[] = {
    "_netdev",     "async",      "atime",     "auto",    "defaults",   "default_permissions",
    "dev",         "diratime",   "dirsync",   "exec",    "group",      "iversion",
    "lazytime",    "loud",       "mand",      "noauto",  "nofail",     "nogroup",
    "noiversion",  "nolazytime", "nomand",    "noowner", "norelatime", "nostrictatime",
    "nosymfollow", "nouser",     "nousers",   "owner",   "relatime",   "silent",
    "strictatime", "suid",       "symfollow", "sync",    "user",       "users",
};

static bool is_word(const char *const *words, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static enum fs_exit add_kernel_word(struct fs_options *options, const char *word)
{
    char *joined;
    if (asprintf(&joined, "%s%s%s", options->kernel_options ? options->kernel_options : "",
                 options->kernel_options && *options->kernel_options ? "," : "", word) < 0)
        return FS_EXIT_CONFIG;
    free(options->kernel_options);
    options->kernel_options = joined;
    return FS_EXIT_OK;
}

/* One `name` or `name=value`; mount_words: also take the words of mount(8). */
static enum fs_exit apply_option(struct fs_options *options, const char *text, bool mount_words,
                                 char *message, size_t message_size)
{
    const char *equals = strchr(text, '=');
    size_t name_len = equals ? (size_t)(equals - text) : strlen(text);
    const struct option_row *row = option_table_find(text, name_len);
    if (row)
        return option_value_set(options, row, equals ? equals + 1 : NULL, message, message_size);
    if (mount_words) {
        if (is_word(kernel_words, sizeof(kernel_words) / sizeof(kernel_words[0]), text))
            return add_kernel_word(options, text);
        if (is_word(ignored_words, sizeof(ignored_words) / sizeof(ignored_words[0]), text) ||
            strncasecmp(text, "x-", 2) == 0 || strncmp(text, "comment=", 8) == 0)
            return FS_EXIT_OK;
        if (strcmp(text, "ro") == 0) {
            options->rw = false;
            return FS_EXIT_OK;
        }
        if (strcmp(text, "remount") == 0) {
            snprintf(message, message_size,
                     "a mount's options cannot be changed ('remount'): unmount it, and mount it "
                     "again");
            return FS_EXIT_USAGE;
        }
    }
    const struct option_row *near = option_table_find_near(text, name_len);
    snprintf(message, message_size, "unknown option '%.*s' (%s%s)", (int)name_len, text,
             near ? near->name : "see canisterfs --help", near ? "?" : "");
    return FS_EXIT_USAGE;
}

/* The comma-separated argument of -o. */
static enum fs_exit apply_list(struct fs_options *options, const char *list, char *message,
                               size_t message_size)
{
    char *copy = strdup(list);
    if (!copy) {
        snprintf(message, message_size, "out of memory");
        return FS_EXIT_CONFIG;
    }
    enum fs_exit result = FS_EXIT_OK;
    char *rest = copy;
    for (char *word; result == FS_EXIT_OK && (word = strsep(&rest, ","));)
        if (*word)
            result = apply_option(options, word, true, message, message_size);
    free(copy);
    return result;
}

static enum fs_exit apply_positional(struct fs_options *options, const char *text, char *message,
                                     size_t message_size)
{
    char **slot = !options->canister     ? &options->canister
                  : !options->mountpoint ? &options->mountpoint
                                         : NULL;
    if (!slot) {
        snprintf(message, message_size, "one argument too many: '%s'", text);
        return FS_EXIT_USAGE;
    }
    *slot = strdup(text);
    if (*slot)
        return FS_EXIT_OK;
    snprintf(message, message_size, "out of memory");
    return FS_EXIT_CONFIG;
}

static enum fs_exit apply_defaults(struct fs_options *options, char *message, size_t message_size)
{
    memset(options, 0, sizeof(*options));
    options->uid = getuid();
    options->gid = getgid();
    options->kernel_options = strdup("");
    if (!options->kernel_options)
        return FS_EXIT_CONFIG;
    const struct option_row *row;
    for (size_t i = 0; (row = option_table_at(i)); i++) {
        if (!row->fallback)
            continue;
        enum fs_exit result = option_value_set(options, row, row->fallback, message, message_size);
        if (result != FS_EXIT_OK)
            return result;
    }
    return FS_EXIT_OK;
}

/* One argument that begins with a dash; *next is advanced when it takes the following one. */
static enum fs_exit apply_dashed(struct fs_options *options, int argc, char **argv, int *next,
                                 char *message, size_t message_size)
{
    const char *arg = argv[*next - 1];
    if (strcmp(arg, "-h") == 0 || strcmp(arg, "--help") == 0)
        options->action = FS_ACTION_HELP;
    else if (strcmp(arg, "-V") == 0 || strcmp(arg, "--version") == 0)
        options->action = FS_ACTION_VERSION;
    else if (strcmp(arg, "--man-page") == 0)
        options->action = FS_ACTION_MAN_PAGE;
    else if (strcmp(arg, "--whoami") == 0)
        options->action = FS_ACTION_WHOAMI;
    else if (strcmp(arg, "-f") == 0)
        options->foreground = true;
    else if (strncmp(arg, "--", 2) == 0)
        return apply_option(options, arg + 2, false, message, message_size);
    else if (strcmp(arg, "-o") == 0 && *next < argc)
        return apply_list(options, argv[(*next)++], message, message_size);
    else if (strncmp(arg, "-o", 2) == 0 && arg[2])
        return apply_list(options, arg + 2, message, message_size);
    else {
        snprintf(message, message_size,
                 strcmp(arg, "-o") == 0 ? "option '%s' needs a value: -o name[=value],..."
                                        : "unknown option '%s' (see canisterfs --help)",
                 arg);
        return FS_EXIT_USAGE;
    }
    return FS_EXIT_OK;
}

static enum fs_exit check_mount(const struct fs_options *options, char *message,
                                size_t message_size)
{
    if (options->mountpoint)
        return FS_EXIT_OK;
    /* No canister's name has a slash. */
    const char *missing = !options->canister               ? "no canister and no mount point"
                          : strchr(options->canister, '/') ? "no canister"
                                                           : "no mount point";
    snprintf(message, message_size, "%s; usage: canisterfs [options] CANISTER MOUNTPOINT", missing);
    return FS_EXIT_USAGE;
}

static enum fs_exit check_together(const struct fs_options *options, char *message,
                                   size_t message_size)
{
    if (options->map && options->profile)
        snprintf(message, message_size, "options 'map' and 'profile' exclude each other");
    else if (options->root_key && options->insecure_root_key)
        snprintf(message, message_size,
                 "options 'root_key' and 'insecure_root_key' exclude each other");
    else if (options->insecure_root_key && strcmp(options->network, "ic") == 0)
        snprintf(message, message_size,
                 "option 'insecure_root_key' is for test networks: the root key of network=ic is "
                 "built in");
    else if (!options->identity && (options->password_file || options->delegation))
        snprintf(message, message_size, "option '%s' needs 'identity', the key it is for",
                 options->delegation ? "delegation" : "password_file");
    else
        return FS_EXIT_OK;
    return FS_EXIT_USAGE;
}

enum fs_exit fs_option_parse(int argc, char **argv, struct fs_options *out, char *message,
                             size_t message_size)
{
    snprintf(message, message_size, "out of memory");
    enum fs_exit result = apply_defaults(out, message, message_size);
    bool only_positional = false;
    for (int next = 1; result == FS_EXIT_OK && next < argc;) {
        const char *arg = argv[next++];
        if (!only_positional && strcmp(arg, "--") == 0)
            only_positional = true;
        else if (!only_positional && arg[0] == '-' && arg[1])
            result = apply_dashed(out, argc, argv, &next, message, message_size);
        else
            result = apply_positional(out, arg, message, message_size);
    }
    if (result == FS_EXIT_OK && out->action == FS_ACTION_MOUNT)
        result = check_mount(out, message, message_size);
    if (result == FS_EXIT_OK)
        result = check_together(out, message, message_size);
    return result;
}

void fs_option_fini(struct fs_options *options)
{
    const struct option_row *row;
    for (size_t i = 0; (row = option_table_at(i)); i++)
        if (option_value_is_text(row))
            free(*(char **)(void *)((char *)options + row->offset));
    free(options->canister);
    free(options->mountpoint);
    free(options->kernel_options);
    memset(options, 0, sizeof(*options));
}

bool fs_option_describe(size_t i, struct fs_option_words *out)
{
    const struct option_row *row = option_table_at(i);
    if (!row)
        return false;
    *out = (struct fs_option_words){
        .name = row->name,
        .value_name = row->value_name,
        .fallback = row->fallback,
        .help = row->help,
    };
    if (row->min > 0) /* the others take any user, group or permission bits */
        option_value_format_range(row, out->range);
    return true;
}
