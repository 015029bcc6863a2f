/* The generic connectors among their own files: generic_build.c says a step, generic_read.c hears the answer, generic.c
 * proves who we are and makes the connector. As in connector.h, by account->mapping. */
#ifndef TONEGATE_GATEWAY_GENERIC_PRIV_H
#define TONEGATE_GATEWAY_GENERIC_PRIV_H

#include "gateway/connectors/mapping.h"

MUST_USE enum err generic_build(const struct connector_account *account, const struct connector_step *step,
                                struct connector_request *request, struct connector_verdict *verdict);

void generic_read(const struct connector_account *account, const struct connector_step *step,
                  const struct connector_answer *answer, struct connector_verdict *verdict);

/* What the mapping has for a step. An ABANDON without a request of its own asks with STATUS. */
const struct mapping_operation *generic_operation_of(const struct mapping *mapping,
                                                     enum connector_operation which);

#endif
