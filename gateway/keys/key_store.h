/* Keys out of secret stores on the network: HashiCorp Vault and AWS Secrets Manager, by reference (vault_kv.h,
 * secrets_manager.h). Asked by the role's own HTTPS client from its loop, behind its wall; temporary AWS credentials are
 * fetched first and kept until shortly before their end. Thread: the loop's. */
#ifndef TONEGATE_GATEWAY_KEY_STORE_H
#define TONEGATE_GATEWAY_KEY_STORE_H

#include "base/err.h"
#include "base/limits.h"
#include "base/secret.h"

#include <event2/event.h>
#include <stdbool.h>

enum key_store_credentials {
    KEY_STORE_STATIC,    /* as given */
    KEY_STORE_CONTAINER, /* an ECS task's */
    KEY_STORE_INSTANCE,  /* an EC2 instance's */
};

struct key_store_settings {
    char vault_url[LIMIT_PATH_BYTES]; /* https://HOST[:PORT]; empty: no Vault */
    char vault_namespace[LIMIT_NAME_BYTES];
    char vault_ca_path[LIMIT_PATH_BYTES]; /* empty: the system's */
    struct secret *vault_token;           /* taken over; NULL with no Vault */

    char aws_region[LIMIT_NAME_BYTES]; /* empty: no Secrets Manager */
    char aws_url[LIMIT_PATH_BYTES];    /* empty: https://secretsmanager.REGION.amazonaws.com */
    char aws_ca_path[LIMIT_PATH_BYTES];
    enum key_store_credentials aws_credentials;
    struct secret *aws_key;      /* STATIC: "ID:SECRET[:TOKEN]"; taken over */
    struct secret *aws_relative; /* CONTAINER: what AWS_CONTAINER_CREDENTIALS_RELATIVE_URI says; taken over */
    char metadata_url[LIMIT_PATH_BYTES]; /* tests and sandboxes: http://127.0.0.1:PORT; empty: the real one */
};

struct key_store;

/* Takes the three secrets over, also on error. ERR_MEMORY, ERR_SYSTEM (a CA file), ERR_SYNTAX (aws_key), ERR_RANGE. */
MUST_USE enum err key_store_new(struct key_store **out, struct event_base *base,
                                const struct key_store_settings *settings);

/* Ends every reading without calling its handler. NULL is accepted. */
void key_store_free(struct key_store *store);

/* True: a reference that only a store can resolve. */
bool key_store_has(const char *reference);

/* Once per key_store_read() that returned OK, from the loop. ERR_TIMEOUT, ERR_TLS, ERR_PEER_GONE (no answer), and the
 * errors of vault_kv_read() and secrets_manager_read(). */
typedef void key_store_h(void *owner, enum err err);

/* value is filled when the handler is called with OK; it is the caller's and must live until then. ERR_SYNTAX: no such
 * reference. ERR_UNSUPPORTED: of a store that is not configured. ERR_FULL: LIMIT_GATEWAYS readings are under way. */
MUST_USE enum err key_store_read(struct key_store *store, const char *reference, struct secret *value,
                                 key_store_h *handler, void *owner);

/* Ends the owner's readings; its handler is not called. */
void key_store_cancel(struct key_store *store, const void *owner);

#endif
