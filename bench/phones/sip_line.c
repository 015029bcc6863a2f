#include "bench/phones/sip_line.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <osip2/osip.h>
#include <osipparser2/osip_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define TOKEN_BYTES     24
#define URI_BYTES       256
#define RUBBISH_MAX     64
#define T1_MS           500 /* RFC 3261 §17.1.1.1 */
#define T2_MS           4000
#define ANSWER_LAST_MS  32000
#define WAIT_MS_MAX     100
#define DATAGRAMS_A_RUN 32

enum state {
    STATE_IDLE,
    STATE_CALLING,
    STATE_OFFERED,
    STATE_ANSWERED,
    STATE_TALKING,
    STATE_LEAVING,
    STATE_OVER
};

struct sip_line {
    osip_t *osip;
    int fd;
    struct sockaddr_in address;
    struct sockaddr_in peer; /* where requests go */
    struct sip_line_handlers handlers;
    struct sip_line_counts counts;
    enum state state;
    bool is_caller;
    unsigned cseq;
    unsigned invite_cseq;
    char call_id[TOKEN_BYTES * 2];
    char local_uri[URI_BYTES]; /* in angle brackets, tag apart */
    char local_tag[TOKEN_BYTES];
    char remote_uri[URI_BYTES];
    char remote_tag[URI_BYTES];
    char target[URI_BYTES]; /* the peer's contact: Request-URI inside the dialogue */
    char sdp[SIP_LINE_BYTES];
    char repeated[SIP_LINE_BYTES]; /* our 2xx until the ACK, or our ACK for repeated 2xx */
    struct mono_time repeat_at;
    unsigned repeat_ms;
    struct mono_time repeat_until; /* ns 0: nothing to repeat */
    osip_transaction_t *offer;     /* INVITE that waits for our answer */
    char invite_branch[TOKEN_BYTES];
    osip_transaction_t *rubbish[RUBBISH_MAX]; /* ended; freed when no machine is running */
    size_t rubbish_count;
};

/* The library hands its callbacks no context but this. */
static struct sip_line *line_of(const osip_transaction_t *transaction)
{
    return osip_get_application_context(transaction->config);
}

static void random_token(char *out)
{
    uint64_t value = 0;
    if (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value)
        value = (uint64_t)mono_now().ns;
    for (int i = 0; i < 16; i++)
        out[i] = (char)('a' + (value >> (i * 4) & 15));
    out[16] = '\0';
}

static void send_text(struct sip_line *line, const char *text, const struct sockaddr_in *to)
{
    /* A lost datagram is what retransmissions are for. */
    (void)!sendto(line->fd, text, strlen(text), 0, (const struct sockaddr *)to, sizeof *to);
}

static int send_message_h(osip_transaction_t *transaction, osip_message_t *message, char *host, int port,
                          int socket)
{
    struct sip_line *line = line_of(transaction);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    char *text = NULL;
    size_t length = 0;
    (void)socket;
    if (host == NULL || inet_pton(AF_INET, host, &to.sin_addr) != 1)
        to = line->peer;
    if (osip_message_to_str(message, &text, &length) != 0)
        return -1;
    send_text(line, text, &to);
    osip_free(text);
    return 0;
}

static void end_call(struct sip_line *line, int status, bool is_by_peer)
{
    if (line->state == STATE_OVER)
        return;
    line->state = STATE_OVER;
    line->repeat_until.ns = 0;
    line->handlers.ended(line->handlers.owner, status, is_by_peer);
}

/* ------------------------------------------------------------------ building */

static osip_message_t *parse_text(const char *text, size_t length)
{
    osip_message_t *message;
    if (osip_message_init(&message) != 0)
        return NULL;
    if (osip_message_parse(message, text, length) != 0) {
        osip_message_free(message);
        return NULL;
    }
    return message;
}

/* A request of ours as text. branch has TOKEN_BYTES. Returns false when it does not fit. */
static bool write_request(const struct sip_line *line, char *out, const char *method, unsigned cseq,
                          const char *branch, const char *headers, const char *body)
{
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &line->address.sin_addr, host, sizeof host);
    unsigned port = ntohs(line->address.sin_port);
    int length = snprintf(
        out, SIP_LINE_BYTES,
        "%s %s SIP/2.0\r\nVia: SIP/2.0/UDP %s:%u;rport;branch=z9hG4bK%s\r\nMax-Forwards: 70\r\n"
        "From: <%s>;tag=%s\r\nTo: <%s>%s%s\r\nCall-ID: %s\r\nCSeq: %u %s\r\nContact: <sip:phone@%s:%u>\r\n"
        "User-Agent: tonegate-phone\r\n%sContent-Length: %zu\r\n\r\n%s",
        method, line->target, host, port, branch, line->local_uri, line->local_tag, line->remote_uri,
        line->remote_tag[0] ? ";tag=" : "", line->remote_tag, line->call_id, cseq, method, host, port,
        headers, strlen(body), body);
    return length > 0 && length < SIP_LINE_BYTES;
}

static enum err start_request(struct sip_line *line, const char *method, unsigned cseq, const char *branch,
                              const char *headers, const char *body)
{
    char text[SIP_LINE_BYTES];
    if (!write_request(line, text, method, cseq, branch, headers, body))
        return ERR_LENGTH;
    osip_message_t *request = parse_text(text, strlen(text));
    if (request == NULL)
        return ERR_SYNTAX;
    bool is_invite = strcmp(method, "INVITE") == 0;
    osip_transaction_t *transaction;
    if (osip_transaction_init(&transaction, is_invite ? ICT : NICT, line->osip, request) != 0) {
        osip_message_free(request);
        return ERR_MEMORY;
    }
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &line->peer.sin_addr, host, sizeof host);
    int port = ntohs(line->peer.sin_port);
    if (is_invite)
        osip_ict_set_destination(transaction->ict_context, osip_strdup(host), port);
    else
        osip_nict_set_destination(transaction->nict_context, osip_strdup(host), port);
    osip_transaction_add_event(transaction, osip_new_outgoing_sipmessage(request));
    return OK;
}

static void clone_vias(osip_message_t *out, const osip_message_t *request)
{
    osip_via_t *via;
    for (int pos = 0; osip_message_get_via(request, pos, &via) == 0; pos++) {
        osip_via_t *copy;
        if (osip_via_clone(via, &copy) == 0)
            osip_list_add(&out->vias, copy, -1);
    }
}

/* The library's own macro takes the parameter's name as a writable string. */
static osip_generic_param_t *find_tag(osip_from_t *party)
{
    char name[] = "tag";
    osip_generic_param_t *tag = NULL;
    return osip_uri_param_get_byname(&party->gen_params, name, &tag) == 0 ? tag : NULL;
}

static osip_message_t *new_response(struct sip_line *line, const osip_message_t *request, int status,
                                    const char *sdp)
{
    osip_message_t *response;
    char text[INET_ADDRSTRLEN + 64];
    char host[INET_ADDRSTRLEN];
    const char *phrase = osip_message_get_reason(status);
    if (osip_message_init(&response) != 0)
        return NULL;
    osip_message_set_version(response, osip_strdup("SIP/2.0"));
    osip_message_set_status_code(response, status);
    osip_message_set_reason_phrase(response, osip_strdup(phrase == NULL ? "No" : phrase));
    clone_vias(response, request);
    osip_from_clone(request->from, &response->from);
    osip_to_clone(request->to, &response->to);
    osip_call_id_clone(request->call_id, &response->call_id);
    osip_cseq_clone(request->cseq, &response->cseq);
    if (status > 100 && find_tag(response->to) == NULL)
        osip_to_set_tag(response->to, osip_strdup(line->local_tag));
    inet_ntop(AF_INET, &line->address.sin_addr, host, sizeof host);
    snprintf(text, sizeof text, "<sip:phone@%s:%u>", host, ntohs(line->address.sin_port));
    osip_message_set_contact(response, text);
    if (sdp != NULL) {
        osip_message_set_content_type(response, "application/sdp");
        osip_message_set_body(response, sdp, strlen(sdp));
        snprintf(text, sizeof text, "%zu", strlen(sdp));
        osip_message_set_content_length(response, text);
    } else {
        osip_message_set_content_length(response, "0");
    }
    return response;
}

static void respond(struct sip_line *line, osip_transaction_t *transaction, int status, const char *sdp)
{
    osip_message_t *response = new_response(line, transaction->orig_request, status, sdp);
    if (response == NULL)
        return;
    osip_event_t *event = osip_new_outgoing_sipmessage(response);
    event->transactionid = transaction->transactionid;
    osip_transaction_add_event(transaction, event);
}

/* Keeps text going out at growing intervals until sip_line says stop (RFC 3261 §13.3.1.4). */
static void repeat_answer(struct sip_line *line, osip_transaction_t *transaction, const char *sdp)
{
    osip_message_t *response = new_response(line, transaction->orig_request, 200, sdp);
    char *text = NULL;
    size_t length = 0;
    if (response != NULL && osip_message_to_str(response, &text, &length) == 0 &&
        length < sizeof line->repeated) {
        memcpy(line->repeated, text, length + 1);
        line->repeat_ms = T1_MS;
        line->repeat_at = mono_add_ms(mono_now(), T1_MS);
        line->repeat_until = mono_add_ms(mono_now(), ANSWER_LAST_MS);
    }
    osip_free(text);
    osip_message_free(response);
}

/* ------------------------------------------------------------------ what comes in */

static void first_body(const osip_message_t *message, const char **text, size_t *length)
{
    osip_body_t *body = NULL;
    *text = NULL;
    *length = 0;
    if (osip_message_get_body(message, 0, &body) == 0 && body != NULL) {
        *text = body->body;
        *length = body->length;
    }
}

static void take_contact(struct sip_line *line, const osip_message_t *message)
{
    osip_contact_t *contact = NULL;
    char *text = NULL;
    if (osip_message_get_contact(message, 0, &contact) != 0 || contact == NULL || contact->url == NULL ||
        osip_uri_to_str(contact->url, &text) != 0)
        return;
    snprintf(line->target, sizeof line->target, "%s", text);
    osip_free(text);
    struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(5060)};
    if (inet_pton(AF_INET, contact->url->host, &peer.sin_addr) != 1)
        return;
    if (contact->url->port != NULL)
        peer.sin_port = htons((uint16_t)strtoul(contact->url->port, NULL, 10));
    line->peer = peer;
}

static void take_remote_tag(struct sip_line *line, osip_from_t *remote)
{
    osip_generic_param_t *tag = find_tag(remote);
    if (tag != NULL && tag->gvalue != NULL)
        snprintf(line->remote_tag, sizeof line->remote_tag, "%s", tag->gvalue);
}

static void take_uri(osip_from_t *party, char *out)
{
    char *text = NULL;
    out[0] = '\0';
    if (party == NULL || party->url == NULL || osip_uri_to_str(party->url, &text) != 0)
        return;
    snprintf(out, URI_BYTES, "%s", text);
    osip_free(text);
}

static bool is_ours(const struct sip_line *line, const osip_message_t *message)
{
    return message->call_id != NULL && message->call_id->number != NULL &&
           strncmp(line->call_id, message->call_id->number, strlen(message->call_id->number)) == 0 &&
           line->call_id[0] != '\0';
}

static void start_being_called(struct sip_line *line, osip_transaction_t *transaction,
                               const osip_message_t *request)
{
    const char *sdp;
    size_t length;
    char *call_id = NULL;
    if (osip_call_id_to_str(request->call_id, &call_id) != 0)
        return;
    snprintf(line->call_id, sizeof line->call_id, "%s", call_id);
    osip_free(call_id);
    take_uri(request->to, line->local_uri);
    take_uri(request->from, line->remote_uri);
    take_remote_tag(line, request->from);
    take_contact(line, request);
    line->state = STATE_OFFERED;
    line->offer = transaction;
    first_body(request, &sdp, &length);
    line->handlers.offered(line->handlers.owner, sdp, length);
}

static void invite_received_h(int type, osip_transaction_t *transaction, osip_message_t *request)
{
    struct sip_line *line = line_of(transaction);
    (void)type;
    respond(line, transaction, 100, NULL);
    if (line->state == STATE_IDLE && !line->is_caller) {
        start_being_called(line, transaction, request);
        return;
    }
    if (line->state != STATE_TALKING || !is_ours(line, request)) {
        line->counts.strangers++;
        respond(line, transaction, 486, NULL);
        return;
    }
    const char *sdp;
    size_t length;
    first_body(request, &sdp, &length);
    line->counts.reinvites++;
    take_contact(line, request);
    if (sdp != NULL)
        line->handlers.changed(line->handlers.owner, sdp, length);
    respond(line, transaction, 200, line->sdp);
    repeat_answer(line, transaction, line->sdp);
}

static void bye_received(struct sip_line *line, osip_transaction_t *transaction)
{
    respond(line, transaction, 200, NULL);
    end_call(line, 200, true);
}

static void cancel_received(struct sip_line *line, osip_transaction_t *transaction)
{
    respond(line, transaction, line->offer == NULL ? 481 : 200, NULL);
    if (line->offer == NULL)
        return;
    respond(line, line->offer, 487, NULL);
    line->offer = NULL;
    end_call(line, 487, true);
}

static void info_received(struct sip_line *line, osip_transaction_t *transaction,
                          const osip_message_t *request)
{
    const char *body;
    size_t length;
    char *type = NULL;
    if (request->content_type != NULL)
        osip_content_type_to_str(request->content_type, &type);
    first_body(request, &body, &length);
    line->counts.infos_received++;
    line->handlers.info(line->handlers.owner, type == NULL ? "" : type, body == NULL ? "" : body, length);
    osip_free(type);
    respond(line, transaction, 200, NULL);
}

static void request_received_h(int type, osip_transaction_t *transaction, osip_message_t *request)
{
    struct sip_line *line = line_of(transaction);
    (void)type;
    if (MSG_IS_OPTIONS(request)) {
        respond(line, transaction, 200, NULL);
    } else if (!is_ours(line, request)) {
        line->counts.strangers++;
        respond(line, transaction, 481, NULL);
    } else if (MSG_IS_BYE(request)) {
        bye_received(line, transaction);
    } else if (MSG_IS_CANCEL(request)) {
        cancel_received(line, transaction);
    } else if (MSG_IS_INFO(request)) {
        info_received(line, transaction, request);
    } else if (MSG_IS_UPDATE(request)) {
        respond(line, transaction, 200, NULL);
    } else {
        respond(line, transaction, 405, NULL);
    }
}

static void send_ack(struct sip_line *line)
{
    char branch[TOKEN_BYTES];
    random_token(branch);
    if (write_request(line, line->repeated, "ACK", line->invite_cseq, branch, "", ""))
        send_text(line, line->repeated, &line->peer);
}

static void invite_accepted_h(int type, osip_transaction_t *transaction, osip_message_t *response)
{
    struct sip_line *line = line_of(transaction);
    const char *sdp;
    size_t length;
    (void)type;
    take_remote_tag(line, response->to);
    take_contact(line, response);
    send_ack(line);
    if (line->state == STATE_LEAVING) { /* our CANCEL crossed it */
        line->state = STATE_TALKING;
        if (sip_line_hang_up(line) != OK)
            end_call(line, 487, false);
        return;
    }
    line->state = STATE_TALKING;
    first_body(response, &sdp, &length);
    line->handlers.established(line->handlers.owner, sdp, length);
}

static void invite_refused_h(int type, osip_transaction_t *transaction, osip_message_t *response)
{
    (void)type;
    end_call(line_of(transaction), osip_message_get_status_code(response), true);
}

static void invite_ringing_h(int type, osip_transaction_t *transaction, osip_message_t *response)
{
    struct sip_line *line = line_of(transaction);
    (void)type;
    if (osip_message_get_status_code(response) > 100)
        line->handlers.ringing(line->handlers.owner, osip_message_get_status_code(response));
}

static void request_answered_h(int type, osip_transaction_t *transaction, osip_message_t *response)
{
    struct sip_line *line = line_of(transaction);
    int status = osip_message_get_status_code(response);
    (void)type;
    if (MSG_IS_BYE(transaction->orig_request))
        end_call(line, status, false);
    else if (MSG_IS_INFO(transaction->orig_request) && status < 300)
        line->counts.infos_answered++;
    else if (MSG_IS_INFO(transaction->orig_request))
        line->counts.infos_refused++;
}

static void timed_out_h(int type, osip_transaction_t *transaction, osip_message_t *message)
{
    struct sip_line *line = line_of(transaction);
    (void)type;
    (void)message;
    if (MSG_IS_INFO(transaction->orig_request))
        line->counts.infos_refused++;
    else
        end_call(line, 408, false);
}

static void killed_h(int type, osip_transaction_t *transaction)
{
    struct sip_line *line = line_of(transaction);
    (void)type;
    if (line->offer == transaction)
        line->offer = NULL;
    osip_remove_transaction(line->osip, transaction);
    if (line->rubbish_count < RUBBISH_MAX)
        line->rubbish[line->rubbish_count++] = transaction;
}

static void transport_error_h(int type, osip_transaction_t *transaction, int error)
{
    (void)type;
    (void)transaction;
    (void)error;
}

/* ------------------------------------------------------------------ life */

static void set_handlers(osip_t *osip)
{
    osip_set_cb_send_message(osip, send_message_h);
    for (int type = OSIP_ICT_STATUS_3XX_RECEIVED; type <= OSIP_ICT_STATUS_6XX_RECEIVED; type++)
        osip_set_message_callback(osip, type, invite_refused_h);
    for (int type = OSIP_NIST_REGISTER_RECEIVED; type <= OSIP_NIST_UNKNOWN_REQUEST_RECEIVED; type++)
        osip_set_message_callback(osip, type, request_received_h);
    for (int type = OSIP_NICT_STATUS_2XX_RECEIVED; type <= OSIP_NICT_STATUS_6XX_RECEIVED; type++)
        if (type != OSIP_NICT_STATUS_2XX_RECEIVED_AGAIN)
            osip_set_message_callback(osip, type, request_answered_h);
    osip_set_message_callback(osip, OSIP_ICT_STATUS_1XX_RECEIVED, invite_ringing_h);
    osip_set_message_callback(osip, OSIP_ICT_STATUS_2XX_RECEIVED, invite_accepted_h);
    osip_set_message_callback(osip, OSIP_IST_INVITE_RECEIVED, invite_received_h);
    osip_set_message_callback(osip, OSIP_ICT_STATUS_TIMEOUT, timed_out_h);
    osip_set_message_callback(osip, OSIP_NICT_STATUS_TIMEOUT, timed_out_h);
    for (int type = 0; type < OSIP_KILL_CALLBACK_COUNT; type++)
        osip_set_kill_transaction_callback(osip, type, killed_h);
    for (int type = 0; type < OSIP_TRANSPORT_ERROR_CALLBACK_COUNT; type++)
        osip_set_transport_error_callback(osip, type, transport_error_h);
}

enum err sip_line_new(struct sip_line **out, const struct sockaddr_in *address,
                      const struct sip_line_handlers *handlers)
{
    struct sip_line *line = calloc(1, sizeof *line);
    *out = NULL;
    if (line == NULL)
        return ERR_MEMORY;
    line->handlers = *handlers;
    line->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    socklen_t length = sizeof line->address;
    if (line->fd < 0 || bind(line->fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        getsockname(line->fd, (struct sockaddr *)&line->address, &length) != 0 ||
        osip_init(&line->osip) != 0) {
        sip_line_free(line);
        return ERR_SYSTEM;
    }
    osip_set_application_context(line->osip, line);
    set_handlers(line->osip);
    random_token(line->local_tag);
    *out = line;
    return OK;
}

static void free_transactions(osip_list_t *list)
{
    while (osip_list_size(list) > 0) {
        osip_transaction_t *transaction = osip_list_get(list, 0);
        osip_list_remove(list, 0);
        osip_transaction_free2(transaction);
    }
}

static void sweep(struct sip_line *line)
{
    while (line->rubbish_count > 0)
        osip_transaction_free2(line->rubbish[--line->rubbish_count]);
}

void sip_line_free(struct sip_line *line)
{
    if (line == NULL)
        return;
    sweep(line);
    if (line->osip != NULL) {
        free_transactions(&line->osip->osip_ict_transactions);
        free_transactions(&line->osip->osip_ist_transactions);
        free_transactions(&line->osip->osip_nict_transactions);
        free_transactions(&line->osip->osip_nist_transactions);
        osip_release(line->osip);
    }
    if (line->fd >= 0)
        close(line->fd);
    free(line);
}

int sip_line_fd(const struct sip_line *line)
{
    return line->fd;
}

struct sockaddr_in sip_line_address(const struct sip_line *line)
{
    return line->address;
}

const struct sip_line_counts *sip_line_counts(const struct sip_line *line)
{
    return &line->counts;
}

unsigned sip_line_wait_ms(const struct sip_line *line)
{
    struct timeval wait = {0, WAIT_MS_MAX * 1000};
    osip_timers_gettimeout(line->osip, &wait);
    long ms = wait.tv_sec * 1000 + wait.tv_usec / 1000;
    return ms > WAIT_MS_MAX ? WAIT_MS_MAX : (unsigned)(ms < 0 ? 0 : ms);
}

/* ACK for a 2xx has no transaction; neither has a repeated 2xx. */
static void take_loose(struct sip_line *line, osip_event_t *event)
{
    bool is_known = is_ours(line, event->sip);
    if (EVT_IS_RCV_ACK(event) && is_known) {
        line->repeat_until.ns = 0;
        if (line->state == STATE_ANSWERED) {
            line->state = STATE_TALKING;
            line->handlers.established(line->handlers.owner, NULL, 0);
        }
    } else if (EVT_IS_RCV_STATUS_2XX(event) && is_known && MSG_IS_RESPONSE_FOR(event->sip, "INVITE")) {
        send_text(line, line->repeated, &line->peer);
    } else {
        line->counts.strangers++;
    }
    osip_event_free(event);
}

static void take_datagram(struct sip_line *line, const char *text, size_t length,
                          const struct sockaddr_in *from)
{
    osip_event_t *event = osip_parse(text, length);
    if (event == NULL || event->sip == NULL) {
        line->counts.unparsable++;
        if (event != NULL)
            osip_event_free(event);
        return;
    }
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &from->sin_addr, host, sizeof host);
    if (MSG_IS_REQUEST(event->sip))
        osip_message_fix_last_via_header(event->sip, host, ntohs(from->sin_port));
    if (osip_find_transaction_and_add_event(line->osip, event) == 0)
        return;
    osip_transaction_t *transaction = EVT_IS_RCV_INVITE(event) || EVT_IS_RCV_REQUEST(event)
                                          ? osip_create_transaction(line->osip, event)
                                          : NULL;
    if (transaction == NULL) {
        take_loose(line, event);
        return;
    }
    event->transactionid = transaction->transactionid;
    osip_transaction_add_event(transaction, event);
}

static void run_machines(struct sip_line *line)
{
    for (int round = 0; round < 2; round++) {
        osip_ict_execute(line->osip);
        osip_ist_execute(line->osip);
        osip_nict_execute(line->osip);
        osip_nist_execute(line->osip);
    }
    sweep(line);
}

static void repeat_if_due(struct sip_line *line)
{
    if (line->repeat_until.ns == 0 || !mono_reached(mono_now(), line->repeat_at))
        return;
    if (mono_reached(mono_now(), line->repeat_until)) {
        line->repeat_until.ns = 0;
        return;
    }
    send_text(line, line->repeated, &line->peer);
    line->repeat_ms = line->repeat_ms * 2 > T2_MS ? T2_MS : line->repeat_ms * 2;
    line->repeat_at = mono_add_ms(mono_now(), line->repeat_ms);
}

void sip_line_run(struct sip_line *line)
{
    for (int i = 0; i < DATAGRAMS_A_RUN; i++) {
        static char text[65536];
        struct sockaddr_in from;
        socklen_t from_length = sizeof from;
        ssize_t length = recvfrom(line->fd, text, sizeof text - 1, 0, (struct sockaddr *)&from, &from_length);
        if (length < 0)
            break;
        text[length] = '\0'; /* the library's parser reads a byte past the end */
        take_datagram(line, text, (size_t)length, &from);
        run_machines(line);
    }
    osip_timers_ict_execute(line->osip);
    osip_timers_ist_execute(line->osip);
    osip_timers_nict_execute(line->osip);
    osip_timers_nist_execute(line->osip);
    run_machines(line);
    repeat_if_due(line);
}

/* ------------------------------------------------------------------ what the phone does */

enum err sip_line_call(struct sip_line *line, const struct sockaddr_in *peer, const char *from_user,
                       const char *to_user, const char *headers, const char *sdp)
{
    if (line->state != STATE_IDLE)
        return ERR_ORDER;
    char host[INET_ADDRSTRLEN];
    char own[INET_ADDRSTRLEN];
    char all[1024];
    inet_ntop(AF_INET, &peer->sin_addr, host, sizeof host);
    inet_ntop(AF_INET, &line->address.sin_addr, own, sizeof own);
    line->peer = *peer;
    line->is_caller = true;
    line->cseq = line->invite_cseq = 1;
    random_token(line->call_id);
    random_token(line->invite_branch);
    snprintf(line->local_uri, sizeof line->local_uri, "sip:%s@%s", from_user, own);
    snprintf(line->remote_uri, sizeof line->remote_uri, "sip:%s@%s:%u", to_user, host, ntohs(peer->sin_port));
    memcpy(line->target, line->remote_uri, sizeof line->target);
    snprintf(line->sdp, sizeof line->sdp, "%s", sdp);
    if ((size_t)snprintf(all, sizeof all, "%sContent-Type: application/sdp\r\n", headers) >= sizeof all)
        return ERR_LENGTH;
    enum err err = start_request(line, "INVITE", 1, line->invite_branch, all, sdp);
    if (err == OK)
        line->state = STATE_CALLING;
    run_machines(line);
    return err;
}

enum err sip_line_ring(struct sip_line *line)
{
    if (line->state != STATE_OFFERED || line->offer == NULL)
        return ERR_ORDER;
    respond(line, line->offer, 180, NULL);
    return OK;
}

enum err sip_line_answer(struct sip_line *line, const char *sdp)
{
    if (line->state != STATE_OFFERED || line->offer == NULL)
        return ERR_ORDER;
    snprintf(line->sdp, sizeof line->sdp, "%s", sdp);
    respond(line, line->offer, 200, sdp);
    repeat_answer(line, line->offer, sdp);
    line->state = STATE_ANSWERED;
    line->offer = NULL;
    return OK;
}

enum err sip_line_reject(struct sip_line *line, int status)
{
    if (line->state != STATE_OFFERED || line->offer == NULL)
        return ERR_ORDER;
    respond(line, line->offer, status, NULL);
    line->offer = NULL;
    end_call(line, status, false);
    return OK;
}

enum err sip_line_info(struct sip_line *line, const char *content_type, const char *body)
{
    char branch[TOKEN_BYTES];
    char header[128];
    if (line->state != STATE_TALKING)
        return ERR_ORDER;
    random_token(branch);
    snprintf(header, sizeof header, "Content-Type: %s\r\n", content_type);
    return start_request(line, "INFO", ++line->cseq, branch, header, body);
}

enum err sip_line_hang_up(struct sip_line *line)
{
    char branch[TOKEN_BYTES];
    enum err err = ERR_ORDER;
    if (line->state == STATE_CALLING) /* the branch of what it cancels (RFC 3261 §9.1) */
        err = start_request(line, "CANCEL", line->invite_cseq, line->invite_branch, "", "");
    if (line->state == STATE_TALKING || line->state == STATE_ANSWERED) {
        random_token(branch);
        err = start_request(line, "BYE", ++line->cseq, branch, "", "");
    }
    if (err == OK)
        line->state = STATE_LEAVING;
    return err;
}
