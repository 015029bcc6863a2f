/* A hook as others read it: JSON and its signature. Pure. */
#ifndef TONEGATE_GATEWAY_HOOK_BODY_H
#define TONEGATE_GATEWAY_HOOK_BODY_H

#include "base/err.h"
#include "base/secret.h"
#include "gateway/hook_msg.h"

#include <stddef.h>
#include <stdint.h>

#define HOOK_BODY_BYTES      2048
#define HOOK_SIGNATURE_BYTES 128

/* {"id","type","created","conversation_id","variables":{...},...}; the shape of requirement S3-20 with more members. Any
 * kind below HOOK_ATTRIBUTES. ERR_RANGE (another kind, or a text that is not terminated), ERR_FULL. */
MUST_USE enum err hook_body_write(const struct hook_send_msg *hook, uint8_t *out, size_t capacity,
                                  size_t *length);

/* "t=SECONDS,v1=HEX": HMAC-SHA256 over "SECONDS.BODY". Stripe's form, so that whoever can check theirs can check ours.
 * out has room for HOOK_SIGNATURE_BYTES. */
MUST_USE enum err hook_sign(const struct secret *key, int64_t now_s, const uint8_t *body, size_t length,
                            char *out);

/* "payment.confirmed", ...; a constant. */
const char *hook_type_name(const struct hook_send_msg *hook);
const char *hook_status_name(unsigned status);
/* Every text is terminated, kind, target and status are ones there are. */
bool hook_is_sane(const struct hook_send_msg *hook);

#endif
