#include "tests/cache/objects.h"

#include "tests/tap.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char dir[] = "/tmp/canisterfs-test-objects-XXXXXX";

/* ---- allocations of the code under test ---- */

bool is_armed;
long n_until_failure;

static bool must_fail(void)
{
    return is_armed && n_until_failure-- <= 0;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    return must_fail() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return must_fail() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    return must_fail() ? NULL : __real_realloc(old, size);
}

/* ---- objects that are known again ---- */

static unsigned char byte_of(unsigned seed, size_t i)
{
    return (unsigned char)((seed * 131 + i * 7 + i / 251) & 0xff);
}

size_t memory_max;
uint64_t spool_max;
atomic_uint n_over;

struct store_stats look(struct store *store)
{
    struct store_stats stats;
    store_get_stats(store, &stats);
    n_over += stats.memory > memory_max || stats.spooled > spool_max;
    return stats;
}

uint64_t put(struct store *store, unsigned seed, size_t len)
{
    unsigned char *bytes = len > 0 ? __real_malloc(len) : NULL;
    if (len > 0 && !bytes)
        abort();
    for (size_t i = 0; i < len; i++)
        bytes[i] = byte_of(seed, i);
    uint64_t number = store_put(store, bytes, len);
    (void)look(store);
    return number;
}

int read_range(struct store *store, uint64_t number, unsigned seed, size_t off, size_t len)
{
    unsigned char *to = __real_malloc(len + 1);
    if (!to)
        abort();
    memset(to, 0x5a, len + 1);
    size_t first = len / 3;
    struct iovec iov[] = {{to, first}, {to + first, 0}, {to + first, len - first}};
    int result = store_read(store, number, off, iov, 3);
    for (size_t i = 0; i < len && result == 0; i++)
        result = to[i] == byte_of(seed, off + i) ? 0 : -EILSEQ;
    if (to[len] != 0x5a)
        result = -EILSEQ;
    free(to);
    (void)look(store);
    return result;
}

const char *kept(struct store *store, unsigned n)
{
    static char text[64];
    for (unsigned i = 0; i < n; i++)
        text[i] = store_has(store, i + 1) ? (char)('1' + i) : '.';
    text[n] = '\0';
    return text;
}

struct store *open_store(size_t memory, const char *where, uint64_t spool_size)
{
    struct store *store = NULL;
    struct store_config config = {.memory = memory, .dir = where, .spool_size = spool_size};
    memory_max = memory;
    spool_max = where ? spool_size : 0;
    n_over = 0;
    if (store_open(&store, &config) < 0)
        abort();
    return store;
}

void close_store(struct store *store)
{
    TAP_INT(n_over, 0, "never over either budget");
    store_close(store);
}

void objects_open(void)
{
    if (!mkdtemp(dir))
        abort();
}

bool objects_close(void)
{
    unsigned n = 0;
    DIR *stream = opendir(dir);
    while (stream && readdir(stream))
        n++;
    if (stream)
        closedir(stream);
    return n == 2 && rmdir(dir) == 0;
}
