/* Imports of service descriptions: which file a path means, what it may define, and a directory
 * that nothing leads out of. */
#include "ic/did.h"
#include "tests/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TAP_STATE;

/* ---- files in memory ---- */

struct file {
    const char *path, *text;
};

/* Pretends to be a directory, and notes what it was asked for. */
struct fake {
    const struct file *files;
    char asked[2048];
    int failure; /* of every file; 0: none */
};

static int fake_load(void *arg, const char *path, size_t max, struct ic_buf *out)
{
    struct fake *fake = arg;
    size_t len = strlen(fake->asked);
    (void)max;
    snprintf(fake->asked + len, sizeof(fake->asked) - len, "%s%s", len ? " " : "", path);
    for (const struct file *f = fake->files; !fake->failure && f->path; f++)
        if (strcmp(f->path, path) == 0) {
            ic_buf_append(out, f->text, strlen(f->text));
            return 0;
        }
    return fake->failure ? fake->failure : -ENOENT;
}

/* Parse a text among files. expected: the description printed, or the error. */
static void check(const char *text, const struct file *files, const char *asked,
                  const char *expected, const char *what)
{
    struct fake fake = {.files = files};
    struct ic_did_loader loader = {fake_load, &fake};
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    struct ic_buf out = {0};
    int ret = ic_did_parse(text, strlen(text), &loader, &did, &err);

    if (ret == 0)
        ic_did_format(did, &out);
    else
        ic_buf_append(&out, err.message, strlen(err.message));
    ic_buf_append(&out, "", 1);
    TAP_INT(ret, strstr(expected, "line ") ? -EPROTO : 0, what);
    if (!TAP_STR((const char *)out.bytes, expected, "the result"))
        printf("# got %s\n", (const char *)out.bytes);
    if (!TAP_STR(fake.asked, asked, "the files it asked for"))
        printf("# got %s\n", fake.asked);
    ic_did_free(did);
    ic_buf_fini(&out);
}

static void test_paths(void)
{
    static const struct file files[] = {
        {"a.did", "type a = nat"},
        {"x/b.did", "import \"../a.did\"; import \"./c.did\"; import \"y/d.did\""},
        {"x/c.did", "import \"//\"; type c = nat"},
        {"x/e.did", "import \"../../a.did\""},
        {"x/y/d.did", "import \"../../x/..//./a.did\"; type d = a"},
        {NULL, NULL},
    };
    check("import \"a.did\"; service : { m : (a) -> () }", files, "a.did",
          "type a = nat;\nservice : {\n  m : (a) -> ();\n}\n", "a file beside");
    check("import \"x/y/d.did\"; import \"a.did\"", files, "x/y/d.did a.did",
          "type a = nat;\ntype d = a;\n", "each file once, by its place");
    check("import \"x/e.did\"", files, "x/e.did",
          "x/e.did, line 1, column 8: a path out of the directory", "above the directory");
    check("import \"../a.did\"", files, "", "line 1, column 8: a path out of the directory",
          "above it at once");
    check("import \"/a.did\"", files, "", "line 1, column 8: a path out of the directory",
          "absolute");
    check("import \"x/../../x/a.did\"", files, "", "line 1, column 8: a path out of the directory",
          "out and in again");
    check("import \"\"", files, "", "line 1, column 8: a path out of the directory", "empty");
    check("import \"x/..\"", files, "", "line 1, column 8: a path out of the directory",
          "the directory itself");
    check("import \"a.did\\u{0}\"", files, "", "line 1, column 8: a path out of the directory",
          "with a NUL");
    check("import \"x/b.did\"", files, "x/b.did a.did x/c.did",
          "x/c.did, line 1, column 8: a path out of the directory", "the error names the file");
    check("type a = nat;\nimport \"gone.did\"", files, "gone.did",
          "line 2, column 8: cannot read the imported file: No such file or directory",
          "no such file");
}

static void test_names(void)
{
    static const struct file files[] = {
        {"uses.did", "type u = opt mine"},
        {"both.did", "import \"leaf.did\"; import \"uses_leaf.did\""},
        {"leaf.did", "type leaf = nat"},
        {"uses_leaf.did", "type v = leaf"},
        {"loop.did", "import \"loop2.did\"; type l = opt l2"},
        {"loop2.did", "import \"loop.did\"; type l2 = nat"},
        {"loop3.did", "import \"loop4.did\"; type l3 = nat"},
        {"loop4.did", "import \"loop3.did\"; type l4 = opt l3"},
        {"bad.did", "type\n = nat"},
        {NULL, NULL},
    };
    check("import \"uses.did\"; type mine = nat", files, "uses.did",
          "uses.did, line 1, column 14: 'mine' is not defined",
          "a file does not know what its importer defines");
    check("type x = leaf; import \"leaf.did\"", files, "leaf.did",
          "type x = leaf;\ntype leaf = nat;\n", "an importer knows what is imported later");
    check("import \"both.did\"", files, "both.did leaf.did uses_leaf.did",
          "type leaf = nat;\ntype v = leaf;\n", "files imported before are known, as in didc");
    check("import \"loop.did\"", files, "loop.did loop2.did", "type l2 = nat;\ntype l = opt l2;\n",
          "a loop of imports");
    check("import \"loop3.did\"", files, "loop3.did loop4.did",
          "loop4.did, line 1, column 35: 'l3' is not defined", "a loop is no way to names");
    check("import \"leaf.did\"; type leaf = text", files, "leaf.did",
          "line 1, column 25: 'leaf' is already defined", "a name of two files");
    check("import \"bad.did\"", files, "bad.did",
          "bad.did, line 2, column 2: expected a name that is no keyword, found '='",
          "an error in an imported file");
}

static void test_services(void)
{
    static const struct file files[] = {
        {"a.did", "type s = service { // doc\n a : () -> () query }; service : s"},
        {"b.did", "import service \"a.did\"; service : { b : () -> () }"},
        {"init.did", "service : () -> { c : () -> () }"},
        {"none.did", "type n = nat"},
        {"ring.did", "import service \"ring2.did\"; service : { r : () -> () }"},
        {"ring2.did", "import service \"ring.did\"; service : { r2 : () -> () }"},
        {NULL, NULL},
    };
    check("import \"a.did\"; service : { x : () -> () }", files, "a.did",
          "type s = service { a : () -> () query };\nservice : {\n  x : () -> ();\n}\n",
          "an import leaves the service out");
    check("import service \"b.did\"; service : (nat) -> { x : () -> () }", files, "b.did a.did",
          "type s = service { a : () -> () query };\nservice : (nat) -> {\n  a : () -> () query;\n"
          "  b : () -> ();\n  x : () -> ();\n}\n",
          "import service merges the methods, also those of its own imports");
    check("import \"a.did\"; import service \"a.did\"", files, "a.did",
          "type s = service { a : () -> () query };\nservice : {\n  a : () -> () query;\n}\n",
          "both ways is as a service");
    check("type x = nat;\nimport service \"b.did\"; service : { a : () -> () }", files,
          "b.did a.did", "line 2, column 25: a second method 'a'", "a method twice");
    check("import service \"init.did\"", files, "init.did",
          "line 1, column 16: the imported service is a constructor", "a constructor");
    check("import service \"none.did\"", files, "none.did",
          "line 1, column 16: the imported file has no service", "no service");
    check("import service \"ring.did\"", files, "ring.did ring2.did",
          "service : {\n  r : () -> ();\n  r2 : () -> ();\n}\n", "services in a ring");
}

/* ---- limits ---- */

static int endless_load(void *arg, const char *path, size_t max, struct ic_buf *out)
{
    char text[64];
    int *n = arg;
    (void)path, (void)max;
    snprintf(text, sizeof(text), "import \"%d.did\"", ++*n);
    ic_buf_append(out, text, strlen(text));
    return 0;
}

static int long_load(void *arg, const char *path, size_t max, struct ic_buf *out)
{
    static const char spaces[300000];
    int *n = arg;
    (void)path, (void)max;
    ++*n;
    ic_buf_append(out, spaces, sizeof(spaces));
    memset(out->bytes, ' ', out->len);
    return 0;
}

static void test_limits(void)
{
    static const char *const four = "import \"1\"; import \"2\"; import \"3\"; import \"4\"";
    int n = 0;
    struct ic_did_loader loader = {endless_load, &n};
    struct ic_error err = {0};
    struct ic_did *did = NULL;

    TAP_INT(ic_did_parse("import \"0.did\"", 14, &loader, &did, &err), -EPROTO,
            "imports without end");
    TAP_INT(n, IC_DID_MAX_IMPORTS, "stop");
    TAP_STR(err.message, "63.did, line 1, column 8: more than 64 files", "and say so");
    n = 0;
    loader.load = long_load;
    TAP_INT(ic_did_parse(four, strlen(four), &loader, &did, &err), -EPROTO,
            "files that are long together");
    TAP_STR(err.message, "line 1, column 44: the text is over 1048576 bytes with all imports",
            "are too long");
    for (int failure = -EIO; failure >= -ENOMEM; failure -= ENOMEM - EIO) {
        struct fake fake = {.failure = failure};
        loader = (struct ic_did_loader){fake_load, &fake};
        TAP_INT(ic_did_parse(four, strlen(four), &loader, &did, &err),
                failure == -ENOMEM ? -ENOMEM : -EPROTO, "what the loader says");
        TAP_INT(err.code, failure == -ENOMEM ? IC_E_NO_MEMORY : IC_E_MALFORMED, "its class");
    }
    TAP_OK(!did, "nothing comes out");
}

/* ---- a directory ---- */

static char top[] = "/tmp/test_did_import.XXXXXX";

static void put_file(const char *name, const char *text)
{
    char path[256];
    FILE *f;
    snprintf(path, sizeof(path), "%s/%s", top, name);
    f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0) {
        printf("Bail out! cannot write %s\n", path);
        exit(1);
    }
}

static void check_file(const char *name, int expected, const char *message, const char *what)
{
    char path[256];
    struct ic_did *did = NULL;
    struct ic_error err = {0};
    snprintf(path, sizeof(path), "%s/%s", top, name);
    TAP_INT(ic_did_parse_file(path, &did, &err), expected, what);
    if (!TAP_OK(strstr(err.message, message), message))
        printf("# got %s\n", err.message);
    ic_did_free(did);
}

static void make_directory(const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    if (mkdir(path, 0700) < 0) {
        printf("Bail out! cannot make %s\n", path);
        exit(1);
    }
}

static void make_link(const char *target, const char *name)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", top, name);
    if (symlink(target, path) < 0) {
        printf("Bail out! cannot make %s\n", path);
        exit(1);
    }
}

static void test_directory(void)
{
    char fifo[256], command[64];

    if (!mkdtemp(top)) {
        printf("Bail out! no temporary directory\n");
        exit(1);
    }
    make_directory("in");
    make_directory("in/sub");
    put_file("secret.did", "type secret = nat");
    put_file("in/a.did", "import \"sub/b.did\"");
    put_file("in/sub/b.did", "import \"../c.did\"; type b = c");
    put_file("in/c.did", "type c = nat");
    put_file("in/up.did", "import \"../secret.did\"");
    put_file("in/link.did", "import \"escape.did\"");
    put_file("in/dirlink.did", "import \"out/secret.did\"");
    put_file("in/dir.did", "import \"sub\"");
    put_file("in/fifo.did", "import \"pipe\"");
    put_file("in/through.did", "import \"c.did/x\"");
    make_link("../secret.did", "in/escape.did");
    make_link("..", "in/out");
    make_link("a.did", "in/first.did");
    snprintf(fifo, sizeof(fifo), "%s/in/pipe", top);
    TAP_INT(mkfifo(fifo, 0600), 0, "a FIFO that nobody writes");

    check_file("in/a.did", 0, "", "files beside and below");
    check_file("in/first.did", 0, "", "the first file may be a link");
    check_file("in/up.did", -EPROTO, "a path out of the directory", "a path above");
    check_file("in/link.did", -EPROTO, "cannot read", "a link out");
    check_file("in/dirlink.did", -EPROTO, "cannot read", "a link of a directory out");
    check_file("in/dir.did", -EPROTO, "cannot read", "a directory");
    check_file("in/fifo.did", -EPROTO, "cannot read", "a FIFO");
    check_file("in/through.did", -EPROTO, "cannot read", "a file as a directory");
    check_file("in/gone.did", -EINVAL, "cannot be read: No such file", "no first file");
    check_file("in", -EINVAL, "cannot be read: not a regular file",
               "a directory as the first file");
    check_file("in/pipe", -EINVAL, "cannot be read", "a FIFO as the first file");

    snprintf(command, sizeof(command), "rm -r %s", top);
    TAP_INT(system(command), 0, "cleaned up");
}

int main(void)
{
    test_paths();
    test_names();
    test_services();
    test_limits();
    test_directory();
    return tap_done();
}
