#include "fs/restore_memory_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

int memory_plan_init(struct memory_plan *plan, uint64_t n_pages)
{
    *plan = (struct memory_plan){.n_pages = n_pages};
    plan->words = calloc((size_t)(n_pages / WORD_BITS + 1), sizeof(*plan->words));
    return plan->words ? 0 : -ENOMEM;
}

int memory_plan_copy(struct memory_plan *out, const struct memory_plan *plan)
{
    int result = memory_plan_init(out, plan->n_pages);
    if (result < 0)
        return result;
    memcpy(out->words, plan->words, (size_t)(plan->n_pages / WORD_BITS + 1) * sizeof(*out->words));
    out->n_set = plan->n_set;
    return 0;
}

void memory_plan_fini(struct memory_plan *plan)
{
    free(plan->words);
    *plan = (struct memory_plan){0};
}

bool memory_plan_has(const struct memory_plan *plan, uint64_t page)
{
    return page < plan->n_pages && (plan->words[page / WORD_BITS] >> page % WORD_BITS & 1) != 0;
}

static void put(struct memory_plan *plan, uint64_t first, uint64_t n, bool value)
{
    uint64_t end = n < plan->n_pages && first < plan->n_pages - n ? first + n : plan->n_pages;
    for (uint64_t page = first; page < end; page++) {
        uint64_t bit = UINT64_C(1) << page % WORD_BITS;
        uint64_t *word = &plan->words[page / WORD_BITS];
        if (((*word & bit) != 0) == value)
            continue;
        *word ^= bit;
        plan->n_set += value ? 1 : UINT64_MAX;
    }
}

void memory_plan_set(struct memory_plan *plan, uint64_t first, uint64_t n)
{
    put(plan, first, n, true);
}

void memory_plan_clear(struct memory_plan *plan, uint64_t first, uint64_t n)
{
    put(plan, first, n, false);
}

/* The first set page at or after `from`, or n_pages. */
static uint64_t next_set(const struct memory_plan *plan, uint64_t from)
{
    uint64_t n_words = plan->n_pages / WORD_BITS + 1;
    uint64_t i = from / WORD_BITS;
    if (from >= plan->n_pages)
        return plan->n_pages;
    uint64_t word = plan->words[i] & UINT64_MAX << from % WORD_BITS;
    while (word == 0 && ++i < n_words)
        word = plan->words[i];
    return word ? i * WORD_BITS + (uint64_t)__builtin_ctzll(word) : plan->n_pages;
}

bool memory_plan_find(const struct memory_plan *plan, uint64_t from, uint64_t max,
                      struct memory_run *out)
{
    uint64_t first = next_set(plan, from);
    if (first >= plan->n_pages)
        return false;
    uint64_t n = 1;
    while (n < max && memory_plan_has(plan, first + n))
        n++;
    *out = (struct memory_run){first, n};
    return true;
}

uint64_t memory_plan_count(const struct memory_plan *plan, uint64_t max)
{
    struct memory_run run;
    uint64_t n = 0;
    for (uint64_t from = 0; memory_plan_find(plan, from, max, &run); from = run.first + run.n)
        n++;
    return n;
}
