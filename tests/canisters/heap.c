/* See heap.h.
 */
#include "heap.h"

#include "ic0.h"

#define PAGE 65536

extern uint8_t __heap_base; /* of the linker: where the heap may begin */
static size_t heap_end;

void *heap_allocate(size_t len)
{
    if (heap_end == 0)
        heap_end = (size_t)&__heap_base;

    size_t at = (heap_end + 7) & ~(size_t)7;
    size_t have = __builtin_wasm_memory_size(0) * (size_t)PAGE;

    if (len > SIZE_MAX - PAGE - at)
        IC_TRAP("the heap is full");
    if (at + len > have && __builtin_wasm_memory_grow(0, (at + len - have) / PAGE + 1) == SIZE_MAX)
        IC_TRAP("the heap is full");
    heap_end = at + len;
    return (void *)at;
}
