/* A stage for the vault's tests: a dispatch with a socket pair per link and a clock of its own. What the vault sends is
 * read from the far ends, what its peers say is put through msg_dispatch() as the loop would. */
#ifndef TONEGATE_CAPTURE_TESTS_VAULT_STAGE_H
#define TONEGATE_CAPTURE_TESTS_VAULT_STAGE_H

#include "capture/vault/dispatch.h"
#include "gateway/gateway_msg.h"
#include "proxy/proxy_msg.h"

#define STAGE_CAPTURE 0xcafe01u
#define STAGE_CALL    0xca1101u
#define STAGE_CARD    "4242424242424242"

struct stage {
    struct dispatch *dispatch;
    int far[DISPATCH_PEERS]; /* the peers' ends, -1 while down */
    int near[DISPATCH_PEERS];
    struct mono_time now;
    struct wall_time wall;
    uint32_t ordinal;
};

union stage_message {
    struct msg_header header;
    struct proxy_arm_msg arm;
    struct proxy_disarm_msg disarm;
    struct capture_progress_msg progress;
    struct capture_store_msg store;
    struct gateway_tokenise_msg tokenise;
    struct gateway_order_msg order;
    struct gateway_step_msg step;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
};

/* generation as in struct dispatch_options. Aborts on failure. */
void stage_open(struct stage *stage, unsigned generation);
void stage_close(struct stage *stage);

void stage_up(struct stage *stage, enum dispatch_peer peer);
void stage_down(struct stage *stage, enum dispatch_peer peer);
void stage_wait(struct stage *stage, int64_t ms); /* in ticks of 100 ms */
void stage_jump(struct stage *stage, int64_t ms); /* in one tick, as after a frozen machine */

/* The next message the vault sent to this peer; ERR_EMPTY. */
enum err stage_read(struct stage *stage, enum dispatch_peer peer, union stage_message *message);

/* Reads on until one of this type; false when there is none. */
bool stage_expect(struct stage *stage, enum dispatch_peer peer, uint16_t type, union stage_message *message);

/* Throws away what lies unread. */
void stage_flush(struct stage *stage);

/* A message from a peer, through the vault's port. */
enum err stage_say(struct stage *stage, enum dispatch_peer peer, const void *message);

enum err stage_say_open(struct stage *stage, uint64_t capture, uint64_t call);
/* amount 49.99 USD; nothing where a token is all that is wanted. */
enum err stage_say_open_kind(struct stage *stage, uint64_t capture, uint64_t call, enum capture_kind kind);
enum err stage_say_armed(struct stage *stage, uint64_t capture, uint64_t call, bool is_resync,
                         bool is_refused);
enum err stage_say_gone(struct stage *stage, uint64_t capture, uint64_t call);
enum err stage_say_alarm(struct stage *stage, uint64_t capture, uint64_t call);
enum err stage_say_key(struct stage *stage, uint64_t capture, uint64_t call, uint32_t ordinal, dtmf_key key);
enum err stage_say_field(struct stage *stage, uint64_t capture, enum card_field field, bool is_reset);
enum err stage_say_submit(struct stage *stage, uint64_t capture);
enum err stage_say_cancel(struct stage *stage, uint64_t capture, uint64_t call);
enum err stage_say_stored(struct stage *stage, uint64_t capture, uint32_t number, bool is_durable);
/* With an order the token "pm_kept" comes too. */
enum err stage_say_reconcile(struct stage *stage, uint64_t capture, uint32_t attempt, const char *order_ref);
enum err stage_say_sync(struct stage *stage);
enum err stage_say_reply(struct stage *stage, uint64_t capture, uint16_t request, uint32_t attempt,
                         enum gateway_outcome outcome, enum gateway_order_state order_state,
                         const char *token, const char *order_ref);
/* The same from the second of the gateways. */
enum err stage_say_reply_of(struct stage *stage, unsigned gateway_index, uint64_t capture, uint16_t request,
                            uint32_t attempt, enum gateway_outcome outcome,
                            enum gateway_order_state order_state, const char *token, const char *order_ref);

/* Keys on the stage's one call, ordinals counted by the stage. */
void stage_keys(struct stage *stage, const char *keys);

/* Drives STAGE_CAPTURE along the straight way until it is in this state; PAYMENT_ARMING..PAYMENT_UNKNOWN_SETTLING and
 * PAYMENT_LOST.. are reached by the ways there are. Aborts when it does not get there. */
void stage_reach(struct stage *stage, enum payment_state state);

/* Answers the STORE that lies unread. */
void stage_answer_store(struct stage *stage);

enum payment_state stage_state(struct stage *stage);
struct capture *stage_capture(struct stage *stage);

#endif
