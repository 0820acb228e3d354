/* The dispatcher: what it lets through, what it puts right, what it counts. */
#include "cache/lock.h"
#include "cache/source.h"
#include "tests/cache/fake_source.h"
#include "tests/tap.h"

TAP_STATE;

static struct source_io io_in(int64_t ms)
{
    return (struct source_io){.deadline_ns = clock_now_ns() + ms * NS_PER_MS};
}

static void test_results(void)
{
    struct source *source;
    struct fake *fake;
    struct fake_config config = {.size = 1000, .seed = 7, .max_io = 123};
    TAP_INT(fake_open(&source, &fake, &config), 0, "open");
    struct source_io io = io_in(5000);
    unsigned char buf[100];

    static const struct {
        int given;
        int got;
        const char *what;
    } cases[] = {
        {0, 0, "success passes"},
        {-EIO, -EIO, "EIO passes"},
        {-ETIMEDOUT, -ETIMEDOUT, "ETIMEDOUT passes"},
        {-EBADMSG, -EBADMSG, "EBADMSG passes"},
        {-ESTALE, -ESTALE, "ESTALE passes"},
        {-ENOMEM, -ENOMEM, "ENOMEM passes"},
        {-EACCES, -EACCES, "EACCES passes"},
        {-EAGAIN, -EIO, "EAGAIN becomes EIO"},
        {-ENOSYS, -EIO, "ENOSYS becomes EIO"},
        {-EINTR, -EIO, "EINTR of an uncancelled call becomes EIO"},
        {1, -EIO, "a positive result becomes EIO"},
        {-5000, -EIO, "no errno at all becomes EIO"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        fake_fail(fake, 1, 1, cases[i].given);
        TAP_INT(source_read(source, 1, 0, buf, sizeof(buf), &io), cases[i].got, cases[i].what);
        fake_fail(fake, 1, 0, 0);
    }

    atomic_bool cancel = true;
    struct source_io cancelled = {.deadline_ns = io.deadline_ns, .cancel = &cancel};
    unsigned n_before = fake_n_reads(fake);
    TAP_INT(source_read(source, 1, 0, buf, sizeof(buf), &cancelled), -EINTR, "cancelled before");
    struct source_io late = {.deadline_ns = clock_now_ns() - 1};
    TAP_INT(source_read(source, 1, 0, buf, sizeof(buf), &late), -ETIMEDOUT, "late before");
    struct source_stat st = {.size = 42};
    TAP_INT(source_stat(source, &late, &st), -ETIMEDOUT, "stat late");
    TAP_INT((int64_t)st.size, 42, "out untouched on failure");
    TAP_INT(fake_n_reads(fake), n_before, "neither reached the source");

    fake_fail_stat(fake, 3);
    TAP_INT(source_stat(source, &io, &st), -EIO, "positive stat result becomes EIO");
    fake_fail_stat(fake, 0);
    TAP_INT((int64_t)source_max_io(source), 0, "no stat so far: no preference");
    TAP_INT(source_stat(source, &io, &st), 0, "stat");
    TAP_INT((int64_t)st.size, 1000, "size");
    TAP_INT((int64_t)st.preferred_io, 1 << 20, "preferred_io has a default");
    TAP_INT((int64_t)source_max_io(source), 123, "max_io of the last stat");
    fake_set_version(fake, 0, 10, false);
    TAP_INT(source_stat(source, &io, &st), -EIO, "version 0 is refused");
    fake_set_version(fake, 1, (uint64_t)1 << 63, false);
    TAP_INT(source_stat(source, &io, &st), -EIO, "a size beyond off_t is refused");
    fake_set_version(fake, 1, 1000, false);

    source_prefetch(source, 1, 0, 1000, 100); /* not offered: ignored */
    struct source_stats stats;
    source_get_stats(source, &stats);
    TAP_INT((int64_t)stats.n_reads, 14, "reads counted");
    TAP_INT((int64_t)stats.n_read_bytes, 100, "bytes of the successful one counted");
    TAP_INT((int64_t)stats.n_stats, 5, "stats counted");
    TAP_INT((int64_t)stats.n_errors, 17, "errors counted");
    source_close(source);
    source_close(NULL);
    TAP_INT(fake_n_open(), 0, "closed");
}

static void test_iov(void)
{
    struct source *source;
    struct fake *fake;
    struct fake_config config = {.size = 1000, .seed = 9};
    TAP_INT(fake_open(&source, &fake, &config), 0, "open");
    struct source_io io = io_in(5000);
    unsigned char a[10], b[1], c[50];
    struct iovec iov[] = {{a, sizeof(a)}, {b, sizeof(b)}, {c, sizeof(c)}};
    TAP_INT((int64_t)source_iov_size(iov, 3), 61, "size of a list");
    TAP_INT(source_readv(source, 1, 500, iov, 3, &io), 0, "readv");
    TAP_OK(fake_matches(9, 1, 500, a, 10) && fake_matches(9, 1, 510, b, 1) &&
               fake_matches(9, 1, 511, c, 50),
           "each buffer has its bytes");

    unsigned char want[61], data[61];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i + 1);
    bool ok = true;
    for (size_t pos = 0; pos < 61; pos++) {
        for (size_t len = 0; pos + len <= 61; len++) {
            memset(a, 0, sizeof(a));
            memset(b, 0, sizeof(b));
            memset(c, 0, sizeof(c));
            memset(want, 0, sizeof(want));
            memcpy(want + pos, data, len);
            source_iov_copy(iov, 3, pos, data, len);
            ok =
                ok && !memcmp(a, want, 10) && !memcmp(b, want + 10, 1) && !memcmp(c, want + 11, 50);
        }
    }
    TAP_OK(ok, "source_iov_copy at every position and length");
    source_close(source);
}

int main(void)
{
    test_results();
    test_iov();
    return tap_done();
}
