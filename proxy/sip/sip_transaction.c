#include "proxy/sip/sip_transaction.h"

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/secret.h"
#include "proxy/sip/sip_message.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define BUCKETS   8192 /* a power of two */
#define KEY_BYTES LIMIT_SIP_KEY_BYTES
#define COOKIE    "z9hG4bK"

enum kind { INVITE_SERVER, OTHER_SERVER, INVITE_CLIENT, OTHER_CLIENT };

enum state {
    TRYING,     /* client: nothing heard; server: nothing answered */
    PROCEEDING, /* provisional response */
    COMPLETED,  /* final response other than 2xx to an INVITE */
    CONFIRMED,  /* INVITE server: ACK came */
    ACCEPTED,   /* INVITE: 2xx (RFC 6026) */
};

struct transaction {
    struct sip_transactions *layer;
    struct transaction *next_by_key;
    struct transaction *next_by_id;
    sip_transaction_id id;
    enum kind kind;
    enum state state;
    char key[KEY_BYTES];
    char *text; /* the request of a client, the last response of a server */
    size_t text_length;
    char *ack; /* INVITE client: for its final response */
    size_t ack_length;
    struct sip_peer peer;
    enum config_trunk_name trunk;
    uint64_t cookie;
    osip_message_t *invite; /* INVITE client: what CANCEL and ACK are made from */
    bool must_cancel;
    bool is_cancelled;
    unsigned interval_ms;
    struct mono_time again_at;   /* 0: no retransmission */
    struct mono_time expires_at; /* 0: never */
    struct event *timer;
};

struct sip_transactions {
    struct event_base *base;
    struct sip_transport *transport;
    struct sip_transaction_user user;
    void *owner;
    unsigned t1_ms, t2_ms, t4_ms;
    uint64_t seed;
    sip_transaction_id last_id;
    struct transaction *by_key[BUCKETS];
    struct transaction *by_id[BUCKETS];
    struct sip_transaction_counts counts;
};

/* --- the hash --- */

/* Seeded, so that nobody outside can aim many at one bucket. */
static size_t key_bucket(const struct sip_transactions *layer, const char *key)
{
    uint64_t hash = layer->seed;
    for (; *key; key++) {
        hash ^= (unsigned char)*key;
        hash *= 0x100000001b3ULL;
        hash ^= hash >> 29;
    }
    return hash & (BUCKETS - 1);
}

static struct transaction *find_key(const struct sip_transactions *layer, const char *key)
{
    struct transaction *at = layer->by_key[key_bucket(layer, key)];
    while (at && strcmp(at->key, key) != 0)
        at = at->next_by_key;
    return at;
}

static struct transaction *find_id(const struct sip_transactions *layer, sip_transaction_id id)
{
    struct transaction *at = layer->by_id[id & (BUCKETS - 1)];
    while (at && at->id != id)
        at = at->next_by_id;
    return at;
}

static void add(struct sip_transactions *layer, struct transaction *transaction)
{
    size_t bucket = key_bucket(layer, transaction->key);
    transaction->next_by_key = layer->by_key[bucket];
    layer->by_key[bucket] = transaction;
    bucket = transaction->id & (BUCKETS - 1);
    transaction->next_by_id = layer->by_id[bucket];
    layer->by_id[bucket] = transaction;
    layer->counts.live++;
}

static void drop(struct transaction *transaction)
{
    struct sip_transactions *layer = transaction->layer;
    struct transaction **at = &layer->by_key[key_bucket(layer, transaction->key)];
    while (*at && *at != transaction)
        at = &(*at)->next_by_key;
    if (*at)
        *at = transaction->next_by_key;
    at = &layer->by_id[transaction->id & (BUCKETS - 1)];
    while (*at && *at != transaction)
        at = &(*at)->next_by_id;
    if (*at)
        *at = transaction->next_by_id;
    layer->counts.live--;
    sip_text_free(transaction->text, transaction->text_length);
    sip_text_free(transaction->ack, transaction->ack_length);
    osip_message_free(transaction->invite);
    if (transaction->timer)
        event_free(transaction->timer);
    free(transaction);
}

/* --- keys (RFC 3261 §17.1.3, §17.2.3) --- */

static const char *branch_of(const osip_via_t *via)
{
    const osip_generic_param_t *branch = sip_parameter(&via->via_params, "branch");
    return branch && branch->gvalue ? branch->gvalue : "";
}

static enum err server_key(const osip_message_t *request, const char *method, char *key)
{
    const osip_via_t *via = osip_list_get(&request->vias, 0);
    char call_id[128];
    int length;
    if (!via || !via->host)
        return ERR_SYNTAX;
    const char *branch = branch_of(via);
    if (strncasecmp(branch, COOKIE, strlen(COOKIE)) == 0) {
        length =
            snprintf(key, KEY_BYTES, "s|%s|%s|%s|%s", method, via->host, via->port ? via->port : "", branch);
    } else {
        /* An element of RFC 2543: no unique branch. */
        if (sip_call_id(request, call_id, sizeof(call_id)))
            return ERR_LENGTH;
        length = snprintf(key, KEY_BYTES, "o|%s|%s|%s|%s|%u", method, via->host, call_id,
                          sip_from_tag(request), sip_cseq(request));
    }
    return length > 0 && length < KEY_BYTES ? OK : ERR_LENGTH;
}

static enum err client_key(const char *branch, const char *method, char *key)
{
    int length = snprintf(key, KEY_BYTES, "c|%s|%s", method, branch);
    return length > 0 && length < KEY_BYTES ? OK : ERR_LENGTH;
}

/* --- timers --- */

static bool is_reliable(const struct transaction *transaction)
{
    return transaction->peer.transport == CONFIG_TCP;
}

static void set_timer(struct transaction *transaction)
{
    int64_t at = transaction->expires_at.ns;
    if (transaction->again_at.ns && (!at || transaction->again_at.ns < at))
        at = transaction->again_at.ns;
    if (!at) {
        event_del(transaction->timer);
        return;
    }
    int64_t wait = at - mono_now().ns;
    if (wait < 0)
        wait = 0;
    struct timeval after = {wait / NS_PER_S, wait % NS_PER_S / 1000};
    event_add(transaction->timer, &after);
}

static void expire_in(struct transaction *transaction, unsigned ms)
{
    transaction->expires_at = mono_add_ms(mono_now(), ms);
}

static void again_in(struct transaction *transaction, unsigned ms)
{
    transaction->interval_ms = ms;
    transaction->again_at.ns = is_reliable(transaction) ? 0 : mono_add_ms(mono_now(), ms).ns;
}

static void never_again(struct transaction *transaction)
{
    transaction->again_at = (struct mono_time){0};
}

static void send_text(struct transaction *transaction, const char *text, size_t length)
{
    if (!text)
        return;
    enum err err = sip_transport_send(transaction->layer->transport, &transaction->peer, text, length);
    /* A UDP error or a full queue is one lost packet; a broken connection is the end (RFC 3261 §17.1.4), told from the
     * timer, never from within the call. */
    if (err && is_reliable(transaction)) {
        transaction->expires_at = mono_now();
    }
}

static void tell_timeout(struct transaction *transaction)
{
    struct sip_transactions *layer = transaction->layer;
    uint64_t cookie = transaction->cookie;
    sip_transaction_id id = transaction->id;
    layer->counts.timeouts++;
    drop(transaction);
    layer->user.response_h(layer->owner, cookie, id, NULL);
}

static void retransmit(struct transaction *transaction)
{
    struct sip_transactions *layer = transaction->layer;
    layer->counts.retransmissions++;
    send_text(transaction, transaction->text, transaction->text_length);
    /* INVITE requests double without a bound (timer A), all else up to T2 (E, G); E at T2 once proceeding. */
    unsigned next = transaction->interval_ms * 2;
    if (transaction->kind != INVITE_CLIENT && (next > layer->t2_ms || transaction->state == PROCEEDING))
        next = layer->t2_ms;
    again_in(transaction, next);
}

static void timer_fired(evutil_socket_t fd, short what, void *argument)
{
    struct transaction *transaction = argument;
    struct mono_time now = mono_now();
    (void)fd;
    (void)what;
    if (transaction->expires_at.ns && mono_reached(now, transaction->expires_at)) {
        bool is_client = transaction->kind == INVITE_CLIENT || transaction->kind == OTHER_CLIENT;
        bool is_waiting = transaction->state == TRYING || transaction->state == PROCEEDING;
        if (is_client && is_waiting)
            tell_timeout(transaction);
        else
            drop(transaction);
        return;
    }
    if (transaction->again_at.ns && mono_reached(now, transaction->again_at))
        retransmit(transaction);
    set_timer(transaction);
}

/* The last quarter is kept for our own requests: calls can always be ended. */
static bool has_room(const struct sip_transactions *layer, enum kind kind)
{
    bool is_client = kind == INVITE_CLIENT || kind == OTHER_CLIENT;
    return layer->counts.live < (is_client ? LIMIT_SIP_TRANSACTIONS : LIMIT_SIP_TRANSACTIONS / 4 * 3);
}

static struct transaction *transaction_new(struct sip_transactions *layer, enum kind kind,
                                           const struct sip_peer *peer, const char *key)
{
    if (!has_room(layer, kind)) {
        layer->counts.refused_full++;
        return NULL;
    }
    struct transaction *transaction = calloc(1, sizeof(*transaction));
    if (!transaction)
        return NULL;
    transaction->layer = layer;
    transaction->kind = kind;
    transaction->peer = *peer;
    transaction->id = ++layer->last_id;
    memcpy(transaction->key, key, KEY_BYTES);
    transaction->timer = evtimer_new(layer->base, timer_fired, transaction);
    if (!transaction->timer) {
        free(transaction);
        return NULL;
    }
    add(layer, transaction);
    return transaction;
}

/* --- server side --- */

/* RFC 3261 §18.2.2 and RFC 3581 §4: to where the request came from; without rport, to the port of its Via. That port also
 * where the connection of a request is gone and another must be opened. */
static struct sip_peer response_peer(const osip_message_t *request, const struct sip_peer *from)
{
    struct sip_peer peer = *from;
    const osip_via_t *via = osip_list_get(&request->vias, 0);
    if (peer.transport == CONFIG_TCP || !sip_parameter(&via->via_params, "rport")) {
        long port = via->port ? strtol(via->port, NULL, 10) : 5060;
        peer.address.sin_port = htons((uint16_t)port);
    }
    return peer;
}

static void new_server(struct sip_transactions *layer, enum config_trunk_name trunk,
                       const struct sip_peer *peer, const char *key, osip_message_t *request)
{
    bool is_invite = sip_is(request, "INVITE");
    struct sip_peer back = response_peer(request, peer);
    struct transaction *transaction =
        transaction_new(layer, is_invite ? INVITE_SERVER : OTHER_SERVER, &back, key);
    if (!transaction) {
        osip_message_free(request);
        return;
    }
    transaction->trunk = trunk;
    layer->counts.servers++;
    layer->user.request_h(layer->owner, trunk, peer, transaction->id, request);
}

static void absorb(struct transaction *transaction)
{
    transaction->layer->counts.absorbed++;
    if (transaction->state == PROCEEDING || transaction->state == COMPLETED)
        send_text(transaction, transaction->text, transaction->text_length);
}

static void take_ack(struct sip_transactions *layer, enum config_trunk_name trunk, osip_message_t *ack)
{
    char key[KEY_BYTES];
    struct transaction *transaction = server_key(ack, "INVITE", key) ? NULL : find_key(layer, key);
    if (!transaction || transaction->state == ACCEPTED) {
        layer->user.ack_h(layer->owner, trunk, ack);
        return;
    }
    if (transaction->state == COMPLETED) {
        transaction->state = CONFIRMED;
        never_again(transaction);
        expire_in(transaction, is_reliable(transaction) ? 0 : layer->t4_ms); /* timer I */
        set_timer(transaction);
    }
    osip_message_free(ack);
}

/* Answered hop by hop (RFC 3261 §9.2), here. */
static void take_cancel(struct sip_transactions *layer, enum config_trunk_name trunk,
                        const struct sip_peer *peer, osip_message_t *cancel)
{
    char key[KEY_BYTES];
    struct transaction *invite = server_key(cancel, "INVITE", key) ? NULL : find_key(layer, key);
    struct sip_peer back = response_peer(cancel, peer);
    char tag[17];
    sip_random_text(tag);
    osip_message_t *response = sip_message_response(cancel, invite ? 200 : 481, tag);
    struct transaction *transaction =
        server_key(cancel, "CANCEL", key) ? NULL : transaction_new(layer, OTHER_SERVER, &back, key);
    (void)trunk;
    osip_message_free(cancel);
    if (!response || !transaction) {
        osip_message_free(response);
        return;
    }
    sip_transaction_id invite_id =
        invite && invite->trunk == trunk && invite->state <= PROCEEDING ? invite->id : 0;
    enum err ignored = sip_transaction_respond(layer, transaction->id, response);
    (void)ignored;
    if (invite_id)
        layer->user.cancel_h(layer->owner, invite_id);
}

static void take_request(struct sip_transactions *layer, enum config_trunk_name trunk,
                         const struct sip_peer *peer, osip_message_t *request)
{
    char key[KEY_BYTES];
    if (sip_is(request, "ACK")) {
        take_ack(layer, trunk, request);
        return;
    }
    struct transaction *known = NULL;
    if (server_key(request, request->sip_method, key)) {
        osip_message_free(request);
        return;
    }
    known = find_key(layer, key);
    if (known) {
        absorb(known);
        osip_message_free(request);
    } else if (sip_is(request, "CANCEL")) {
        take_cancel(layer, trunk, peer, request);
    } else {
        new_server(layer, trunk, peer, key, request);
    }
}

static void settle_server(struct transaction *transaction, int status)
{
    const struct sip_transactions *layer = transaction->layer;
    if (status < 200) {
        transaction->state = PROCEEDING;
        return;
    }
    if (transaction->kind == INVITE_SERVER && status < 300) {
        transaction->state = ACCEPTED; /* the call retransmits its 2xx; here only the INVITE is absorbed */
        expire_in(transaction, 64 * layer->t1_ms);
    } else if (transaction->kind == INVITE_SERVER) {
        transaction->state = COMPLETED;
        again_in(transaction, layer->t1_ms);
        expire_in(transaction, 64 * layer->t1_ms); /* timer H */
    } else {
        transaction->state = COMPLETED;
        expire_in(transaction, is_reliable(transaction) ? 0 : 64 * layer->t1_ms); /* timer J */
    }
}

enum err sip_transaction_respond(struct sip_transactions *layer, sip_transaction_id server,
                                 osip_message_t *response)
{
    struct transaction *transaction = find_id(layer, server);
    enum err err = !transaction ? ERR_NOT_FOUND : transaction->state > PROCEEDING ? ERR_ORDER : OK;
    char *text = NULL;
    size_t length = 0;
    if (!err)
        err = sip_message_text(response, &text, &length);
    int status = response->status_code;
    osip_message_free(response);
    if (err)
        return err;
    sip_text_free(transaction->text, transaction->text_length);
    transaction->text = text;
    transaction->text_length = length;
    settle_server(transaction, status);
    send_text(transaction, text, length);
    set_timer(transaction);
    return OK;
}

enum err sip_transaction_repeat(struct sip_transactions *layer, sip_transaction_id server)
{
    struct transaction *transaction = find_id(layer, server);
    if (!transaction || !transaction->text)
        return ERR_NOT_FOUND;
    layer->counts.retransmissions++;
    send_text(transaction, transaction->text, transaction->text_length);
    return OK;
}

bool sip_transaction_is_open(const struct sip_transactions *layer, sip_transaction_id server)
{
    const struct transaction *transaction = find_id(layer, server);
    return transaction && transaction->state <= PROCEEDING;
}

/* --- client side --- */

static enum err put_via(struct sip_transactions *layer, const struct sip_peer *peer, osip_message_t *request,
                        char *branch, size_t capacity)
{
    char via[160];
    char random[17];
    char host[INET_ADDRSTRLEN];
    const struct sockaddr_in *local = sip_transport_local(layer->transport, peer->transport);
    sip_random_text(random);
    snprintf(branch, capacity, COOKIE "%s", random);
    inet_ntop(AF_INET, &local->sin_addr, host, sizeof(host));
    snprintf(via, sizeof(via), "SIP/2.0/%s %s:%u;branch=%s;rport",
             peer->transport == CONFIG_TCP ? "TCP" : "UDP", host, ntohs(local->sin_port), branch);
    return osip_message_set_via(request, via) == 0 ? OK : ERR_MEMORY;
}

static void start_client(struct transaction *transaction)
{
    const struct sip_transactions *layer = transaction->layer;
    again_in(transaction, layer->t1_ms);
    expire_in(transaction, 64 * layer->t1_ms); /* timers B and F */
    send_text(transaction, transaction->text, transaction->text_length);
    set_timer(transaction);
}

enum err sip_transaction_request(struct sip_transactions *layer, const struct sip_peer *peer,
                                 osip_message_t *request, uint64_t cookie, sip_transaction_id *client)
{
    char branch[32];
    char key[KEY_BYTES];
    char *text = NULL;
    size_t length = 0;
    bool is_invite = sip_is(request, "INVITE");
    enum err err = put_via(layer, peer, request, branch, sizeof(branch));
    if (!err)
        err = client_key(branch, request->sip_method, key);
    if (!err)
        err = sip_message_text(request, &text, &length);
    struct transaction *transaction = NULL;
    if (!err) {
        transaction = transaction_new(layer, is_invite ? INVITE_CLIENT : OTHER_CLIENT, peer, key);
        err = transaction ? OK : ERR_MEMORY;
    }
    if (err) {
        sip_text_free(text, length);
        osip_message_free(request);
        return err;
    }
    transaction->text = text;
    transaction->text_length = length;
    transaction->cookie = cookie;
    transaction->invite = is_invite ? request : NULL;
    if (!is_invite)
        osip_message_free(request);
    if (client)
        *client = transaction->id;
    layer->counts.clients++;
    start_client(transaction);
    return OK;
}

/* ACK to a final response other than 2xx, and CANCEL: the INVITE's own Via, so the same branch (§17.1.1.3, §9.1). */
static osip_message_t *from_invite(const osip_message_t *invite, const char *method,
                                   const osip_message_t *response)
{
    char *uri = NULL;
    char *from = NULL;
    char *to = NULL;
    char *via = NULL;
    char call_id[256];
    osip_message_t *message = NULL;
    if (osip_uri_to_str(invite->req_uri, &uri) == 0 && osip_from_to_str(invite->from, &from) == 0 &&
        osip_to_to_str(response ? response->to : invite->to, &to) == 0 &&
        osip_via_to_str(osip_list_get(&invite->vias, 0), &via) == 0 &&
        sip_call_id(invite, call_id, sizeof(call_id)) == OK)
        message = sip_message_request(method, uri, from, to, call_id, sip_cseq(invite));
    if (message && (osip_message_set_via(message, via) != 0 ||
                    osip_message_set_header(message, "Max-Forwards", "70") != 0)) {
        osip_message_free(message);
        message = NULL;
    }
    for (int i = 0; message && i < osip_list_size(&invite->routes); i++) {
        char *route = NULL;
        if (osip_route_to_str(osip_list_get(&invite->routes, i), &route) == 0)
            osip_message_set_route(message, route);
        osip_free(route);
    }
    osip_free(uri);
    osip_free(from);
    osip_free(to);
    osip_free(via);
    return message;
}

static void send_cancel(struct transaction *invite)
{
    struct sip_transactions *layer = invite->layer;
    invite->must_cancel = false;
    invite->is_cancelled = true;
    expire_in(invite, 64 * layer->t1_ms); /* §9.1: then it counts as cancelled */
    set_timer(invite);
    osip_message_t *cancel = from_invite(invite->invite, "CANCEL", NULL);
    if (!cancel)
        return;
    char key[KEY_BYTES];
    char *text = NULL;
    size_t length = 0;
    enum err err = client_key(branch_of(osip_list_get(&cancel->vias, 0)), "CANCEL", key);
    if (!err)
        err = sip_message_text(cancel, &text, &length);
    osip_message_free(cancel);
    struct transaction *transaction = err ? NULL : transaction_new(layer, OTHER_CLIENT, &invite->peer, key);
    if (!transaction) {
        sip_text_free(text, length);
        return;
    }
    transaction->text = text;
    transaction->text_length = length;
    start_client(transaction); /* cookie 0: nobody waits for its response */
}

void sip_transaction_cancel(struct sip_transactions *layer, sip_transaction_id client)
{
    struct transaction *transaction = find_id(layer, client);
    if (!transaction || transaction->kind != INVITE_CLIENT || transaction->is_cancelled)
        return;
    if (transaction->state == PROCEEDING)
        send_cancel(transaction);
    else if (transaction->state == TRYING)
        transaction->must_cancel = true;
}

static void send_ack(struct transaction *transaction, const osip_message_t *response)
{
    osip_message_t *ack = from_invite(transaction->invite, "ACK", response);
    if (!ack)
        return;
    sip_text_free(transaction->ack, transaction->ack_length);
    transaction->ack = NULL;
    if (sip_message_text(ack, &transaction->ack, &transaction->ack_length) == OK)
        send_text(transaction, transaction->ack, transaction->ack_length);
    osip_message_free(ack);
}

/* True: the response is for the user. */
static bool settle_invite_client(struct transaction *transaction, const osip_message_t *response)
{
    const struct sip_transactions *layer = transaction->layer;
    int status = response->status_code;
    if (transaction->state == COMPLETED) {
        if (status >= 300)
            send_text(transaction, transaction->ack, transaction->ack_length);
        return false;
    }
    if (transaction->state == ACCEPTED)
        return status >= 200 && status < 300;
    never_again(transaction);
    if (status < 200) {
        transaction->state = PROCEEDING;
        expire_in(transaction, (LIMIT_RINGING_S + 60) * 1000); /* the call loses patience before */
        if (transaction->must_cancel)
            send_cancel(transaction);
        else if (transaction->is_cancelled)
            expire_in(transaction, 64 * layer->t1_ms);
    } else if (status < 300) {
        transaction->state = ACCEPTED;
        expire_in(transaction, 64 * layer->t1_ms); /* timer M */
    } else {
        transaction->state = COMPLETED;
        send_ack(transaction, response);
        expire_in(transaction, is_reliable(transaction) ? 0 : 64 * layer->t1_ms); /* timer D */
    }
    return true;
}

static bool settle_other_client(struct transaction *transaction, const osip_message_t *response)
{
    const struct sip_transactions *layer = transaction->layer;
    if (transaction->state == COMPLETED)
        return false;
    if (response->status_code < 200) {
        transaction->state = PROCEEDING;
        return true;
    }
    transaction->state = COMPLETED;
    never_again(transaction);
    expire_in(transaction, is_reliable(transaction) ? 0 : layer->t4_ms); /* timer K */
    return true;
}

static void take_response(struct sip_transactions *layer, enum config_trunk_name trunk,
                          osip_message_t *response)
{
    char key[KEY_BYTES];
    const osip_via_t *via = osip_list_get(&response->vias, 0);
    struct transaction *transaction = NULL;
    if (via && osip_list_size(&response->vias) == 1 && response->cseq && response->cseq->method &&
        client_key(branch_of(via), response->cseq->method, key) == OK)
        transaction = find_key(layer, key);
    if (!transaction) {
        layer->counts.strays++;
        if (via && osip_list_size(&response->vias) == 1 && MSG_IS_STATUS_2XX(response) &&
            sip_is(response, "INVITE"))
            layer->user.stray_h(layer->owner, trunk, response);
        else
            osip_message_free(response);
        return;
    }
    bool is_for_user = transaction->kind == INVITE_CLIENT ? settle_invite_client(transaction, response)
                                                          : settle_other_client(transaction, response);
    set_timer(transaction);
    if (is_for_user)
        layer->user.response_h(layer->owner, transaction->cookie, transaction->id, response);
    else
        osip_message_free(response);
}

void sip_transactions_take(struct sip_transactions *layer, enum config_trunk_name trunk,
                           const struct sip_peer *peer, osip_message_t *message)
{
    if (MSG_IS_REQUEST(message))
        take_request(layer, trunk, peer, message);
    else
        take_response(layer, trunk, message);
}

void sip_transaction_ack(struct sip_transactions *layer, const struct sip_peer *peer, osip_message_t *ack)
{
    char branch[32];
    char *text = NULL;
    size_t length;
    if (put_via(layer, peer, ack, branch, sizeof(branch)) == OK &&
        sip_message_text(ack, &text, &length) == OK) {
        enum err ignored =
            sip_transport_send(layer->transport, peer, text, length); /* asked for again by the next 2xx */
        (void)ignored;
        sip_text_free(text, length);
    }
    osip_message_free(ack);
}

/* --- for the process after this one --- */

static enum err keep(struct sip_farewell *farewell, const struct sip_peer *peer, const char *key,
                     osip_message_t *message)
{
    char *text = NULL;
    size_t length = 0;
    memset(farewell, 0, sizeof(*farewell));
    enum err err = sip_message_text(message, &text, &length);
    if (err)
        return err;
    if (length <= sizeof(farewell->text)) {
        farewell->peer = *peer;
        farewell->peer.connection = 0; /* it dies with us */
        farewell->status = (uint32_t)message->status_code;
        farewell->length = (uint32_t)length;
        memcpy(farewell->key, key, KEY_BYTES);
        memcpy(farewell->text, text, length);
    }
    sip_text_free(text, length);
    return farewell->length ? OK : ERR_LENGTH;
}

enum err sip_transaction_keep_response(struct sip_transactions *layer, sip_transaction_id server,
                                       osip_message_t *response, struct sip_farewell *farewell)
{
    const struct transaction *transaction = find_id(layer, server);
    memset(farewell, 0, sizeof(*farewell));
    return transaction ? keep(farewell, &transaction->peer, transaction->key, response) : ERR_NOT_FOUND;
}

enum err sip_transaction_keep_cancel(struct sip_transactions *layer, sip_transaction_id client,
                                     struct sip_farewell *farewell)
{
    char key[KEY_BYTES] = "";
    const struct transaction *transaction = find_id(layer, client);
    memset(farewell, 0, sizeof(*farewell));
    if (!transaction || !transaction->invite)
        return ERR_NOT_FOUND;
    osip_message_t *cancel = from_invite(transaction->invite, "CANCEL", NULL);
    if (!cancel)
        return ERR_MEMORY;
    enum err err = client_key(branch_of(osip_list_get(&cancel->vias, 0)), "CANCEL", key);
    if (!err)
        err = keep(farewell, &transaction->peer, key, cancel);
    osip_message_free(cancel);
    return err;
}

enum err sip_transaction_say_farewell(struct sip_transactions *layer, const struct sip_farewell *farewell,
                                      sip_transaction_id *id)
{
    if (farewell->length == 0 || farewell->length > sizeof(farewell->text) ||
        !memchr(farewell->key, '\0', KEY_BYTES))
        return ERR_SYNTAX;
    enum kind kind = farewell->status ? INVITE_SERVER : OTHER_CLIENT;
    char *text = osip_malloc(farewell->length);
    struct transaction *transaction =
        text ? transaction_new(layer, kind, &farewell->peer, farewell->key) : NULL;
    if (!transaction) {
        osip_free(text);
        return ERR_FULL;
    }
    memcpy(text, farewell->text, farewell->length);
    transaction->text = text;
    transaction->text_length = farewell->length;
    *id = transaction->id;
    if (farewell->status) {
        settle_server(transaction, (int)farewell->status);
        send_text(transaction, text, farewell->length);
        set_timer(transaction);
    } else {
        start_client(transaction); /* cookie 0: nobody waits for its response */
    }
    return OK;
}

/* --- life --- */

/* A request whose connection broke before anything was heard will hear nothing: told from the timer. */
static void connection_lost(void *owner, const struct sockaddr_in *address)
{
    struct sip_transactions *layer = owner;
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct transaction *at = layer->by_id[i]; at; at = at->next_by_id) {
            bool is_hit = (at->kind == INVITE_CLIENT || at->kind == OTHER_CLIENT) && at->state == TRYING &&
                          is_reliable(at) && at->peer.address.sin_port == address->sin_port &&
                          at->peer.address.sin_addr.s_addr == address->sin_addr.s_addr;
            if (!is_hit)
                continue;
            at->expires_at = mono_now();
            set_timer(at);
        }
    }
}

enum err sip_transactions_new(struct sip_transactions **out, struct event_base *base,
                              struct sip_transport *transport, unsigned t1_ms,
                              const struct sip_transaction_user *user, void *owner)
{
    struct sip_transactions *layer = calloc(1, sizeof(*layer));
    *out = layer;
    if (!layer)
        return ERR_MEMORY;
    layer->base = base;
    layer->transport = transport;
    layer->t1_ms = t1_ms;
    layer->t2_ms = t1_ms * (SIP_T2_MS / SIP_T1_MS);
    layer->t4_ms = t1_ms * (SIP_T4_MS / SIP_T1_MS);
    layer->user = *user;
    layer->owner = owner;
    ASSERT(getrandom(&layer->seed, sizeof(layer->seed), 0) == sizeof(layer->seed));
    sip_transport_on_lost(transport, connection_lost, layer);
    layer->last_id = (layer->seed >> 16) & 0xffffffff; /* ids of another run mean nothing in this one */
    return OK;
}

void sip_transactions_free(struct sip_transactions *layer)
{
    if (!layer)
        return;
    sip_transport_on_lost(layer->transport, NULL, NULL);
    for (size_t i = 0; i < BUCKETS; i++) {
        for (struct transaction *at = layer->by_id[i], *next; at; at = next) {
            next = at->next_by_id;
            drop(at);
        }
    }
    free(layer);
}

void sip_transaction_counts(const struct sip_transactions *layer, struct sip_transaction_counts *counts)
{
    *counts = layer->counts;
}
