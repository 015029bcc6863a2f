/* Every bound of the product in one place: a queue, list, header, body or retry without a constant here is a defect.
 * Figures that answer a measurement cite it. */
#ifndef TONEGATE_BASE_LIMITS_H
#define TONEGATE_BASE_LIMITS_H

/* Roles and links */
#define LIMIT_MESSAGE_BYTES 1024 /* one message between roles, header included */
#define LIMIT_HEARTBEAT_MS  250  /* a role beats at least this often */
#define LIMIT_HANG_MS       1200 /* without a beat for so long a role is killed (restart within 2 s, P4) */
#define LIMIT_RESTART_BURST 20   /* restarts of one role within a minute, then one a second */
#define LIMIT_STOP_MS       5000 /* from SIGTERM to SIGKILL */
#define LIMIT_DRAIN_S       3600 /* longest drain */

/* Configuration */
#define LIMIT_CONFIG_BYTES     65536
#define LIMIT_PATH_BYTES       256
#define LIMIT_NAME_BYTES       64
#define LIMIT_TRUNK_SOURCES    16
#define LIMIT_SIP_LISTENERS    8
#define LIMIT_CROSSING_HEADERS 16
#define LIMIT_API_TOKENS       16
#define LIMIT_HOOK_TARGETS     4
#define LIMIT_WEBHOOKS         5 /* one for each vendor */
#define LIMIT_WEBHOOK_KEYS     3 /* valid at once, while one is replaced */

/* Calls */
#define LIMIT_CALLS                4000 /* most calls of one node; the configuration may say less */
#define LIMIT_CALL_REFERENCE_BYTES 64
#define LIMIT_MEDIA_WORKERS        64

#define LIMIT_REPORTS_OWED 256 /* last reports of armed legs that wait for a desk to come back */

/* What a dialog keeps; longer values are refused with 400 */
#define LIMIT_SIP_CALL_ID_BYTES 128
#define LIMIT_SIP_TAG_BYTES     64
#define LIMIT_SIP_URI_BYTES     256
#define LIMIT_SIP_PARTY_BYTES   384 /* display name and URI */
#define LIMIT_SIP_ROUTES        4
#define LIMIT_CALL_RELAYS       6   /* requests of one call under way at once */
#define LIMIT_RINGING_S         180 /* no final answer: cancelled */
#define LIMIT_CALL_S            14400

/* SIP guard: libosip2 parses in quadratic time, so these are held before it sees a byte */
#define LIMIT_SIP_UDP_BYTES       8192
#define LIMIT_SIP_TCP_BYTES       16384
#define LIMIT_SIP_HEADERS         64
#define LIMIT_SIP_VIAS            70 /* a request starts with Max-Forwards 70 (RFC 3261 §8.1.1.6) */
#define LIMIT_SIP_LINE_BYTES      2048
#define LIMIT_SIP_COMMAS          256 /* in all headers of a message; 3800 in Allow cost the library 15 ms */
#define LIMIT_SIP_SEMICOLONS      512 /* the same; 2700 in one URI cost 3.4 ms */
#define LIMIT_SIP_TCP_CONNECTIONS 256
#define LIMIT_SIP_KEY_BYTES       256
#define LIMIT_SIP_FAREWELL_BYTES  1600  /* an answer or CANCEL kept for the process after this one */
#define LIMIT_SIP_TRANSACTIONS    32768 /* live at once; 50 calls a second need 9600 */
#define LIMIT_SDP_BYTES           4096
#define LIMIT_SDP_MEDIA           4
#define LIMIT_SDP_ATTRIBUTES      64 /* in the whole description */
#define LIMIT_SDP_FORMATS         32 /* on one m-line */

/* RTP and audio */
#define LIMIT_RTP_PACKET_BYTES 1500
#define LIMIT_PTIME_MS         60
#define LIMIT_FRAME_SAMPLES    480 /* 60 ms at 8 kHz */
#define LIMIT_LOOKAHEAD_MS     100

/* Payment */
#define LIMIT_PAN_DIGITS       19
#define LIMIT_CVV_DIGITS       4
#define LIMIT_EXPIRY_DIGITS    4
#define LIMIT_CAPTURES         1024
#define LIMIT_TOKEN_BYTES      128        /* a Worldpay token is 81 characters */
#define LIMIT_AMOUNT_MINOR     99999999LL /* 999 999.99 in a currency with two decimals */
#define LIMIT_PAYMENT_ATTEMPTS 5
#define LIMIT_LINK_BYTES       256 /* a payment page's address */
#define LIMIT_ORDERS_OPEN      256 /* without an end, at the desk */
#define LIMIT_GATEWAYS         2   /* the first and its fallback */

/* HTTP, both sides */
#define LIMIT_HTTP_REQUEST_BYTES 16384
#define LIMIT_WEBHOOK_BYTES      65536 /* a body under /webhooks/ */
#define LIMIT_WEBHOOK_EVENTS     32    /* in one body */
#define LIMIT_HTTP_REPLY_BYTES   65536
#define LIMIT_HTTP_CONNECTIONS   512
#define LIMIT_EVENT_STREAMS      256
#define LIMIT_GATEWAY_IN_FLIGHT  512
#define LIMIT_GATEWAY_ORDERS     64 /* of them: what comes after the card leaves room for cards */
#define LIMIT_HOOKS_IN_FLIGHT    32
#define LIMIT_HOOKS_WAITING      1024  /* known to the desk's memory at once; more wait in its database */
#define LIMIT_GATEWAY_CEILING_MS 60000 /* requirement C1 */

#endif
