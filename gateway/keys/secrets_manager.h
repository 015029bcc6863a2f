/* One secret of AWS Secrets Manager: GetSecretValue built (and left to be signed), its answer read. No I/O.
 * Source: "GetSecretValue" of the AWS Secrets Manager API reference. */
#ifndef TONEGATE_GATEWAY_SECRETS_MANAGER_H
#define TONEGATE_GATEWAY_SECRETS_MANAGER_H

#include "gateway/connector.h"

#define SECRETS_MANAGER_SERVICE "secretsmanager"

/* "aws:SECRET_ID" or "aws:SECRET_ID#FIELD", the latter where the secret is a JSON object of texts. SECRET_ID is a name
 * or an ARN. request->body is the caller's. ERR_SYNTAX: the reference; ERR_FULL. */
MUST_USE enum err secrets_manager_build(const char *reference, struct connector_request *request);

/* As vault_kv_read(); ERR_REFUSED also for a signature that is not right and for access denied. */
MUST_USE enum err secrets_manager_read(const char *reference, const struct connector_answer *answer,
                                       struct secret *value);

#endif
