/* Function attributes of the room's public headers, spelled once. */
#ifndef CANISTERFS_IC_ATTR_H
#define CANISTERFS_IC_ATTR_H

#define IC_MUST_CHECK         __attribute__((warn_unused_result))
#define IC_NONNULL(...)       __attribute__((nonnull(__VA_ARGS__)))
#define IC_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))

#endif
