/* Connectors that know no gateway: what they say and hear stands in a mapping file (mapping.h).
 *
 *   rest   JSON
 *   xml    XML over HTTPS POST (requirement S2-28)
 *   aws    JSON signed with AWS Signature Version 4, for a merchant's own payment service behind API Gateway. There is no
 *          product "AWS Payment Service" (requirement C11), and this is not one.
 *
 * A mapping makes a connector of its own, in which it says what it supports and whether its gateway recognises a
 * request that is sent again. */
#ifndef TONEGATE_GATEWAY_GENERIC_H
#define TONEGATE_GATEWAY_GENERIC_H

#include "base/config.h"
#include "gateway/connectors/mapping.h"

/* The three names above. */
bool generic_is_name(const char *name);

/* Fills mapping->connector for the connector of that name. Errors ERR_SYNTAX, and message (MAPPING_ERROR_BYTES) says what
 * does not go together: the format or kind of auth; region and service, which signing needs; a url with a path, which it
 * cannot sign. account: region, service. */
MUST_USE enum err generic_bind(struct mapping *mapping, const char *name,
                               const struct connector_account *account, const char *url, char *message);

/* Loads and binds. *out is NULL on error; otherwise the caller's, for as long as (*out)->connector is used. */
MUST_USE enum err generic_open(struct mapping **out, const char *name, const char *path,
                               const struct connector_account *account, const char *url, char *message);

/* For `tonegate check`: what the configuration says of generic connectors holds together, mappings included. OK too when
 * it names others. Message as above. */
MUST_USE enum err generic_check(const struct config *config, char *message);

#endif
