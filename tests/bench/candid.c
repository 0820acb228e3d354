/* How long the functions on Candid messages take, beside a copy of the message's bytes.
 *
 *   candid_bench FILE      a message whose first argument is a vec, or a record of vecs
 *
 * Prints one line of JSON: bytes, items, and seconds for each operation, the median of ROUNDS
 * rounds of at least ROUND_NS. A failure prints its cause on standard error and exits with 1.
 */
#include "ic/candid_split.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS   3
#define ROUND_NS 50000000
#define FILE_MAX (64u << 20)
#define N_PIECES 16

static struct ic_buf message, copy, pieces[N_PIECES];
static struct ic_view views[N_PIECES];
static uint64_t n_items;

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "candid_bench: %s\n", what);
    exit(1);
}

static void check(int ret, const struct ic_error *err)
{
    if (ret < 0)
        die(err->message);
}

/* ---- operations ---- */

static void copy_bytes(void)
{
    memcpy(copy.bytes, message.bytes, message.len);
    __asm__ volatile("" : : "r"(copy.bytes) : "memory"); /* somebody reads it */
}

static void decode(void)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    check(ic_candid_decode(message.bytes, message.len, NULL, &msg, &err), &err);
    ic_candid_free(msg);
}

/* As a reader of stable memory does it. */
static void decode_and_copy(void)
{
    struct ic_candid *msg = NULL;
    struct ic_error err = {0};
    struct ic_view blob;
    check(ic_candid_decode(message.bytes, message.len, NULL, &msg, &err), &err);
    if (ic_value_blob(ic_candid_arg(msg, 0), &blob) < 0)
        blob = ic_view(message.bytes, message.len);
    memcpy(copy.bytes, blob.bytes, blob.len);
    __asm__ volatile("" : : "r"(copy.bytes) : "memory");
    ic_candid_free(msg);
}

static void count(void)
{
    struct ic_error err = {0};
    uint64_t n;
    check(ic_candid_items(message.bytes, message.len, NULL, NULL, &n, &err), &err);
}

static void split(void)
{
    struct ic_buf first = {0}, second = {0};
    struct ic_error err = {0};
    check(
        ic_candid_split(message.bytes, message.len, n_items / 2, NULL, NULL, &first, &second, &err),
        &err);
    ic_buf_fini(&first);
    ic_buf_fini(&second);
}

static void merge(void)
{
    struct ic_buf out = {0};
    struct ic_error err = {0};
    check(ic_candid_merge(views, N_PIECES, NULL, NULL, &out, &err), &err);
    if (out.len != message.len || memcmp(out.bytes, message.bytes, out.len) != 0)
        die("what was merged is not the message");
    ic_buf_fini(&out);
}

/* ---- measuring ---- */

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static double measure(void (*operation)(void))
{
    double seconds[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        int64_t started = now_ns(), took;
        int64_t n = 0;
        do {
            operation();
            n++;
            took = now_ns() - started;
        } while (took < ROUND_NS);
        seconds[i] = (double)took / 1e9 / (double)n;
    }
    qsort(seconds, ROUNDS, sizeof(seconds[0]), compare);
    return seconds[ROUNDS / 2];
}

/* ---- the message ---- */

static void read_message(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f)
        die("cannot open the file");
    ic_buf_reserve(&message, FILE_MAX);
    ic_buf_reserve(&copy, FILE_MAX);
    if (message.failed || copy.failed)
        die("out of memory");
    message.len = fread(message.bytes, 1, FILE_MAX, f);
    fclose(f);
}

/* The message in N_PIECES of as many items. */
static void cut_pieces(void)
{
    struct ic_buf rest = {0};
    struct ic_error err = {0};

    check(ic_candid_items(message.bytes, message.len, NULL, NULL, &n_items, &err), &err);
    ic_buf_append(&rest, message.bytes, message.len);
    for (int i = 0; i < N_PIECES - 1; i++) {
        struct ic_buf left = {0};
        check(ic_candid_split(rest.bytes, rest.len, n_items / N_PIECES, NULL, NULL, &pieces[i],
                              &left, &err),
              &err);
        ic_buf_fini(&rest);
        rest = left;
    }
    pieces[N_PIECES - 1] = rest;
    for (int i = 0; i < N_PIECES; i++)
        views[i] = ic_view(pieces[i].bytes, pieces[i].len);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: candid_bench FILE");
    read_message(argv[1]);
    cut_pieces();
    printf("{\"bytes\":%zu,\"items\":%llu", message.len, (unsigned long long)n_items);
    printf(",\"memcpy_s\":%.9f", measure(copy_bytes));
    printf(",\"decode_s\":%.9f", measure(decode));
    printf(",\"decode_and_copy_s\":%.9f", measure(decode_and_copy));
    printf(",\"count_s\":%.9f", measure(count));
    printf(",\"split_s\":%.9f", measure(split));
    printf(",\"merge_s\":%.9f}\n", measure(merge));
    for (int i = 0; i < N_PIECES; i++)
        ic_buf_fini(&pieces[i]);
    ic_buf_fini(&message);
    ic_buf_fini(&copy);
    return 0;
}
