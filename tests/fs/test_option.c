/* The option table: what is accepted, what is refused, and in which words. */
#include "fs/lease.h"
#include "fs/option.h"
#include "fs/usage.h"
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
    TAP_INT((int64_t)o.max_inflight, 32, "max_inflight defaults to 32");
    TAP_INT((int64_t)o.timeout_ns, 30 * INT64_C(1000000000), "timeout defaults to 30 s");
    TAP_INT((int64_t)o.log_level, FS_LOG_INFO, "log_level defaults to info");
    TAP_INT((int64_t)o.umask, 0, "umask takes nothing away");
    TAP_OK(!o.allow_other && !o.foreground && !o.insecure_root_key && !o.identity && !o.rw &&
               !o.force,
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
                          "--uid=1000",
                          "--umask=0137"};
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
    TAP_INT((int64_t)o.umask, 0137, "umask is octal");
    fs_option_fini(&o);
}

/* What mount(8) hands over for fstab lines in use: an entry must not fail for a word that changes
 * nothing here. */
static void test_mount_words(void)
{
    static const char *const lists[] = {
        "ro,relatime,strictatime,lazytime,norelatime,nostrictatime,nolazytime",
        "ro,sync,async,dirsync,default_permissions,nosymfollow,symfollow",
        "ro,auto,noauto,user,nouser,users,nousers,owner,noowner,group,nogroup",
        "ro,defaults,nofail,_netdev,iversion,noiversion,mand,nomand,silent,loud",
        "ro,x-systemd.automount,X-mount.mkdir=0700,x-gvfs-show,comment=x-a.b",
    };
    struct fs_options o;
    char message[256];
    for (int i = 0; i < N(lists); i++) {
        const char *argv[] = {"canisterfs", "c", "m", "-o", lists[i]};
        TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)), FS_EXIT_OK, lists[i]);
        TAP_STR(o.kernel_options, "", "... and none of them is for the kernel");
        TAP_OK(!o.rw, "... nor asks for writing");
        fs_option_fini(&o);
    }
    /* What mount.fuse3 makes of "defaults". */
    const char *argv[] = {"canisterfs", "c", "m", "-o", "rw,dev,suid"};
    TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)), FS_EXIT_OK, "rw is taken");
    TAP_OK(o.rw, "and files can be restored");
    fs_option_fini(&o);
    const char *both[] = {"canisterfs", "c", "m", "-o", "rw,ro"};
    TAP_INT(parse(N(both), both, &o, message, sizeof(message)), FS_EXIT_OK, "rw and then ro");
    TAP_OK(!o.rw, "the last one counts");
    fs_option_fini(&o);
}

static void test_choices(void)
{
    const char *argv[] = {"canisterfs", "c",
                          "m",          "-o",
                          "rw",         "--commit=manual",
                          "-o",         "shrink=zero,maintenance=auto,force,staging_dir=/s"};
    struct fs_options o;
    char message[256];
    TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)), FS_EXIT_OK, "options of writing");
    TAP_OK(o.rw && o.force, "flags");
    TAP_INT((int64_t)o.commit, FS_COMMIT_MANUAL, "commit");
    TAP_INT((int64_t)o.shrink, FS_SHRINK_ZERO, "shrink");
    TAP_INT((int64_t)o.maintenance, FS_MAINTENANCE_AUTO, "maintenance");
    TAP_STR(o.staging_dir, "/s", "staging_dir");
    fs_option_fini(&o);
    const char *defaults[] = {"canisterfs", "c", "m"};
    TAP_INT(parse(N(defaults), defaults, &o, message, sizeof(message)), FS_EXIT_OK, "none");
    TAP_INT((int64_t)o.commit, FS_COMMIT_AUTO, "commits are made");
    TAP_INT((int64_t)o.shrink, FS_SHRINK_NO, "nothing shrinks");
    TAP_INT((int64_t)o.maintenance, FS_MAINTENANCE_MANUAL, "nothing is paused by itself");
    fs_option_fini(&o);
}

static void test_network(void)
{
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"ic", true},
        {"local", true},
        {"https://icp-api.io", true},
        {"http://127.0.0.1:8123/", true},
        {"http://[::1]:8000/path", true},
        {"http://[::1]", true},
        {"ftp://host", false},
        {"host:8000", false},
        {"http://", false},
        {"http:///path", false},
        {"http://:8000", false},
        {"http://host:", false},
        {"http://host:70000", false},
        {"http://host:80x", false},
        {"http://host:-1", false},
        {"http://a b", false},
        {"http://host/?q", false},
        {"http://host/#f", false},
        {"http://user:secret@host", false},
        {"http://secret@host:8000", false},
        {"ftp://user:secret@host", false},
    };
    for (int i = 0; i < N(rows); i++) {
        char text[64];
        snprintf(text, sizeof(text), "network=%s", rows[i].url);
        const char *argv[] = {"canisterfs", "c", "m", "-o", text};
        struct fs_options o;
        char message[256] = "";
        TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)),
                rows[i].good ? FS_EXIT_OK : FS_EXIT_USAGE, rows[i].url);
        TAP_OK(rows[i].good || (strstr(message, "not ic, local, or a URL") != NULL &&
                                strstr(message, "secret") == NULL),
               "... in words that tell no password");
        fs_option_fini(&o);
    }
}

static void test_proxies(void)
{
    static const struct {
        const char *text;
        bool good;
    } rows[] = {
        {"none", true},
        {"http://proxy.example:3128", true},
        {"https://proxy.example", true},
        {"http://[::1]:3128/", true},
        {"proxy.example:3128", false},
        {"socks5://proxy.example", false},
        {"http://user:secret@proxy.example", false},
        {"http://proxy.example/path/secret", false},
        {"http://", false},
        {"direct", false},
    };
    for (int i = 0; i < N(rows); i++) {
        char text[64];
        snprintf(text, sizeof(text), "proxy=%s", rows[i].text);
        const char *argv[] = {"canisterfs", "c", "m", "-o", text};
        struct fs_options o;
        char message[256] = "";
        TAP_INT(parse(N(argv), argv, &o, message, sizeof(message)),
                rows[i].good ? FS_EXIT_OK : FS_EXIT_USAGE, rows[i].text);
        TAP_OK(rows[i].good ? strcmp(o.proxy, rows[i].text) == 0
                            : strstr(message, "not none, or a URL") && !strstr(message, "secret"),
               "... kept, or refused in words that tell no password");
        fs_option_fini(&o);
    }
}

static void test_refusals(void)
{
    static const struct {
        const char *argv[5];
        int argc;
        const char *says; /* must be part of the message */
    } rows[] = {
        {{"canisterfs"}, 1, "no canister and no mount point; usage: canisterfs [options]"},
        {{"canisterfs", "c"}, 2, "no mount point; usage: canisterfs [options]"},
        {{"canisterfs", "/m"}, 2, "no canister; usage: canisterfs [options]"},
        {{"canisterfs", "c", "m", "x"}, 4, "one argument too many: 'x'"},
        {{"canisterfs", "-o", "colour=red", "c", "m"},
         5,
         "unknown option 'colour' (see canisterfs --help)"},
        {{"canisterfs", "--ro", "c", "m"}, 4, "unknown option 'ro' (see"},
        {{"canisterfs", "-o", "identiy=x", "c", "m"}, 5, "unknown option 'identiy' (identity?)"},
        {{"canisterfs", "--cachesiz=1G", "c", "m"}, 4, "unknown option 'cachesiz' (cache_size?)"},
        {{"canisterfs", "-o", "tiemout=5s", "c", "m"}, 5, "unknown option 'tiemout' (timeout?)"},
        {{"canisterfs", "-o", "jid=5", "c", "m"}, 5, "unknown option 'jid' (did?)"},
        {{"canisterfs", "-o", "max_thre", "c", "m"}, 5, "unknown option 'max_thre' (see"},
        {{"canisterfs", "-o", "proxy_", "c", "m"}, 5, "unknown option 'proxy_' (proxy?)"},
        {{"canisterfs", "-o", "ab", "c", "m"}, 5, "unknown option 'ab' (see"},
        {{"canisterfs", "-o", "remount,ro", "c", "m"}, 5, "unmount it, and mount it again"},
        {{"canisterfs", "-o", "map=a,profile=b", "c", "m"}, 5, "'map' and 'profile' exclude each"},
        {{"canisterfs", "-o", "network=local,insecure_root_key,root_key=0", "c", "m"},
         5,
         "'root_key' and 'insecure_root_key' exclude each other"},
        {{"canisterfs", "-o", "insecure_root_key", "c", "m"},
         5,
         "the root key of network=ic is built in"},
        {{"canisterfs", "-x", "c", "m"}, 4, "unknown option '-x'"},
        {{"canisterfs", "-o"}, 2, "option '-o' needs a value: -o name[=value],..."},
        {{"canisterfs", "-o", "delegation=x", "c", "m"}, 5, "'delegation' needs 'identity'"},
        {{"canisterfs", "-o", "password_file=x", "c", "m"}, 5, "'password_file' needs 'identity'"},
        {{"canisterfs", "-o", "cache_size", "c", "m"}, 5, "needs a value"},
        {{"canisterfs", "-o", "cache_size=", "c", "m"}, 5, "needs a value"},
        {{"canisterfs", "-o", "cache_size=1", "c", "m"}, 5, "'1' is not a size from 4M to 1024G"},
        {{"canisterfs", "-o", "cache_size=2T", "c", "m"}, 5, "'2T' is not a size from 4M to 1024G"},
        {{"canisterfs", "-o", "cache_size=-5M", "c", "m"}, 5, "'-5M' is not a size"},
        {{"canisterfs", "-o", "cache_size=5MB", "c", "m"}, 5, "'5MB' is not a size"},
        {{"canisterfs", "-o", "cache_size=99999999999999999999", "c", "m"}, 5, "is not a size"},
        {{"canisterfs", "-o", "cache_size=18446744073709551615T", "c", "m"}, 5, "is not a size"},
        {{"canisterfs", "-o", "timeout=5h", "c", "m"}, 5, "'5h' is not a time"},
        {{"canisterfs", "-o", "timeout=0", "c", "m"}, 5, "'0' is not a time"},
        {{"canisterfs", "-o", "timeout=500ms", "c", "m"},
         5,
         "'500ms' is not a time from 1s to 3600s, such as 30s"},
        {{"canisterfs", "-o", "attr_timeout=99ms", "c", "m"},
         5,
         "'99ms' is not a time from 100ms to 86400s, such as 1s"},
        {{"canisterfs", "-o", "max_threads=1", "c", "m"}, 5, "not a number from 2 to 512"},
        {{"canisterfs", "-o", "max_inflight=33", "c", "m"}, 5, "not a number from 1 to 32"},
        {{"canisterfs", "-o", "umask=8", "c", "m"}, 5, "'8' is not an octal number from 0 to 777"},
        {{"canisterfs", "-o", "umask=1000", "c", "m"}, 5, "from 0 to 777"},
        {{"canisterfs", "-o", "umask=u=rw", "c", "m"}, 5, "'u=rw' is not an octal number"},
        {{"canisterfs", "-o", "log_level=loud", "c", "m"}, 5, "'loud' is not error, warning"},
        {{"canisterfs", "-o", "allow_other=yes", "c", "m"}, 5, "takes no value"},
        {{"canisterfs", "-o", "live=yes", "c", "m"}, 5, "'yes' is not warn or fail"},
        {{"canisterfs", "-o", "commit=aut", "c", "m"}, 5, "'aut' is not auto or manual"},
        {{"canisterfs", "-o", "maintenance=on", "c", "m"}, 5, "'on' is not off, manual or auto"},
        {{"canisterfs", "-o", "shrink=zero|", "c", "m"}, 5, "'zero|' is not no or zero"},
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

/* The text a function prints; malloc'ed. */
static char *printed(void (*print)(FILE *to))
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    print(to);
    fclose(to);
    return text;
}

static void test_texts(void)
{
    char *help = printed(fs_usage_print_help);
    char *page = printed(fs_usage_print_man_page);
    TAP_OK(strstr(help, "cache_size=SIZE") && strstr(help, "[256M]") && strstr(help, "exit status"),
           "--help comes from the table");
    TAP_OK(strstr(page, ".B max_inflight=N") && strstr(page, "(default: 32)"),
           "so does the manual page");
    TAP_OK(strstr(page, "\\-h") && strstr(page, "\\-V") && strstr(page, "SIGUSR2") &&
               strstr(page, "EXIT STATUS"),
           "which has the short options, the signals and the exit statuses");
    static const char *const ranges[] = {"; 4M to 1024G",     "; 4M to 16384G", "; 1 to 1000000",
                                         "; 1s to 86400s",    "; 1 to 32",      "; 1s to 3600s",
                                         "; 100ms to 86400s", "; 2 to 512",     "; 1 to 160"};
    for (int i = 0; i < N(ranges); i++)
        TAP_OK(strstr(help, ranges[i]) && strstr(page, ranges[i]), ranges[i]);
    static const char *const parts[] = {".B canisterfs \\-\\-whoami",
                                        ".SH IDENTITIES\n",
                                        ".SH FILES\n",
                                        ".B stable_memory\n",
                                        ".BI snapshots/ ID /\n",
                                        ".B .canisterfs/status\n",
                                        "$DFX_CONFIG_ROOT/.config/dfx/identity",
                                        ".SH EXAMPLES\n",
                                        "or any http or https URL without a password"};
    for (int i = 0; i < N(parts); i++)
        TAP_OK(strstr(page, parts[i]), parts[i]);
    struct fs_option_words words;
    unsigned n_missing = 0, n_ranges = 0;
    for (size_t i = 0; fs_option_describe(i, &words); i++) {
        n_missing += !strstr(help, words.name) || !strstr(page, words.name);
        n_ranges += words.range[0] != '\0';
    }
    TAP_INT(n_missing, 0, "no option is missing in either");
    TAP_INT(n_ranges, N(ranges), "no other has a range");
    free(help);
    free(page);
}

int main(void)
{
    test_defaults();
    test_forms();
    test_mount_words();
    test_choices();
    test_network();
    test_proxies();
    test_refusals();
    test_texts();
    return tap_done();
}
