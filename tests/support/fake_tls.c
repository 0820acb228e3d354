#include "tests/support/fake_tls.h"

#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void need(bool ok, const char *what)
{
    if (!ok) {
        printf("Bail out! %s\n", what);
        exit(1);
    }
}

static X509 *make_certificate(EVP_PKEY *key, const char *names, long valid_seconds)
{
    X509 *cert = X509_new();
    need(cert != NULL && X509_set_version(cert, 2) == 1, "certificate");
    ASN1_INTEGER_set(X509_get_serialNumber(cert), 1);
    X509_gmtime_adj(X509_getm_notBefore(cert), -7200);
    X509_gmtime_adj(X509_getm_notAfter(cert), valid_seconds);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1, 0);
    X509_set_issuer_name(cert, name);
    X509_EXTENSION *alt = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, names);
    need(alt != NULL && X509_add_ext(cert, alt, -1) == 1, "subjectAltName");
    X509_EXTENSION_free(alt);
    need(X509_sign(cert, key, EVP_sha256()) > 0, "sign");
    return cert;
}

SSL_CTX *fake_tls_context(const char *names, long valid_seconds, char ca_file[64])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    need(key != NULL, "key");
    X509 *cert = make_certificate(key, names, valid_seconds);
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    need(ctx != NULL && SSL_CTX_use_certificate(ctx, cert) == 1 &&
             SSL_CTX_use_PrivateKey(ctx, key) == 1,
         "TLS context");

    strcpy(ca_file, "/tmp/canisterfs-test-XXXXXX");
    FILE *file = fdopen(mkstemp(ca_file), "w");
    need(file != NULL && PEM_write_X509(file, cert) == 1 && fclose(file) == 0, "certificate file");
    X509_free(cert);
    EVP_PKEY_free(key);
    return ctx;
}

int fake_tls_listen(unsigned *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
    } address = {.in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    need(bind(listener, &address.any, len) == 0 && listen(listener, 16) == 0 &&
             getsockname(listener, &address.any, &len) == 0,
         "listen");
    *port = ntohs(address.in.sin_port);
    return listener;
}
