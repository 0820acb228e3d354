/* The search for a size: right for every size and every length of answer, in few questions. */
#include "fs/size_search.h"
#include "tests/tap.h"

#include <errno.h>
#include <stdbool.h>

TAP_STATE;

struct memory {
    uint64_t size;
    uint64_t answer; /* bytes of one answer, at most */
    unsigned n_asked;
    unsigned fail_at;  /* this question finds nothing although there is something; 0: none */
    unsigned error_at; /* this question fails; 0: none */
    bool grows;        /* by one byte with every question */
};

static int probe(void *arg, uint64_t off, uint64_t *out)
{
    struct memory *memory = arg;
    memory->n_asked++;
    if (memory->grows)
        memory->size++;
    if (memory->n_asked == memory->error_at)
        return -ETIMEDOUT;
    uint64_t left = off < memory->size ? memory->size - off : 0;
    *out = left < memory->answer ? left : memory->answer;
    if (memory->n_asked == memory->fail_at)
        *out = 0;
    return 0;
}

static const uint64_t sizes[] = {0,
                                 1,
                                 2,
                                 3,
                                 255,
                                 65535,
                                 65536,
                                 65537,
                                 1000000,
                                 (uint64_t)3 << 30,
                                 ((uint64_t)500 << 30) + 12345,
                                 INT64_MAX - 1};
#define N_SIZES (sizeof(sizes) / sizeof(sizes[0]))

static void test_all_sizes(void)
{
    static const uint64_t answers[] = {1, 1000, 1000000, 3 << 20};
    for (size_t i = 0; i < N_SIZES; i++) {
        for (size_t j = 0; j < sizeof(answers) / sizeof(answers[0]); j++) {
            struct memory memory = {.size = sizes[i], .answer = answers[j]};
            uint64_t found = 99;
            int result = fs_size_search(probe, &memory, 0, &found);
            TAP_OK(result == 0 && found == sizes[i], "found");
            TAP_OK(memory.n_asked <= 130, "in few questions");
        }
    }
}

static void test_hints(void)
{
    for (size_t i = 0; i < N_SIZES; i++) {
        for (int64_t wrong = -2; wrong <= 2; wrong++) {
            struct memory memory = {.size = sizes[i], .answer = 1};
            uint64_t found = 99;
            uint64_t hint = sizes[i] + (uint64_t)wrong;
            if (hint > INT64_MAX)
                continue;
            int result = fs_size_search(probe, &memory, hint, &found);
            TAP_OK(result == 0 && found == sizes[i], "found with a hint");
            TAP_OK(wrong != 0 || sizes[i] == 0 || memory.n_asked <= 3, "a right one is cheap");
        }
    }
}

/* One failure in the middle must not make a file shorter. */
static void test_one_failure(void)
{
    for (unsigned n = 1; n < 40; n++) {
        struct memory memory = {.size = 1000003, .answer = 1, .fail_at = n};
        uint64_t found = 99;
        int result = fs_size_search(probe, &memory, n % 2 ? 0 : 1000003, &found);
        TAP_OK(result == 0 && found == 1000003, "one failure changes nothing");
    }
}

static void test_errors(void)
{
    uint64_t found = 99;
    struct memory failing = {.size = 5000, .answer = 1, .error_at = 4};
    TAP_INT(fs_size_search(probe, &failing, 0, &found), -ETIMEDOUT, "an error ends the search");
    struct memory endless = {.size = UINT64_MAX, .answer = 1};
    TAP_INT(fs_size_search(probe, &endless, 0, &found), -EPROTO, "there must be an end");
    struct memory lying = {.size = UINT64_MAX, .answer = UINT64_MAX};
    TAP_INT(fs_size_search(probe, &lying, 0, &found), -EPROTO, "answers must be possible");
    struct memory growing = {.size = 100, .answer = 1, .grows = true};
    TAP_INT(fs_size_search(probe, &growing, 0, &found), -ESTALE, "and stand still");
    TAP_OK(growing.n_asked <= 210, "it gives up");
    TAP_INT((int64_t)found, 99, "nothing is told on failure");
}

int main(void)
{
    test_all_sizes();
    test_hints();
    test_one_failure();
    test_errors();
    return tap_done();
}
