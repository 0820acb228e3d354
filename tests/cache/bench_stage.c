/* How fast a stage takes bytes, beside a plain file: in pieces of 128 KiB, in a row, with a sync at
 * the end. usage: bench_stage DIRECTORY [MIB] */
#include "cache/lock.h"
#include "cache/stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE ((size_t)131072)

static double speed(size_t n_pieces, int64_t start_ns)
{
    double seconds = (double)(clock_now_ns() - start_ns) / NS_PER_S;
    return (double)(n_pieces * PIECE) / seconds / (1 << 20);
}

static int write_plain(int dir_fd, const void *bytes, size_t n)
{
    int fd = openat(dir_fd, "bench-plain", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    int64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < n && ok; i++)
        ok = pwrite(fd, bytes, PIECE, (off_t)(i * PIECE)) == (ssize_t)PIECE;
    double written = speed(n, start_ns);
    ok = ok && fdatasync(fd) == 0;
    printf("plain file  %8.0f MiB/s  %8.0f MiB/s with fdatasync\n", written, speed(n, start_ns));
    close(fd);
    (void)unlinkat(dir_fd, "bench-plain", 0);
    return ok ? 0 : -1;
}

static int write_stage(int dir_fd, const void *bytes, size_t n)
{
    struct stage *stage = NULL;
    const struct stage_purpose purpose = {.target = "bench"};
    int result = stage_new(&stage, dir_fd, "bench-stage", &purpose);
    if (result < 0)
        return result;
    int64_t start_ns = clock_now_ns();
    for (size_t i = 0; i < n && result == 0; i++)
        result = stage_write(stage, i * PIECE, bytes, PIECE);
    double written = speed(n, start_ns);
    if (result == 0)
        result = stage_sync(stage);
    printf("stage       %8.0f MiB/s  %8.0f MiB/s with sync\n", written, speed(n, start_ns));
    int removed = stage_remove(stage);
    return result < 0 ? result : removed;
}

int main(int argc, char **argv)
{
    int dir_fd = argc > 1 ? open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (dir_fd < 0) {
        fprintf(stderr, "usage: bench_stage DIRECTORY [MIB]\n");
        return 1;
    }
    size_t n = (argc > 2 ? strtoul(argv[2], NULL, 10) : 512) * ((1 << 20) / PIECE);
    void *bytes = malloc(PIECE);
    int result = bytes ? 0 : -1;
    if (bytes)
        memset(bytes, 7, PIECE);
    for (int i = 0; i < 3 && result == 0; i++) {
        result = write_plain(dir_fd, bytes, n);
        if (result == 0)
            result = write_stage(dir_fd, bytes, n);
    }
    if (result < 0)
        fprintf(stderr, "bench_stage: it failed\n");
    free(bytes);
    close(dir_fd);
    return result < 0;
}
