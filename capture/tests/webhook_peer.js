/* The vendors' own libraries beside ours: what they sign, and what they say of what we signed.
 *   node webhook_peer.js make            one JSON object a line: {vendor, headers, body}
 *   node webhook_peer.js check HEADER    BODY on standard input: does Stripe's library take it? "taken" or its reason
 * NODE_PATH leads to the libraries. The keys are those of tests. */
'use strict';

const stripe = require('stripe');
const crypto = require('crypto');
const [verb, header] = process.argv.slice(2);
const KEY = 'whsec_of_a_test_0123456789abcdef';
const ADYEN_KEY = '44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056';
const webhooks = (stripe.default || stripe)('sk_test_of_no_account').webhooks;

function say(vendor, headers, body) {
  console.log(JSON.stringify({ vendor, headers, body }));
}

function makeStripe() {
  const payload = JSON.stringify({
    id: 'evt_peer', object: 'event', type: 'payment_intent.succeeded',
    data: { object: { id: 'pi_peer', object: 'payment_intent', amount: 1234, currency: 'eur', metadata: { note: 'Grüße €' } } }
  });
  say('stripe', 'Stripe-Signature: ' + webhooks.generateTestHeaderString({ payload, secret: KEY }) + '\r\n', payload);
}

function makeBraintree() {
  const braintree = require('braintree');
  const gateway = new braintree.BraintreeGateway({
    environment: braintree.Environment.Sandbox, merchantId: 'm', publicKey: 'public1', privateKey: 'private1'
  });
  for (const kind of ['transaction_settled', 'dispute_lost', 'check']) {
    const sample = gateway.webhookTesting.sampleNotification(kind, 'sample-id');
    say('braintree', '', 'bt_signature=' + encodeURIComponent(sample.bt_signature) + '&bt_payload=' +
      encodeURIComponent(sample.bt_payload));
  }
}

function makeAdyen() {
  const { hmacValidator: Validator } = require('@adyen/api-library');
  const item = {
    eventCode: 'REFUND', success: 'true', pspReference: 'NC6HT9CRT65ZGN82', originalReference: 'QFQTPCQ8HXSKGK82',
    merchantAccountCode: 'TestMerchant', merchantReference: 'cap_bbccddeeffgghhii', amount: { value: 700, currency: 'JPY' }
  };
  const signature = new Validator().calculateHmac(item, ADYEN_KEY);
  item.additionalData = { hmacSignature: signature };
  say('adyen', '', JSON.stringify({ live: 'false', notificationItems: [{ NotificationRequestItem: item }] }));
}

if (verb === 'make') {
  makeStripe();
  makeBraintree();
  makeAdyen();
} else {
  const body = require('fs').readFileSync(0);
  try {
    webhooks.constructEvent(body, header, KEY);
    console.log('taken');
  } catch (refusal) {
    console.log(refusal.message.split('\n')[0]);
  }
}
