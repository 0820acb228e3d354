/* The option table: what is accepted, what is refused, and in which words. */
#include "fs/log.h"
#include "fs/option.h"
#include "tests/tap.h"

#include <stdlib.h>

TAP_STATE;

#define N(array) (int)(sizeof(array) / sizeof(array[0]))

static enum fs_exit parse(int argc, const char *const *argv, struct fs_options *options,
                          char *message, size_t size)
{
    char *copy[32];
    for (int i = 0; i < argc; i++)
        copy[i] = strdup(argv[i]);
    enum fs_exit result = fs_option_parse(argc, copy, options, message, size);
    for (int i = 0; i < argc; i++)
        free(copy[i]);
    return result;
}

static void test_defaults(void)
{
    const char *argv[] = {"canisterfs", "aaaaa-aa", "/mnt"};
    struct fs_options o;
    char message[256];
    TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)), FS_EXIT_OK,
            "two arguments suffice");
    TAP_STR(o.canister, "aaaaa-aa", "the canister comes first");
    TAP_STR(o.mountpoint, "/mnt", "the mount point second");
    TAP_STR(o.network, "ic", "network defaults to the Internet Computer");
    TAP_INT((int64_t)o.cache_size, 256 << 20, "cache_size defaults to 256 MiB");
    TAP_INT((int64_t)o.max_inflight, 16, "max_inflight defaults to 16");
    TAP_INT((int64_t)o.timeout_ns, 30 * INT64_C(1000000000), "timeout defaults to 30 s");
    TAP_INT((int64_t)o.log_level, FS_LOG_INFO, "log_level defaults to info");
    TAP_OK(!o.allow_other && !o.foreground && !o.insecure_root_key && !o.identity,
           "nothing else is on");
    fs_option_fini(&o);
}

static void test_forms(void)
{
    const char *argv[] = {"canisterfs",
                          "-o",
                          "ro,nosuid,_netdev,x-systemd.automount,cache_size=1G,noexec",
                          "--timeout=1500ms",
                          "-oidentity=/a/b.pem,identity=/c.pem",
                          "-f",
                          "c",
                          "m",
                          "--log_level=trace",
                          "--uid=1000"};
    struct fs_options o;
    char message[256];
    TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)), FS_EXIT_OK,
            "every form of option is read, before and after the arguments");
    TAP_INT((int64_t)o.cache_size, INT64_C(1) << 30, "sizes have suffixes");
    TAP_INT((int64_t)o.timeout_ns, 1500000000, "times have suffixes");
    TAP_STR(o.identity, "/c.pem", "the last of two wins");
    TAP_STR(o.kernel_options, "nosuid,noexec", "the kernel's words are kept, mount(8)'s dropped");
    TAP_OK(o.foreground, "-f");
    TAP_INT((int64_t)o.log_level, FS_LOG_TRACE, "log_level by name");
    TAP_INT((int64_t)o.uid, 1000, "uid");
    fs_option_fini(&o);
}

static void test_refusals(void)
{
    static const struct {
        const char *argv[5];
        int argc;
        const char *says; /* must be part of the message */
    } rows[] = {
        {{"canisterfs"}, 1, "usage: canisterfs"},
        {{"canisterfs", "c"}, 2, "usage: canisterfs"},
        {{"canisterfs", "c", "m", "x"}, 4, "one argument too many: 'x'"},
        {{"canisterfs", "-o", "colour=red", "c", "m"}, 5, "unknown option 'colour'"},
        {{"canisterfs", "--ro", "c", "m"}, 4, "unknown option 'ro'"},
        {{"canisterfs", "-x", "c", "m"}, 4, "unknown option '-x'"},
        {{"canisterfs", "-o"}, 2, "unknown option '-o'"},
        {{"canisterfs", "-o", "rw", "c", "m"}, 5, "reads only"},
        {{"canisterfs", "-o", "cache_size", "c", "m"}, 5, "needs a value"},
        {{"canisterfs", "-o", "cache_size=", "c", "m"}, 5, "needs a value"},
        {{"canisterfs", "-o", "cache_size=1", "c", "m"}, 5, "'1' is not a size"},
        {{"canisterfs", "-o", "cache_size=-5M", "c", "m"}, 5, "'-5M' is not a size"},
        {{"canisterfs", "-o", "cache_size=5MB", "c", "m"}, 5, "'5MB' is not a size"},
        {{"canisterfs", "-o", "cache_size=99999999999999999999", "c", "m"}, 5, "is not a size"},
        {{"canisterfs", "-o", "cache_size=18446744073709551615T", "c", "m"}, 5, "is not a size"},
        {{"canisterfs", "-o", "timeout=5h", "c", "m"}, 5, "'5h' is not a time"},
        {{"canisterfs", "-o", "timeout=0", "c", "m"}, 5, "'0' is not a time"},
        {{"canisterfs", "-o", "max_inflight=33", "c", "m"}, 5, "not a number from 1 to 32"},
        {{"canisterfs", "-o", "log_level=loud", "c", "m"}, 5, "'loud' is not error, warning"},
        {{"canisterfs", "-o", "allow_other=yes", "c", "m"}, 5, "takes no value"},
    };
    for (int i = 0; i < N(rows); i++) {
        struct fs_options o;
        char message[256] = "";
        enum fs_exit result = parse(rows[i].argc, rows[i].argv, &o, message, sizeof(message));
        TAP_INT(result, FS_EXIT_USAGE, rows[i].says);
        if (!TAP_OK(strstr(message, rows[i].says) != NULL, "... in these words"))
            printf("# said: %s\n", message);
        fs_option_fini(&o);
    }
}

static void test_texts(void)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    fs_option_print_help(to);
    fclose(to);
    TAP_OK(strstr(text, "cache_size=SIZE") && strstr(text, "[256M]") && strstr(text, "exit status"),
           "--help comes from the table");
    free(text);
    to = open_memstream(&text, &len);
    fs_option_print_man_page(to);
    fclose(to);
    TAP_OK(strstr(text, ".B max_inflight=N") && strstr(text, "(default: 16)"),
           "so does the manual page");
    free(text);
}

int main(void)
{
    test_defaults();
    test_forms();
    test_refusals();
    test_texts();
    return tap_done();
}
