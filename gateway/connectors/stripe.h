/* Stripe: PaymentMethod from the card, PaymentIntent (create, confirm as a telephone order, retrieve, cancel).
 *
 * The account needs raw card data and MOTO switched on by Stripe; gateway/README.md says how that shows when missing.
 * Source  Stripe API reference 2020-08-27 (payment_methods, payment_intents, errors, idempotent requests). */
#ifndef TONEGATE_GATEWAY_STRIPE_H
#define TONEGATE_GATEWAY_STRIPE_H

#include "gateway/connector.h"

extern const struct connector stripe_connector;

#endif
