/* Braintree: its GraphQL API. The key is "public key:private key".
 *
 * There is no order before the charge and no idempotency key: CREATE only gives the order its name, CONFIRM charges it
 * once, and whatever is in doubt afterwards is searched by that name, never sent again.
 * Source  braintree/graphql-api schema (2025-04-29), developer.paypal.com/braintree. */
#ifndef TONEGATE_GATEWAY_BRAINTREE_H
#define TONEGATE_GATEWAY_BRAINTREE_H

#include "gateway/connector.h"

extern const struct connector braintree_connector;

#endif
