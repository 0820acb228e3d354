/* Verified delegation signatures: see delegation_cache.h. */
#include "ic/delegation_cache.h"

#include "ic/sha.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct ic_delegation_cache {
    pthread_mutex_t lock;
    uint8_t good[IC_DELEGATION_CACHE_SIZE][IC_SHA256_LEN]; /* guarded by lock */
    size_t n;                                              /* guarded by lock: ever put in */
};

int ic_delegation_cache_new(struct ic_delegation_cache **out)
{
    struct ic_delegation_cache *cache = calloc(1, sizeof(*cache));
    if (!cache)
        return -ENOMEM;
    if (pthread_mutex_init(&cache->lock, NULL) != 0) {
        free(cache);
        return -ENOMEM;
    }
    *out = cache;
    return 0;
}

void ic_delegation_cache_free(struct ic_delegation_cache *cache)
{
    if (!cache)
        return;
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

static int name_of(const uint8_t *key, const uint8_t *sig, const uint8_t *msg, size_t len,
                   uint8_t out[IC_SHA256_LEN])
{
    struct ic_view parts[] = {ic_view(key, IC_BLS_KEY_LEN), ic_view(sig, IC_BLS_SIGNATURE_LEN),
                              ic_view(msg, len)};
    struct ic_sha256 *sha;
    int ret = ic_sha256_new(&sha);
    if (ret < 0)
        return ret;
    ret = ic_sha256_parts(sha, parts, 3, out);
    ic_sha256_free(sha);
    return ret;
}

static bool is_good(struct ic_delegation_cache *cache, const uint8_t name[IC_SHA256_LEN])
{
    bool found = false;
    pthread_mutex_lock(&cache->lock);
    for (size_t i = 0; i < cache->n && i < IC_DELEGATION_CACHE_SIZE && !found; i++)
        found = memcmp(cache->good[i], name, IC_SHA256_LEN) == 0;
    pthread_mutex_unlock(&cache->lock);
    return found;
}

static void put_good(struct ic_delegation_cache *cache, const uint8_t name[IC_SHA256_LEN])
{
    pthread_mutex_lock(&cache->lock);
    memcpy(cache->good[cache->n++ % IC_DELEGATION_CACHE_SIZE], name, IC_SHA256_LEN);
    pthread_mutex_unlock(&cache->lock);
}

int ic_delegation_cache_verify(struct ic_delegation_cache *cache, const uint8_t key[IC_BLS_KEY_LEN],
                               const uint8_t sig[IC_BLS_SIGNATURE_LEN], const uint8_t *msg,
                               size_t len)
{
    uint8_t name[IC_SHA256_LEN];
    int ret;

    if (!cache)
        return ic_bls_verify(key, sig, msg, len);
    ret = name_of(key, sig, msg, len, name);
    if (ret < 0)
        return ret;
    if (is_good(cache, name))
        return 0;
    ret = ic_bls_verify(key, sig, msg, len);
    if (ret == 0)
        put_good(cache, name);
    return ret;
}
