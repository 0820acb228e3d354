/* main for a fuzz target without libFuzzer: runs it over the files given, and over every prefix and
 * some changed bytes of each, so that the corpus is worth something in every test run. Directories
 * stand for the files in them. */
#include "tests/fuzz/target.h"
#include "tests/tap.h"

#include <dirent.h>
#include <stdlib.h>
#include <sys/stat.h>

TAP_STATE;

#define FILE_MAX 65536

/* From exact memory, so that a sanitizer sees a read past the end. */
static void run(const uint8_t *bytes, size_t len)
{
    uint8_t *exact = malloc(len ? len : 1);
    if (!exact)
        exit(1);
    if (len)
        memcpy(exact, bytes, len);
    LLVMFuzzerTestOneInput(exact, len);
    free(exact);
}

static void run_file(const char *path)
{
    static uint8_t bytes[FILE_MAX];
    size_t len, step;
    FILE *f = fopen(path, "rb");
    if (!f) {
        printf("Bail out! cannot open %s\n", path);
        exit(1);
    }
    len = fread(bytes, 1, sizeof(bytes), f);
    fclose(f);
    run(bytes, len);
    step = len / 64 + 1;
    for (size_t cut = 0; cut < len; cut += step)
        run(bytes, cut);
    for (size_t i = 0; i < len; i += step) {
        uint8_t old = bytes[i];
        bytes[i] ^= (uint8_t)(1 << i % 8);
        run(bytes, len);
        bytes[i] = 0xff;
        run(bytes, len);
        bytes[i] = old;
    }
    TAP_OK(true, path);
}

static bool has_suffix(const char *name, const char *suffix)
{
    size_t len = strlen(name), n = strlen(suffix);
    return len >= n && strcmp(name + len - n, suffix) == 0;
}

static void run_path(const char *path)
{
    struct stat st;
    struct dirent *e;
    DIR *dir;

    if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    dir = opendir(path);
    while (dir && (e = readdir(dir))) {
        char file[1024];
        if (e->d_name[0] == '.' || has_suffix(e->d_name, ".json"))
            continue;
        snprintf(file, sizeof(file), "%s/%s", path, e->d_name);
        run_file(file);
    }
    if (dir)
        closedir(dir);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    run((const uint8_t *)"", 0);
    TAP_OK(tap.n_run > 0, "there was a corpus");
    return tap_done();
}
