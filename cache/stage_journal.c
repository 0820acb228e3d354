/* Records in a file: see stage_journal.h. */
#include "cache/stage_journal.h"

#include "cache/stage_io.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC     "cfstage1"
#define MAGIC_LEN ((size_t)8)
#define ALIGN     ((size_t)8)

/* What the search for later records reads at once; a multiple of ALIGN. */
#define SCAN_LEN ((size_t)65536)

struct header {
    uint32_t payload_crc;
    uint32_t len;
    uint16_t kind;
    uint16_t note;
    uint64_t serial;
};

uint64_t stage_journal_cost(size_t len)
{
    return STAGE_JOURNAL_HEADER + ((uint64_t)len + ALIGN - 1) / ALIGN * ALIGN;
}

static void header_encode(const struct stage_journal *journal, const struct header *header,
                          unsigned char *out)
{
    stage_io_put32(out + 4, header->payload_crc);
    stage_io_put32(out + 8, header->len);
    stage_io_put32(out + 12, (uint32_t)header->kind | (uint32_t)header->note << 16);
    stage_io_put64(out + 16, header->serial);
    stage_io_put32(out, stage_io_crc(journal->salt, out + 4, STAGE_JOURNAL_HEADER - 4));
}

/* False: it is none. */
static bool header_decode(const struct stage_journal *journal, const unsigned char *bytes,
                          struct header *out)
{
    if (stage_io_get32(bytes) != stage_io_crc(journal->salt, bytes + 4, STAGE_JOURNAL_HEADER - 4))
        return false;
    uint32_t kinds = stage_io_get32(bytes + 12);
    *out = (struct header){
        .payload_crc = stage_io_get32(bytes + 4),
        .len = stage_io_get32(bytes + 8),
        .kind = (uint16_t)(kinds & 0xffff),
        .note = (uint16_t)(kinds >> 16),
        .serial = stage_io_get64(bytes + 16),
    };
    return true;
}

/* Read the record at off of a file of `size` bytes, into malloc'ed memory. -EPROTO: not whole. */
static int read_record(const struct stage_journal *journal, uint64_t off, uint64_t size,
                       struct header *ret_header, void **ret_bytes)
{
    unsigned char bytes[STAGE_JOURNAL_HEADER];
    struct header header;
    if (size - off < sizeof(bytes))
        return -EPROTO;
    int result = stage_io_read(journal->fd, off, bytes, sizeof(bytes));
    if (result < 0)
        return result == -ENODATA ? -EPROTO : result;
    if (!header_decode(journal, bytes, &header) || header.len > STAGE_JOURNAL_PAYLOAD_MAX ||
        stage_journal_cost(header.len) > size - off)
        return -EPROTO;

    void *payload = malloc(header.len ? header.len : 1);
    if (!payload)
        return -ENOMEM;
    result = stage_io_read(journal->fd, off + sizeof(bytes), payload, header.len);
    if (result == -ENODATA ||
        (result == 0 && stage_io_crc(journal->salt, payload, header.len) != header.payload_crc))
        result = -EPROTO;
    if (result < 0) {
        free(payload);
        return result;
    }
    *ret_header = header;
    *ret_bytes = payload;
    return 0;
}

/* ---- open ---- */

/* Is there a record from off on that was written after the one which should be at off? Returns 0,
 * -EPROTO (there is), or the errno. */
static int check_torn(const struct stage_journal *journal, uint64_t off, uint64_t size)
{
    unsigned char *bytes = malloc(SCAN_LEN);
    if (!bytes)
        return -ENOMEM;
    int result = 0;
    /* The steps overlap by a header. */
    for (uint64_t at = off; at < size && size - at >= STAGE_JOURNAL_HEADER && result == 0;
         at += SCAN_LEN - STAGE_JOURNAL_HEADER) {
        size_t n = size - at < SCAN_LEN ? (size_t)(size - at) : SCAN_LEN;
        result = stage_io_read(journal->fd, at, bytes, n);
        for (size_t i = 0; i + STAGE_JOURNAL_HEADER <= n && result == 0; i += ALIGN) {
            struct header header;
            if (header_decode(journal, bytes + i, &header) && header.serial > journal->next)
                result = -EPROTO;
        }
    }
    free(bytes);
    return result;
}

static int read_all(struct stage_journal *journal, uint64_t size,
                    int (*each)(void *arg, const struct stage_record *record, uint64_t off),
                    void *arg)
{
    int result = 0;
    while (journal->end < size && result == 0) {
        struct header header;
        void *bytes = NULL;
        result = read_record(journal, journal->end, size, &header, &bytes);
        if (result < 0 && result != -EPROTO)
            break;
        if (result < 0 || header.serial != journal->next) {
            free(bytes);
            return check_torn(journal, journal->end, size);
        }
        struct stage_record record = {
            .kind = header.kind, .note = header.note, .len = header.len, .bytes = bytes};
        result = each(arg, &record, journal->end);
        free(bytes);
        journal->end += stage_journal_cost(header.len);
        journal->next++;
    }
    return result;
}

static int open_file(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    return fd >= 0 ? fd : errno == ELOOP ? -EPROTO : -errno;
}

/* The beginning of the file: its size, and the salt of its checksums. */
static int read_head(int fd, uint64_t *ret_size, uint32_t *ret_salt)
{
    unsigned char head[STAGE_JOURNAL_START];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EPROTO;
    int result = stage_io_read(fd, 0, head, sizeof(head));
    if (result < 0)
        return result == -ENODATA ? -EPROTO : result;
    if (memcmp(head, MAGIC, MAGIC_LEN) != 0)
        return -EPROTO;
    *ret_size = (uint64_t)st.st_size;
    *ret_salt = stage_io_crc(0, head + MAGIC_LEN, sizeof(head) - MAGIC_LEN);
    return 0;
}

static int open_and_read(struct stage_journal *journal,
                         int (*each)(void *arg, const struct stage_record *record, uint64_t off),
                         void *arg)
{
    uint64_t size = 0;
    int result = read_head(journal->fd, &size, &journal->salt);
    if (result < 0)
        return result;
    journal->end = STAGE_JOURNAL_START;
    result = read_all(journal, size, each, arg);
    if (result != 0)
        return result;
    if (journal->next == 0)
        return -EPROTO;
    if (journal->end == size)
        return 0;
    return ftruncate(journal->fd, (off_t)journal->end) < 0 || fsync(journal->fd) < 0 ? -errno : 0;
}

int stage_journal_open(struct stage_journal *journal, int dir_fd, const char *name,
                       int (*each)(void *arg, const struct stage_record *record, uint64_t off),
                       void *arg)
{
    int fd = open_file(dir_fd, name);
    *journal = (struct stage_journal){.fd = fd};
    if (fd < 0)
        return fd;
    int result = open_and_read(journal, each, arg);
    if (result != 0)
        stage_journal_close(journal);
    return result;
}

int stage_journal_wake(struct stage_journal *journal, int dir_fd, const char *name)
{
    uint64_t size = 0;
    uint32_t salt = 0;
    int fd = open_file(dir_fd, name);
    if (fd < 0)
        return fd;
    int result = read_head(fd, &size, &salt);
    if (result == 0 && (salt != journal->salt || size != journal->end))
        result = -EPROTO;
    if (result < 0)
        close(fd);
    else
        journal->fd = fd;
    return result;
}

int stage_journal_create(struct stage_journal *journal, int dir_fd, const char *name)
{
    unsigned char head[STAGE_JOURNAL_START];
    memcpy(head, MAGIC, MAGIC_LEN);
    if (getrandom(head + MAGIC_LEN, sizeof(head) - MAGIC_LEN, 0) !=
        (ssize_t)(sizeof(head) - MAGIC_LEN))
        return -EIO;
    *journal = (struct stage_journal){
        .fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600),
        .end = sizeof(head),
        .salt = stage_io_crc(0, head + MAGIC_LEN, sizeof(head) - MAGIC_LEN),
    };
    if (journal->fd < 0)
        return -errno;
    int result = stage_io_write(journal->fd, 0, head, sizeof(head));
    if (result < 0) {
        stage_journal_close(journal);
        (void)unlinkat(dir_fd, name, 0);
    }
    return result;
}

void stage_journal_close(struct stage_journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    journal->fd = -1;
}

/* ---- append, read ---- */

static int write_record(const struct stage_journal *journal, const struct stage_record *record)
{
    const unsigned char zeros[ALIGN] = {0};
    unsigned char bytes[STAGE_JOURNAL_HEADER];
    struct header header = {
        .payload_crc =
            stage_io_crc(journal->salt, record->len ? record->bytes : zeros, record->len),
        .len = record->len,
        .kind = record->kind,
        .note = record->note,
        .serial = journal->next,
    };
    header_encode(journal, &header, bytes);
    uint64_t off = journal->end;
    int result = stage_io_write(journal->fd, off, bytes, sizeof(bytes));
    off += sizeof(bytes);
    if (result == 0 && record->len > 0)
        result = stage_io_write(journal->fd, off, record->bytes, record->len);
    off += record->len;
    size_t pad = (ALIGN - record->len % ALIGN) % ALIGN;
    if (result == 0 && pad > 0)
        result = stage_io_write(journal->fd, off, zeros, pad);
    return result;
}

int stage_journal_append(struct stage_journal *journal, const struct stage_record *record,
                         uint64_t *ret_off)
{
    assert(record->len <= STAGE_JOURNAL_PAYLOAD_MAX);
    if (journal->error)
        return journal->error;
    int result = write_record(journal, record);
    if (result < 0) {
        /* Its beginning must go: a later record would make damage of it. */
        if (ftruncate(journal->fd, (off_t)journal->end) < 0)
            journal->error = result;
        return result;
    }
    *ret_off = journal->end;
    journal->end += stage_journal_cost(record->len);
    journal->next++;
    return 0;
}

int stage_journal_sync(struct stage_journal *journal)
{
    if (!journal->error && fdatasync(journal->fd) < 0)
        journal->error = -errno;
    return journal->error;
}

int stage_journal_read(const struct stage_journal *journal, uint64_t off,
                       struct stage_record *record, void **out)
{
    struct header header;
    void *bytes;
    assert(off < journal->end);
    int result = read_record(journal, off, journal->end, &header, &bytes);
    if (result < 0)
        return result;
    *record = (struct stage_record){
        .kind = header.kind, .note = header.note, .len = header.len, .bytes = bytes};
    *out = bytes;
    return 0;
}
