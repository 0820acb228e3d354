#include "fs/usage.h"

#include "fs/command.h"
#include "fs/option.h"

#include <errno.h>
#include <string.h>

#define N_EXITS  (sizeof(exit_table) / sizeof(exit_table[0]))
#define N_ERRORS (sizeof(error_table) / sizeof(error_table[0]))

/* What the program's exit status tells. */
static const struct {
    enum fs_exit status;
    const char *meaning;
} exit_table[] = {
    {FS_EXIT_OK, "the mount serves; in the foreground: it was unmounted"},
    {FS_EXIT_USAGE, "the command line is wrong"},
    {FS_EXIT_CONFIG, "a file, a profile, an identity or a key that an option names cannot be used"},
    {FS_EXIT_NETWORK, "the network or the canister cannot be reached, verified or found"},
    {FS_EXIT_MOUNT, "the mount point cannot be mounted on, or serving ended by an error"},
};

/* What a failed system call on the mount tells: README, Errors; ic/error.c decides. */
static const struct {
    int number;
    const char *situation;
} error_table[] = {
    {ETIMEDOUT, "the deadline passed"},
    {EINTR, "cancelled by the caller"},
    {EHOSTUNREACH, "name lookup, connection or connection loss, after retries"},
    {EPROTO, "TLS failure; a reply that is malformed, truncated or of the wrong length"},
    {EBADMSG, "a certificate or a signature does not verify"},
    {EBUSY,
     "the canister says so: a lease, a restore under way; a file that somebody else writes; a "
     "command whose job has not ended"},
    {EACCES, "not authorised: HTTP 401 or 403, the canister says so, inspect_message, a collection "
             "is null; "
             "the identity's delegation has expired"},
    {ENOENT, "no such name, method, job or snapshot"},
    {ESTALE,
     "the version changed under an open file; the replies that make up a chunk file did not "
     "agree three times"},
    {ENOSPC,
     "the canister is out of memory or cycles, or has ten snapshots; no room in staging_dir"},
    {EFBIG,
     "even the smallest reply is more than the canister can give: one item of a collection (the "
     "other files are not affected); a chunk file over 64 MiB or over what can be kept, see "
     "chunk_items and cache_size; writing beyond 500 GiB, which no stable memory can have"},
    {EROFS, "writing what cannot be restored, or without -o rw; a command that needs -o rw"},
    {EINVAL,
     "a command that is none, or names what it cannot use; what was written cannot be this file: "
     "shorter than the memory, malformed, not what is expected"},
    {ECANCELED, "a restore while dryrun is on"},
    {EXDEV, "renaming what can be restored"},
    {EOPNOTSUPP, "a command that the canister has no method for"},
    {ENOMEM, "out of memory here"},
    {EIO, "anything else: canister trap, stopped canister, HTTP 5xx, 429 after retries"},
};

/* "cache_size=SIZE" */
static void format_synopsis(const struct fs_option_words *words, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s", words->name, words->value_name ? "=" : "",
             words->value_name ? words->value_name : "");
}

void fs_usage_print_help(FILE *to)
{
    fprintf(to,
            "usage: canisterfs [options] CANISTER MOUNTPOINT\n"
            "       canisterfs --whoami [-o identity=...]\n"
            "\n"
            "Mounts an Internet Computer canister as a directory: stable_memory is one seekable\n"
            "file, backup/ has its backup methods as directories of files, inspect/ shows them to\n"
            "people, snapshots/ has its snapshots, canister/ holds certified facts. Unmount with:\n"
            "fusermount3 -u MOUNTPOINT\n"
            "\n"
            "options (-o name[=value],... or --name[=value]):\n");
    struct fs_option_words words;
    for (size_t i = 0; fs_option_describe(i, &words); i++) {
        char synopsis[64];
        format_synopsis(&words, synopsis, sizeof(synopsis));
        fprintf(to, "  %-23s  %s%s%s", synopsis, words.help, words.range[0] ? "; " : "",
                words.range);
        if (words.fallback)
            fprintf(to, " [%s]", words.fallback);
        fputc('\n', to);
    }
    fprintf(to,
            "  -f                       as foreground\n"
            "  --whoami                 print the principal of the identity, and mount nothing\n"
            "  -h, --help               this text\n"
            "  -V, --version            the version\n"
            "\n"
            "commands (echo COMMAND > MOUNTPOINT/.canisterfs/control):\n");
    for (const struct fs_command *command = fs_commands; command->name; command++) {
        char synopsis[64];
        fs_command_synopsis(command, synopsis, sizeof(synopsis));
        fprintf(to, "  %-23s  %s\n", synopsis, command->help);
    }
    fprintf(to, "\nexit status:\n");
    for (size_t i = 0; i < N_EXITS; i++)
        fprintf(to, "  %-24d %s\n", exit_table[i].status, exit_table[i].meaning);
}

/* roff reads a dash as a hyphen and a leading dot or quote as a request. */
static void print_roff(FILE *to, const char *text)
{
    if (*text == '.' || *text == '\'')
        fputs("\\&", to);
    for (const char *p = text; *p; p++) {
        if (*p == '-' || *p == '\\')
            fputc('\\', to);
        fputc(*p, to);
    }
}

/* Sections of the manual page that no table has. */
static const char identities_text[] =
    ".SH IDENTITIES\n"
    "What\n.B identity\nnames:\n"
    ".TP\na word with a slash, or the name of a file that is there\n"
    "the private key in this PEM file, as icp\\-cli, dfx and OpenSSL write it\n"
    ".TP\n.B anonymous\nanybody, as without the option\n"
    ".TP\nany other word\n"
    "the identity of that name in icp\\-cli or dfx; when both have it, it must be the same\n"
    "principal\n"
    ".PP\n"
    ".B canisterfs \\-\\-whoami \\-o identity=...\n"
    "prints the principal, without a canister or a network: give it to whoever controls the\n"
    "canister. The password of a protected key is the first line of\n.BR password_file ,\n"
    "else it is asked for on the terminal. With\n.B delegation\n"
    "the key speaks for another one, for a time and perhaps for some canisters only; the chain\n"
    "is verified before anything is mounted. Keep key and password files to yourself\n"
    "(chmod 600).\n";

static const char files_text[] =
    ".SH FILES\nBelow the mount point:\n"
    ".TP\n.B stable_memory\n"
    "the stable memory, when the canister has methods to read it\n"
    ".TP\n.BR vmem/000 \" ... \" 254\n"
    "instead of it, where the methods take a memory id: each memory that is not empty\n"
    ".TP\n.BI backup/ NAME /\n"
    "a collection: files of\n.B chunk_items\nitems, each a Candid message, or bytes where the "
    "items are\n"
    ".TP\n.BI inspect/ NAME /\n"
    "the same messages as JSON and as Candid text, with names\n"
    ".TP\n.BI snapshots/ ID /\n"
    "snapshots of the canister, for its controllers, in the layout of "
    "icp canister snapshot download; with\n.B rw\na directory made here is local until\n"
    ".B snapshot upload\nsends it\n"
    ".TP\n.B canister/\n"
    "certified facts:\n.IR id \", \" subnet \", \" module_hash \", \" controllers \", \" "
    "candid.did\n"
    ".TP\n.B .canisterfs/status\n"
    "JSON: what is mounted, what the canister offers and why not, jobs, last errors in words\n"
    ".TP\n.B .canisterfs/stats\n"
    "JSON: calls, bytes, retries, latencies, cache\n"
    ".TP\n.B .canisterfs/control\n"
    "takes commands, one a line; reading it lists them\n"
    ".PP\nElsewhere, only read:\n"
    ".TP\n.B $ICP_HOME/identity, $XDG_DATA_HOME/icp\\-cli/identity, "
    "~/.local/share/icp\\-cli/identity\n"
    "identities of icp\\-cli: the first of these whose variable is set\n"
    ".TP\n.B $DFX_CONFIG_ROOT/.config/dfx/identity, ~/.config/dfx/identity\n"
    "identities of dfx, likewise\n"
    ".PP\nIn\n.BR cache_dir ,\nwritten:\n"
    ".TP\n.IB CANISTER .seen\n"
    "when the contents of its chunk files were first seen; may be deleted\n";

static const char examples_text[] =
    ".SH EXAMPLES\n"
    "Mount a canister of the Internet Computer, copy its memory, unmount:\n"
    ".PP\n.nf\n.RS\n"
    "canisterfs ryjl3\\-tyaaa\\-aaaaa\\-aaaba\\-cai mnt\n"
    "cp mnt/stable_memory backup.new && mv backup.new backup\n"
    "fusermount3 \\-u mnt\n"
    ".RE\n.fi\n.PP\n"
    "Copy every collection; from the same mount later only what changed:\n"
    ".PP\n.nf\n.RS\n"
    "rsync \\-a mnt/backup/ saved/\n"
    ".RE\n.fi\n.PP\n"
    "With a key, refusing memory of which a copy may mix two states:\n"
    ".PP\n.nf\n.RS\n"
    "canisterfs \\-o identity=backup.pem,live=fail ryjl3\\-tyaaa\\-aaaaa\\-aaaba\\-cai mnt\n"
    ".RE\n.fi\n.PP\n"
    "A network of your own, whose root key\n.B icp network status \\-\\-json\nprints:\n"
    ".PP\n.nf\n.RS\n"
    "canisterfs \\-o network=http://127.0.0.1:8000,root_key=308182301d... "
    "ryjl3\\-tyaaa\\-aaaaa\\-aaaba\\-cai mnt\n"
    ".RE\n.fi\n";

void fs_usage_print_man_page(FILE *to)
{
    fprintf(to,
            ".TH CANISTERFS 1 \"\" \"canisterfs " CANISTERFS_VERSION "\"\n"
            ".nh\n" /* paths are to be copied */
            ".SH NAME\ncanisterfs \\- mount an Internet Computer canister as a directory\n"
            ".SH SYNOPSIS\n.B canisterfs\n[options] CANISTER MOUNTPOINT\n.br\n"
            ".B canisterfs \\-\\-whoami\n[\\-o identity=...]\n"
            ".SH DESCRIPTION\n"
            "The stable memory of the canister appears as one seekable file,\n"
            ".IR stable_memory ,\nits backup methods as directories of files in\n"
            ".IR backup/ ,\nwith certified facts beside them in\n.IR canister/ .\n"
            "Only what is read is fetched. Every reply is verified against the root key of the\n"
            "network. A read returns exactly the bytes of the canister or an error.\n"
            ".SH OPTIONS\nGiven as \\fB\\-o\\fR \\fIname\\fR[=\\fIvalue\\fR],... or "
            "\\fB\\-\\-\\fIname\\fR[=\\fIvalue\\fR]. "
            "Of an option\ngiven twice the last counts.\n");
    struct fs_option_words words;
    for (size_t i = 0; fs_option_describe(i, &words); i++) {
        char synopsis[64];
        format_synopsis(&words, synopsis, sizeof(synopsis));
        fprintf(to, ".TP\n.B ");
        print_roff(to, synopsis);
        fputc('\n', to);
        print_roff(to, words.help);
        if (words.range[0])
            fprintf(to, "; %s", words.range);
        if (words.fallback) {
            fprintf(to, " (default: ");
            print_roff(to, words.fallback);
            fputc(')', to);
        }
        fputc('\n', to);
    }
    fprintf(to, ".TP\n.B \\-f\nas foreground\n"
                ".TP\n.B \\-\\-whoami\nprint the principal of the identity, and mount nothing\n"
                ".TP\n.BR \\-h \", \" \\-\\-help\nprint the options\n"
                ".TP\n.BR \\-V \", \" \\-\\-version\nprint the version\n"
                ".SH COMMANDS\n"
                "Written to\n.IR .canisterfs/control ,\none a line, as in\n"
                ".BR \"echo prepare > MOUNTPOINT/.canisterfs/control\" .\n"
                "The write fails with the errno of the first command that is refused, and the\n"
                "lines after it are not done. What takes time goes on as a job, and\n"
                ".I .canisterfs/status\nsays under\n.I jobs\nwhat becomes of it.\n");
    for (const struct fs_command *command = fs_commands; command->name; command++) {
        char synopsis[64];
        fs_command_synopsis(command, synopsis, sizeof(synopsis));
        fprintf(to, ".TP\n.B ");
        print_roff(to, synopsis);
        fputc('\n', to);
        print_roff(to, command->help);
        fputc('\n', to);
    }
    fprintf(to, "%s%s", identities_text, files_text);
    fprintf(to, ".SH SIGNALS\n"
                ".TP\n.BR SIGINT \", \" SIGTERM \", \" SIGHUP\n"
                "give up what is under way and unmount; before the mount serves, the program\n"
                "cleans up and dies of the signal\n"
                ".TP\n.B SIGUSR2\n"
                "move the log level one step on: error, warning, info, debug, trace, and from\n"
                "there back to info; the log says which it is now\n"
                ".SH EXIT STATUS\n");
    for (size_t i = 0; i < N_EXITS; i++)
        fprintf(to, ".TP\n.B %d\n%s\n", exit_table[i].status, exit_table[i].meaning);
    fprintf(to,
            ".SH ERRORS\n"
            "What a failed system call on the mount tells. The cause in words is logged once and\n"
            "kept in\n.IR .canisterfs/status .\n");
    for (size_t i = 0; i < N_ERRORS; i++)
        fprintf(to, ".TP\n.B %s\n%s\n", strerrorname_np(error_table[i].number),
                error_table[i].situation);
    fprintf(to, "%s", examples_text);
    fprintf(to, ".SH SEE ALSO\n.BR fusermount3 (1),\n.BR mount (8)\n");
}
