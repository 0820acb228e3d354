/* Memory behind the static data, that is never given back: for canisters that keep what they are
 * given. No libc, hence no malloc.
 */
#ifndef CANISTERS_HEAP_H
#define CANISTERS_HEAP_H

#include <stddef.h>

/* Aligned to 8 bytes. Traps when the heap is full. */
void *heap_allocate(size_t len);

#endif
