/* SubjectPublicKeyInfo: what stands before a key in its DER form.
 *
 * Source: RFC 8410, section 4 (Ed25519).
 */
#ifndef CANISTERFS_IC_SPKI_H
#define CANISTERFS_IC_SPKI_H

#include <stdint.h>

/* The 32 bytes of the key follow. */
static const uint8_t ic_spki_ed25519[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                          0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

#endif
