#include "tests/cache/fake_source.h"

#include "cache/lock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LOG_MAX 8192

struct fake {
    struct source base;
    struct lock lock; /* guards everything below */
    pthread_cond_t changed;
    struct fake_config config;
    uint64_t version;
    uint64_t sizes[64]; /* by version, for the contract check */
    bool live;
    bool is_held;
    uint64_t fail_from; /* counts down to 0 = now */
    uint64_t fail_times;
    int fail_ret;
    unsigned fail_per_mille;
    int fail_some_ret;
    int stat_ret;
    uint64_t random;
    unsigned n_running;
    unsigned peak_running;
    unsigned n_reads;
    unsigned n_violations;
    struct fake_read log[LOG_MAX];
};

static atomic_int n_open;

int fake_n_open(void)
{
    return atomic_load(&n_open);
}

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static uint64_t word_at(uint64_t key, uint64_t index)
{
    return (key ^ index) * 0x9e3779b97f4a7c15u + (index << 7);
}

/* Both work by words: content is checked in every test, often. */
void fake_fill(uint64_t seed, uint64_t version, uint64_t off, void *buf, size_t len)
{
    unsigned char *to = buf;
    uint64_t key = mix(seed * 31 + version);
    while (len > 0) {
        uint64_t word = word_at(key, off / 8);
        size_t skip = (size_t)(off % 8);
        size_t n = 8 - skip < len ? 8 - skip : len;
        memcpy(to, (unsigned char *)&word + skip, n);
        to += n;
        off += n;
        len -= n;
    }
}

bool fake_matches(uint64_t seed, uint64_t version, uint64_t off, const void *buf, size_t len)
{
    const unsigned char *from = buf;
    uint64_t key = mix(seed * 31 + version);
    while (len > 0) {
        uint64_t word = word_at(key, off / 8);
        size_t skip = (size_t)(off % 8);
        size_t n = 8 - skip < len ? 8 - skip : len;
        if (memcmp(from, (unsigned char *)&word + skip, n) != 0)
            return false;
        from += n;
        off += n;
        len -= n;
    }
    return true;
}

static int fake_stat(struct source *source, const struct source_io *io, struct source_stat *out)
{
    struct fake *fake = (struct fake *)source;
    (void)io;
    lock_acquire(&fake->lock);
    int ret = fake->stat_ret;
    if (ret == 0)
        *out = (struct source_stat){
            .size = fake->config.size,
            .version = fake->version,
            .mtime_ns = (int64_t)fake->version * NS_PER_S,
            .max_io = fake->config.max_io,
            .versioned = !fake->live,
        };
    lock_release(&fake->lock);
    return ret;
}

/* Sleep for the delay and while held. */
static int linger_locked(struct fake *fake, const struct source_io *io) REQUIRES(fake->lock)
{
    int64_t until_ns = clock_now_ns() + fake->config.delay_ns;
    for (;;) {
        int64_t now_ns = clock_now_ns();
        if (io->cancel && atomic_load(io->cancel))
            return -EINTR;
        if (now_ns >= io->deadline_ns)
            return -ETIMEDOUT;
        if (!fake->is_held && now_ns >= until_ns)
            return 0;
        int64_t wake_ns = now_ns + 5 * NS_PER_MS;
        if (!fake->is_held && until_ns < wake_ns)
            wake_ns = until_ns;
        if (io->deadline_ns < wake_ns)
            wake_ns = io->deadline_ns;
        cond_wait_until(&fake->changed, &fake->lock, wake_ns);
    }
}

/* The scripted outcome of this read. */
static int next_result_locked(struct fake *fake) REQUIRES(fake->lock)
{
    if (fake->fail_from > 0) {
        fake->fail_from--;
    } else if (fake->fail_times > 0) {
        fake->fail_times--;
        return fake->fail_ret;
    }
    if (fake->fail_per_mille > 0) {
        fake->random = mix(fake->random);
        if (fake->random % 1000 < fake->fail_per_mille)
            return fake->fail_some_ret;
    }
    return 0;
}

static int fake_readv(struct source *source, uint64_t version, uint64_t off,
                      const struct iovec *iov, int n_iov, const struct source_io *io)
{
    struct fake *fake = (struct fake *)source;
    size_t len = source_iov_size(iov, n_iov);

    lock_acquire(&fake->lock);
    uint64_t size = version < 64 ? fake->sizes[version] : fake->config.size;
    if (off >= size || len > size - off)
        fake->n_violations++;
    if (fake->n_reads < LOG_MAX)
        fake->log[fake->n_reads] = (struct fake_read){off, len, clock_now_ns()};
    fake->n_reads++;
    fake->n_running++;
    if (fake->n_running > fake->peak_running)
        fake->peak_running = fake->n_running;
    int ret = next_result_locked(fake);
    pthread_cond_broadcast(&fake->changed);
    int linger_ret = linger_locked(fake, io);
    if (ret == 0)
        ret = linger_ret;
    if (ret == 0 && version != fake->version && !fake->live)
        ret = -ESTALE;
    uint64_t seed = fake->config.seed;
    lock_release(&fake->lock);

    for (int i = 0; i < n_iov; i++) {
        if (ret == 0)
            fake_fill(seed, version, off, iov[i].iov_base, iov[i].iov_len);
        else
            memset(iov[i].iov_base, 0xdb, iov[i].iov_len);
        off += iov[i].iov_len;
    }

    lock_acquire(&fake->lock);
    fake->n_running--;
    lock_release(&fake->lock);
    return ret;
}

static void fake_close(struct source *source)
{
    struct fake *fake = (struct fake *)source;
    pthread_cond_destroy(&fake->changed);
    lock_fini(&fake->lock);
    free(fake);
    atomic_fetch_sub(&n_open, 1);
}

static const struct source_ops fake_ops = {
    .stat = fake_stat,
    .readv = fake_readv,
    .close = fake_close,
};

int fake_open(struct source **out, struct fake **ret_fake, const struct fake_config *config)
{
    struct fake *fake = calloc(1, sizeof(*fake));
    if (!fake)
        return -ENOMEM;
    source_init(&fake->base, &fake_ops);
    lock_init(&fake->lock);
    cond_init(&fake->changed);
    fake->config = *config;
    fake->version = 1;
    fake->sizes[1] = config->size;
    fake->random = config->seed;
    atomic_fetch_add(&n_open, 1);
    *out = &fake->base;
    *ret_fake = fake;
    return 0;
}

void fake_fail(struct fake *fake, uint64_t nth, uint64_t n_times, int ret)
{
    lock_acquire(&fake->lock);
    fake->fail_from = nth - 1;
    fake->fail_times = n_times;
    fake->fail_ret = ret;
    lock_release(&fake->lock);
}

void fake_fail_some(struct fake *fake, unsigned per_mille, int ret)
{
    lock_acquire(&fake->lock);
    fake->fail_per_mille = per_mille;
    fake->fail_some_ret = ret;
    lock_release(&fake->lock);
}

void fake_fail_stat(struct fake *fake, int ret)
{
    lock_acquire(&fake->lock);
    fake->stat_ret = ret;
    lock_release(&fake->lock);
}

void fake_set_delay(struct fake *fake, int64_t delay_ns)
{
    lock_acquire(&fake->lock);
    fake->config.delay_ns = delay_ns;
    lock_release(&fake->lock);
}

void fake_set_max_io(struct fake *fake, size_t max_io)
{
    lock_acquire(&fake->lock);
    fake->config.max_io = max_io;
    lock_release(&fake->lock);
    atomic_store(&fake->base.last_max_io, max_io);
}

void fake_set_version(struct fake *fake, uint64_t version, uint64_t size, bool live)
{
    lock_acquire(&fake->lock);
    fake->version = version;
    fake->config.size = size;
    if (version < 64)
        fake->sizes[version] = size;
    fake->live = live;
    lock_release(&fake->lock);
}

void fake_hold(struct fake *fake, bool is_held)
{
    lock_acquire(&fake->lock);
    fake->is_held = is_held;
    pthread_cond_broadcast(&fake->changed);
    lock_release(&fake->lock);
}

bool fake_wait_running(struct fake *fake, unsigned n)
{
    int64_t until_ns = clock_now_ns() + 5 * NS_PER_S;
    lock_acquire(&fake->lock);
    while (fake->n_running < n && clock_now_ns() < until_ns)
        cond_wait_until(&fake->changed, &fake->lock, clock_now_ns() + 5 * NS_PER_MS);
    bool ok = fake->n_running >= n;
    lock_release(&fake->lock);
    return ok;
}

unsigned fake_n_reads(struct fake *fake)
{
    lock_acquire(&fake->lock);
    unsigned n = fake->n_reads;
    lock_release(&fake->lock);
    return n;
}

unsigned fake_peak_running(struct fake *fake)
{
    lock_acquire(&fake->lock);
    unsigned n = fake->peak_running;
    lock_release(&fake->lock);
    return n;
}

struct fake_read fake_get_read(struct fake *fake, unsigned i)
{
    struct fake_read read = {0};
    lock_acquire(&fake->lock);
    if (i < fake->n_reads && i < LOG_MAX)
        read = fake->log[i];
    lock_release(&fake->lock);
    return read;
}

void fake_forget(struct fake *fake)
{
    lock_acquire(&fake->lock);
    fake->n_reads = 0;
    fake->peak_running = fake->n_running;
    lock_release(&fake->lock);
}

unsigned fake_n_violations(struct fake *fake)
{
    lock_acquire(&fake->lock);
    unsigned n = fake->n_violations;
    lock_release(&fake->lock);
    return n;
}
