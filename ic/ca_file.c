#include "ic/ca_file.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Debian's whole bundle has 0.2 MB. */
#define SIZE_MAX_BYTES (8 << 20)

static int fail(const char *path, const char *why, struct ic_error *err)
{
    return ic_fail(err, IC_E_CONFIG, "certificate file %s: %s", path, why);
}

/* A regular file, open, and its size. */
static int open_file(const char *path, int *out_fd, size_t *out_size, struct ic_error *err)
{
    /* Not blocking: a FIFO's open would wait for its writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return fail(path, strerror(errno), err);
    struct stat st;
    int rc = 0;
    if (fstat(fd, &st) < 0)
        rc = fail(path, strerror(errno), err);
    else if (!S_ISREG(st.st_mode))
        rc = fail(path, "not a regular file", err);
    else if (st.st_size > SIZE_MAX_BYTES)
        rc = fail(path, "larger than any bundle of certificates", err);
    if (rc != 0) {
        close(fd);
        return rc;
    }
    *out_fd = fd;
    *out_size = (size_t)st.st_size;
    return 0;
}

/* The whole of a file; *out is malloc'ed. */
static int read_file(const char *path, char **out, size_t *out_len, struct ic_error *err)
{
    int fd = -1;
    size_t size = 0;
    int rc = open_file(path, &fd, &size, err);
    if (rc != 0)
        return rc;
    char *content = malloc(size + 1);
    size_t len = 0;
    ssize_t n = 1;
    if (content == NULL)
        rc = ic_fail(err, IC_E_NO_MEMORY, "certificate file");
    while (rc == 0 && len < size && n > 0) {
        n = read(fd, content + len, size - len);
        if (n < 0)
            rc = fail(path, strerror(errno), err);
        else
            len += (size_t)n;
    }
    close(fd);
    if (rc != 0) {
        free(content);
        return rc;
    }
    *out = content;
    *out_len = len;
    return 0;
}

int ic_ca_file_check(const char *path, struct ic_error *err)
{
    char *content = NULL;
    size_t len = 0;
    int rc = read_file(path, &content, &len, err);
    if (rc != 0)
        return rc;
    BIO *bio = BIO_new_mem_buf(content, (int)len);
    unsigned n = 0;
    ERR_clear_error();
    for (X509 *cert; bio != NULL && (cert = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL)) != NULL;
         n++)
        X509_free(cert);
    unsigned long last = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (bio == NULL)
        rc = ic_fail(err, IC_E_NO_MEMORY, "certificate file");
    else if (n == 0)
        rc = fail(path, "holds no certificate in PEM", err);
    else if (!is_end)
        rc = fail(path, "a certificate in it is broken", err);
    BIO_free(bio);
    free(content);
    return rc;
}
