/* AWS Signature Version 4 over a finished request: who we are goes into headers, the key itself stays here.
 *
 * Signed is every header line of the request (each is sent as it stands), the host, the date and, with temporary
 * credentials, the session token; the payload always. Source: "Create a signed AWS API request" of the AWS IAM User
 * Guide, for services whose path is encoded twice (all but S3). */
#ifndef TONEGATE_GATEWAY_SIGV4_H
#define TONEGATE_GATEWAY_SIGV4_H

#include "gateway/connector.h"

#define SIGV4_SECRET_BYTES 128 /* longest secret access key */

/* Parts of the credentials; they point into the caller's memory. */
struct sigv4_key {
    const char *access_id;
    size_t access_id_length;
    const uint8_t *secret;
    size_t secret_length;
    const char *session_token; /* of temporary credentials; length 0: none */
    size_t session_token_length;
};

/* "ACCESS_KEY_ID:SECRET_ACCESS_KEY" or "ACCESS_KEY_ID:SECRET_ACCESS_KEY:SESSION_TOKEN", as a key file holds it.
 * ERR_SYNTAX: another number of parts, one of them empty, a byte that is not printable or a secret that is too long. */
MUST_USE enum err sigv4_key_read(struct sigv4_key *out, const uint8_t *key, size_t length);

/* Appends x-amz-date, x-amz-security-token (with a session token) and authorization to the request's headers.
 * request: method, path (from the host's root, query included, escaped as it is sent), headers, body, host, now_s final.
 * region, service: lower-case letters, digits and '-', as "eu-central-1" and "execute-api".
 * On error nothing is appended. ERR_RANGE: region, service, host or time; ERR_SYNTAX: a header without a value, a query
 * or an escape that is none; ERR_FULL: too many headers or parameters, or no room; ERR_MEMORY. Every key that is derived
 * is wiped. Thread: any. */
MUST_USE enum err sigv4_sign(struct connector_request *request, const struct sigv4_key *key,
                             const char *region, const char *service);

#endif
