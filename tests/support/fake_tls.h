/* What tests need for a TLS server on loopback: a certificate of its own, and a listening socket.
 */
#ifndef CANISTERFS_TESTS_FAKE_TLS_H
#define CANISTERFS_TESTS_FAKE_TLS_H

#include <openssl/ssl.h>

/* Each of these ends the program with a message when it is impossible. */

/* A server's context with a new self-signed certificate.
 *
 * names    subjectAltName, as in "IP:127.0.0.1"
 * ca_file  fills: the certificate in PEM, for clients to trust; to be unlinked
 */
SSL_CTX *fake_tls_context(const char *names, long valid_seconds, char ca_file[64]);

/* Listen on 127.0.0.1, on a port of the kernel's choice. */
int fake_tls_listen(unsigned *port);

#endif
