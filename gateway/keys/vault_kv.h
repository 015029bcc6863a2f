/* One field of a secret in HashiCorp Vault's key-value engine, version 2: a request built, an answer read. No I/O.
 * Source: "KV secrets engine - version 2 (API)", Read secret version, in Vault's documentation. */
#ifndef TONEGATE_GATEWAY_VAULT_KV_H
#define TONEGATE_GATEWAY_VAULT_KV_H

#include "gateway/connector.h"

/* "vault:MOUNT/PATH#FIELD": the mount is what stands before the first slash. token: the Vault token, name_space: of an
 * Enterprise server, may be empty. ERR_SYNTAX: the reference, or a token no header may hold; ERR_LENGTH. */
MUST_USE enum err vault_kv_build(const char *reference, const struct secret *token, const char *name_space,
                                 struct connector_request *request);

/* value is emptied, then filled. ERR_REFUSED (the token, or its policy), ERR_NOT_FOUND (no such secret, version or
 * field), ERR_SYNTAX (no such answer), ERR_LENGTH (empty, or too long for value), ERR_SYSTEM (the server's fault). */
MUST_USE enum err vault_kv_read(const char *reference, const struct connector_answer *answer,
                                struct secret *value);

#endif
