/* The part of the Internet Computer's System API that these canisters use (IC interface spec,
 * "Overview of imports"), and the macros that export methods. No runtime, no libc: clang
 * -ffreestanding for wasm32.
 *
 * A trap undoes everything the message changed, so errors are simply trapped with a clear text.
 */
#ifndef CANISTERS_IC0_H
#define CANISTERS_IC0_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IC0(name) __attribute__((import_module("ic0"), import_name(#name)))

size_t ic0_msg_arg_data_size(void) IC0(msg_arg_data_size);
void ic0_msg_arg_data_copy(void *dst, size_t off, size_t size) IC0(msg_arg_data_copy);
size_t ic0_msg_caller_size(void) IC0(msg_caller_size);
void ic0_msg_caller_copy(void *dst, size_t off, size_t size) IC0(msg_caller_copy);
int32_t ic0_is_controller(const void *src, size_t size) IC0(is_controller);
void ic0_msg_reply_data_append(const void *src, size_t size) IC0(msg_reply_data_append);
void ic0_msg_reply(void) IC0(msg_reply);
void ic0_msg_reject(const void *src, size_t size) IC0(msg_reject);
_Noreturn void ic0_trap(const void *src, size_t size) IC0(trap);
uint64_t ic0_time(void) IC0(time);
uint64_t ic0_performance_counter(uint32_t kind) IC0(performance_counter);
size_t ic0_canister_self_size(void) IC0(canister_self_size);
void ic0_canister_self_copy(void *dst, size_t off, size_t size) IC0(canister_self_copy);

/* A call to a canister: new, then the others, then perform, which returns 0 when it will be made.
 * Each of the callbacks gets the number given with it; cleanup is called when the one that came
 * before trapped. */
typedef void ic_callback(size_t env);
void ic0_call_new(const void *callee, size_t callee_size, const void *name, size_t name_size,
                  ic_callback *reply, size_t reply_env, ic_callback *reject, size_t reject_env)
    IC0(call_new);
void ic0_call_on_cleanup(ic_callback *cleanup, size_t env) IC0(call_on_cleanup);
void ic0_call_data_append(const void *src, size_t size) IC0(call_data_append);
int32_t ic0_call_perform(void) IC0(call_perform);

/* Stable memory. The 64-bit calls take 64-bit heap addresses even on wasm32. */
uint64_t ic0_stable64_size(void) IC0(stable64_size);
int64_t ic0_stable64_grow(uint64_t pages) IC0(stable64_grow);
void ic0_stable64_read(uint64_t dst, uint64_t off, uint64_t size) IC0(stable64_read);
void ic0_stable64_write(uint64_t off, uint64_t src, uint64_t size) IC0(stable64_write);

/* Principals are at most 29 bytes (IC interface spec, "Principals"). */
#define IC_PRINCIPAL_MAX 29

#define IC_EXPORT(export, name)                                                                    \
    __attribute__((export_name(export))) void name(void);                                          \
    void name(void)
#define IC_INIT(name)         IC_EXPORT("canister_init", name)
#define IC_PRE_UPGRADE(name)  IC_EXPORT("canister_pre_upgrade", name)
#define IC_POST_UPGRADE(name) IC_EXPORT("canister_post_upgrade", name)
#define IC_QUERY(name)        IC_EXPORT("canister_query " #name, name)
#define IC_UPDATE(name)       IC_EXPORT("canister_update " #name, name)

/* Puts a .did file into the module as its public interface description. */
#define IC_CANDID_SERVICE(file)                                                                    \
    __asm__(".section \".custom_section.icp:public candid:service\",\"\",@\n"                      \
            ".incbin \"" file "\"\n"                                                               \
            ".text\n")

/* Text arguments are string literals: their length is known and no strlen is needed. */
#define IC_TRAP(literal)   ic0_trap("" literal, sizeof(literal) - 1)
#define IC_REJECT(literal) ic0_msg_reject("" literal, sizeof(literal) - 1)

static inline void ic_stable_read(void *dst, uint64_t off, size_t len)
{
    ic0_stable64_read((uintptr_t)dst, off, len);
}

static inline void ic_stable_write(uint64_t off, const void *src, size_t len)
{
    ic0_stable64_write(off, (uintptr_t)src, len);
}

/* Whether the caller of this message controls the canister. */
static inline bool ic_caller_is_controller(void)
{
    uint8_t caller[IC_PRINCIPAL_MAX];
    size_t len = ic0_msg_caller_size();

    if (len > sizeof(caller))
        return false;
    ic0_msg_caller_copy(caller, 0, len);
    return ic0_is_controller(caller, len) != 0;
}

#endif
