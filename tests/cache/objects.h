/* Objects of a store that are known again, and whether it kept its budgets; allocations that fail.
 * Programs with it are linked with --wrap for malloc, calloc and realloc.
 */
#ifndef CANISTERFS_TESTS_CACHE_OBJECTS_H
#define CANISTERFS_TESTS_CACHE_OBJECTS_H

#include "cache/store.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB  ((size_t)1024)
#define COST ((size_t)144) /* of an object besides its bytes, as store.h says */

/* Where spools are; made by objects_open, and gone with objects_close, which tells whether it was
 * empty. */
extern char dir[];
void objects_open(void);
bool objects_close(void);

/* From the n-th on they fail while armed. */
extern bool is_armed;
extern long n_until_failure;

/* Was the budget kept, each time it was looked at? */
extern size_t memory_max;
extern uint64_t spool_max;
extern atomic_uint n_over;

struct store *open_store(size_t memory, const char *where, uint64_t spool_size);
void close_store(struct store *store);
struct store_stats look(struct store *store);
uint64_t put(struct store *store, unsigned seed, size_t len);

/* Read a range in three pieces. Returns 0, -ENOENT, or -EILSEQ for a wrong byte. */
int read_range(struct store *store, uint64_t number, unsigned seed, size_t off, size_t len);

/* Which of the objects 1 to n are kept, as "1.3" for 1 and 3 of three. */
const char *kept(struct store *store, unsigned n);

#endif
