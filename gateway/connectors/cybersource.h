/* Cybersource REST API: payments, captures, reversals, voids, refunds, transaction search, pay by link. Worldpay Business
 * Payments speaks it too. Account: region is the currency that cards are verified in (USD when empty). Key:
 * "merchant id:key id:shared secret in base64".
 *
 * - Every request is signed: HMAC-SHA256 over host, date, request-target, digest and v-c-merchant-id.
 * - TOKENISE verifies the card with an amount of nothing and lets TMS make a customer of it: number and CVN are checked
 *   by the issuer here.
 * - CREATE only names the order; CONFIRM charges the customer (a sale, or an authorisation).
 * - There is no idempotency key. STATUS searches by our name of the order; so does every later change before it is sent,
 *   for Cybersource's id of the payment and to see whether it was done before. A search index may be some seconds late.
 * - A decline comes as HTTP 201.
 *
 * Source  developer.cybersource.com: HTTP signature, payments, transaction search, timeout reversals, pay by link. */
#ifndef TONEGATE_GATEWAY_CYBERSOURCE_H
#define TONEGATE_GATEWAY_CYBERSOURCE_H

#include "gateway/connector.h"

extern const struct connector cybersource_connector;

#endif
