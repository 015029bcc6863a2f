/* The body of a request by its mapping, written once into the caller's buffer. */
#ifndef TONEGATE_GATEWAY_MAPPING_BODY_H
#define TONEGATE_GATEWAY_MAPPING_BODY_H

#include "base/secret.h"
#include "gateway/connectors/mapping.h"
#include "gateway/connectors/mapping_value.h"

/* Fields that the step does not have, and may lack, are left out. Errors as mapping_value_put(), and ERR_FULL. */
MUST_USE enum err mapping_body_put(const struct mapping *mapping, const struct mapping_request *request,
                                   const struct mapping_source *source, struct secret *body);

/* Moves a held body into body and puts the session where it was left out; held is wiped. ERR_FULL, ERR_SYNTAX (a session
 * that would need an escape). */
MUST_USE enum err mapping_body_release(struct secret *held, const char *session, struct secret *body);

#endif
