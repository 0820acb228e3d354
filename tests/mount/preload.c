/* For LD_PRELOAD: syslog writes to the file $TEST_SYSLOG; no thread can be made once the file
 * $TEST_NO_THREADS exists; /dev/fuse fails with EIO once $TEST_BROKEN exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MISC_MAJOR 10
#define FUSE_MINOR 229

void vsyslog(int priority, const char *format, va_list args)
{
    FILE *file = fopen(getenv("TEST_SYSLOG"), "a");
    char text[1024];
    vsnprintf(text, sizeof(text), format, args);
    fprintf(file, "<%d>%s%s", priority, text, text[strlen(text) - 1] == '\n' ? "" : "\n");
    fclose(file);
}

void syslog(int priority, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsyslog(priority, format, args);
    va_end(args);
}

/* Programs built with _FORTIFY_SOURCE call these. */
void __vsyslog_chk(int priority, int flag, const char *format, va_list args)
{
    (void)flag;
    vsyslog(priority, format, args);
}

void __syslog_chk(int priority, int flag, const char *format, ...)
{
    (void)flag;
    va_list args;
    va_start(args, format);
    vsyslog(priority, format, args);
    va_end(args);
}

ssize_t read(int fd, void *buf, size_t size)
{
    ssize_t (*next)(int, void *, size_t) =
        (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    struct stat st;
    if (fstat(fd, &st) == 0 && st.st_rdev == makedev(MISC_MAJOR, FUSE_MINOR) &&
        access(getenv("TEST_BROKEN"), F_OK) == 0) {
        errno = EIO;
        return -1;
    }
    return next(fd, buf, size);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
        (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
            RTLD_NEXT, "pthread_create");
    if (access(getenv("TEST_NO_THREADS"), F_OK) == 0)
        return EAGAIN;
    return next(thread, attr, fn, arg);
}
