/* A desk with a vault and a proxy that are played by this program, steered by lines on standard input: for the page
 * test and for looking at the page. Prints "ready <port> <token>", then "ok" after each line.
 *
 *   call N REFERENCE CALLEE | ring N REFERENCE CALLEE | end N
 *   type FIELD COUNT MAX    keys arrive one by one          brand NAME
 *   valid FIELD | wrong FIELD PROBLEM | problem NAME        ready
 *   outcome approved|declined|retry|failed|unknown [REASON] what the next submit leads to; "hold" stops before its end
 *   vault down|up           media down|up                   wait MS
 *   breaker open|closed     what the gateway says of its gateway
 *   hooks taken|refused     what the other end of hooks says
 *   orders done|declined|failed|hold   what the gateway says of every order from now on; "hold": nothing yet
 *   desk kill MS            SIGKILL, and a new one after so long; its calls have to be said again
 */
#include "capture/desk/desk_view.h"
#include "capture/tests/desk_harness.h"
#include "gateway/hook_msg.h"
#include "gateway/order_msg.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CALL_BASE 0x7a0000000000c000ULL

struct fixture {
    struct harness harness;
    struct capture_open_msg open;
    struct capture_progress_msg progress;
    uint32_t store_number;
    char outcome[16];
    char orders[16];
    char hooks[16];
    uint8_t reason;
};

static const char *const field_names[] = {"number", "expiry", "cvv"};

static unsigned field_of(const char *name)
{
    for (unsigned i = 0; i < CARD_FIELDS; i++) {
        if (strcmp(field_names[i], name) == 0)
            return i;
    }
    return CARD_NUMBER;
}

/* Position of name in what a naming function gives. */
static uint8_t value_of(const char *(*name_of)(unsigned), unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(name_of(i), name) == 0)
            return (uint8_t)i;
    }
    return 0;
}

static void show(struct fixture *fixture, enum capture_state state, unsigned wait_ms)
{
    fixture->progress.state = (uint8_t)state;
    if (fixture->harness.vault_fd >= 0 && fixture->progress.header.subject)
        harness_send(fixture->harness.vault_fd, &fixture->progress);
    usleep(wait_ms * 1000);
}

static void store(struct fixture *fixture, enum capture_store_kind kind, enum capture_state end)
{
    struct capture_stored_msg stored;
    struct capture_store_msg message = harness_store(&fixture->open, kind, ++fixture->store_number);
    message.attempt = fixture->progress.attempt;
    message.state = (uint8_t)end;
    message.problem = fixture->progress.problem;
    message.gateway_reason = fixture->progress.gateway_reason;
    message.brand = fixture->progress.brand;
    if (kind != STORE_INTENT)
        snprintf(message.order_ref, sizeof(message.order_ref), "pi_3QxTonegateDemo");
    if (end == CAPTURE_APPROVED)
        snprintf(message.token, sizeof(message.token), "pm_1QxTonegateDemoToken");
    harness_send(fixture->harness.vault_fd, &message);
    (void)!harness_receive(fixture->harness.vault_fd, CAPTURE_STORED, &stored, sizeof(stored));
}

static void end_as(struct fixture *fixture, enum capture_state end)
{
    show(fixture, CAPTURE_STORING_RESULT, 50);
    store(fixture, STORE_RESULT, end);
    fixture->progress.is_masked = 0;
    fixture->progress.selected_field = CARD_FIELD_NONE;
    show(fixture, end, 0);
}

static void clear_fields(struct fixture *fixture)
{
    memset(fixture->progress.fields, 0, sizeof(fixture->progress.fields));
    fixture->progress.brand = BRAND_UNKNOWN;
    fixture->progress.selected_field = CARD_NUMBER;
}

static void pay(struct fixture *fixture)
{
    fixture->progress.problem = PROBLEM_NONE;
    fixture->progress.selected_field = CARD_FIELD_NONE;
    show(fixture, CAPTURE_STORING_INTENT, 50);
    store(fixture, STORE_INTENT, CAPTURE_ARMING);
    show(fixture, CAPTURE_TOKENISING, 150);
    show(fixture, CAPTURE_CREATING, 100);
    store(fixture, STORE_ORDER, CAPTURE_ARMING);
    show(fixture, CAPTURE_CONFIRMING, 150);
    if (strcmp(fixture->outcome, "hold") == 0)
        return;
    show(fixture, CAPTURE_VERIFYING, 100);
    fixture->progress.gateway_reason = fixture->reason;
    if (strcmp(fixture->outcome, "approved") == 0) {
        end_as(fixture, CAPTURE_APPROVED);
        return;
    }
    if (strcmp(fixture->outcome, "unknown") == 0) {
        fixture->progress.problem = PROBLEM_GATEWAY;
        show(fixture, CAPTURE_UNKNOWN, 0);
        return;
    }
    bool is_declined = strcmp(fixture->outcome, "failed") != 0;
    fixture->progress.problem = is_declined ? PROBLEM_DECLINED : PROBLEM_GATEWAY;
    if (strcmp(fixture->outcome, "retry") == 0) {
        fixture->progress.attempt++;
        clear_fields(fixture);
        show(fixture, CAPTURE_COLLECTING, 0);
        return;
    }
    end_as(fixture, is_declined ? CAPTURE_DECLINED : CAPTURE_FAILED);
}

static void opened(struct fixture *fixture, const struct capture_open_msg *open)
{
    fixture->open = *open;
    fixture->store_number = 0;
    fixture->progress = harness_progress(open, CAPTURE_ARMING);
    fixture->progress.is_masked = 0;
    show(fixture, CAPTURE_ARMING, 120);
    fixture->progress.is_masked = 1;
    fixture->progress.selected_field = CARD_NUMBER;
    show(fixture, CAPTURE_COLLECTING, 0);
}

static void field_asked(struct fixture *fixture, const struct capture_field_msg *field)
{
    fixture->progress.selected_field = field->field;
    fixture->progress.problem = PROBLEM_NONE;
    if (field->is_reset)
        memset(&fixture->progress.fields[field->field], 0, sizeof(struct capture_field_view));
    show(fixture, CAPTURE_COLLECTING, 0);
}

static bool from_desk(struct fixture *fixture)
{
    _Alignas(16) uint8_t bytes[LIMIT_MESSAGE_BYTES];
    const struct msg_header *header = (const struct msg_header *)bytes;
    ssize_t got = read(fixture->harness.vault_fd, bytes, sizeof(bytes));
    if (got < (ssize_t)sizeof(*header))
        return false;
    if (header->type == CAPTURE_OPEN)
        opened(fixture, (const struct capture_open_msg *)bytes);
    if (header->type == CAPTURE_FIELD)
        field_asked(fixture, (const struct capture_field_msg *)bytes);
    if (header->type == CAPTURE_SUBMIT)
        pay(fixture);
    if (header->type == CAPTURE_CANCEL)
        end_as(fixture, CAPTURE_CANCELLED);
    return true;
}

static void hook_result(struct fixture *fixture, uint64_t id)
{
    bool is_taken = strcmp(fixture->hooks, "taken") == 0;
    struct hook_result_msg result = {.outcome = is_taken ? HOOK_DELIVERED : HOOK_REFUSED,
                                     .status = is_taken ? 204 : 422};
    MSG_INIT(&result, HOOK_RESULT, id);
    harness_send(fixture->harness.gateway_fd, &result);
}

/* The gateway, as far as orders after the card and hooks go. */
static void from_desk_for_gateway(struct fixture *fixture)
{
    static const char *const refs[ORDER_KINDS] = {"pi_3QxTonegateDemo", "pi_3QxTonegateDemo", "re_3QxDemo",
                                                  "sub_1QxDemo", "plink_1QxDemo"};
    _Alignas(16) uint8_t bytes[LIMIT_MESSAGE_BYTES] = {0};
    struct order_take_msg take;
    if (recv(fixture->harness.gateway_fd, bytes, sizeof(bytes), MSG_DONTWAIT) <= 0)
        return;
    if (((const struct msg_header *)bytes)->type == HOOK_SEND) {
        hook_result(fixture, ((const struct msg_header *)bytes)->subject);
        return;
    }
    memcpy(&take, bytes, sizeof(take));
    if (take.header.type != ORDER_TAKE || strcmp(fixture->orders, "hold") == 0)
        return;
    bool is_done = strcmp(fixture->orders, "done") == 0;
    bool is_declined = strcmp(fixture->orders, "declined") == 0;
    struct order_reply_msg reply = {.kind = take.kind,
                                    .outcome = is_done       ? GATEWAY_DONE
                                               : is_declined ? GATEWAY_DECLINED
                                                             : GATEWAY_FAILED,
                                    .reason = is_done       ? REASON_NONE
                                              : is_declined ? REASON_DECLINED
                                                            : REASON_CONFIGURATION};
    MSG_INIT(&reply, ORDER_REPLY, take.header.subject);
    if (is_done)
        snprintf(reply.order_ref, sizeof(reply.order_ref), "%s", refs[take.kind]);
    if (is_done && take.kind == ORDER_KIND_LINK)
        snprintf(reply.url, sizeof(reply.url), "https://buy.example/pay/4Gd82kQ");
    harness_send(fixture->harness.gateway_fd, &reply);
}

static void type_keys(struct fixture *fixture, unsigned field, unsigned count, unsigned max)
{
    struct capture_field_view *view = &fixture->progress.fields[field];
    fixture->progress.selected_field = (uint8_t)field;
    view->key_max = (uint8_t)max;
    while (view->key_count < count) {
        view->key_count++;
        show(fixture, CAPTURE_COLLECTING, 15);
    }
}

static void judge(struct fixture *fixture, unsigned field, bool is_valid, const char *problem)
{
    fixture->progress.fields[field].is_complete = 1;
    fixture->progress.fields[field].is_valid = is_valid;
    fixture->progress.problem = is_valid ? PROBLEM_NONE : value_of(desk_problem_name, PROBLEM_COUNT, problem);
    if (is_valid && field + 1 < CARD_FIELDS)
        fixture->progress.selected_field = (uint8_t)(field + 1);
    show(fixture, CAPTURE_COLLECTING, 0);
}

static void link_order(struct fixture *fixture, enum role peer, bool is_up)
{
    if (!is_up) {
        harness_link_cut(&fixture->harness, peer);
        return;
    }
    harness_link_new(&fixture->harness, peer);
    if (peer != ROLE_VAULT || !fixture->progress.header.subject || !fixture->progress.is_masked)
        return;
    clear_fields(fixture);
    fixture->progress.selected_field = CARD_FIELD_NONE;
    fixture->progress.problem = PROBLEM_VAULT_RESTARTED;
    show(fixture, CAPTURE_LOST, 0);
}

/* As the supervisor does it; the vault tells the new desk of the capture there is. */
static void kill_desk(struct fixture *fixture, unsigned away_ms)
{
    harness_kill(&fixture->harness);
    usleep(away_ms * 1000);
    harness_start(&fixture->harness);
    show(fixture, fixture->progress.state, 0);
}

static void obey(struct fixture *fixture, char *line)
{
    char word[4][LIMIT_CALL_REFERENCE_BYTES] = {""};
    sscanf(line, "%63s %63s %63s %63s", word[0], word[1], word[2], word[3]);
    unsigned number = (unsigned)atoi(word[1]);
    struct harness *harness = &fixture->harness;
    if (strcmp(word[0], "call") == 0)
        harness_say_call(harness, CALL_BASE + number, PROXY_CALL_ANSWERED, word[2], word[3]);
    else if (strcmp(word[0], "ring") == 0)
        harness_say_call(harness, CALL_BASE + number, PROXY_CALL_RINGING, word[2], word[3]);
    else if (strcmp(word[0], "end") == 0)
        harness_say_call(harness, CALL_BASE + number, PROXY_CALL_ENDED, word[2], word[3]);
    else if (strcmp(word[0], "type") == 0)
        type_keys(fixture, field_of(word[1]), (unsigned)atoi(word[2]), (unsigned)atoi(word[3]));
    else if (strcmp(word[0], "brand") == 0)
        fixture->progress.brand = value_of(desk_brand_name, BRAND_COUNT, word[1]);
    else if (strcmp(word[0], "valid") == 0)
        judge(fixture, field_of(word[1]), true, "");
    else if (strcmp(word[0], "wrong") == 0)
        judge(fixture, field_of(word[1]), false, word[2]);
    else if (strcmp(word[0], "ready") == 0)
        show(fixture, CAPTURE_READY, 0);
    else if (strcmp(word[0], "wait") == 0)
        usleep(number * 1000);
    else if (strcmp(word[0], "desk") == 0)
        kill_desk(fixture, (unsigned)atoi(word[2]));
    else if (strcmp(word[0], "vault") == 0 || strcmp(word[0], "media") == 0)
        link_order(fixture, word[0][0] == 'v' ? ROLE_VAULT : ROLE_PROXY, strcmp(word[1], "up") == 0);
    if (strcmp(word[0], "muted") == 0) {
        fixture->progress.is_muted = strcmp(word[1], "on") == 0;
        show(fixture, fixture->progress.state, 0);
    }
    if (strcmp(word[0], "breaker") == 0) {
        struct gateway_health_msg health = {.breaker_state = strcmp(word[1], "open") == 0,
                                            .connector = "stripe"};
        MSG_INIT(&health, GATEWAY_HEALTH, 0);
        harness_send(harness->gateway_fd, &health);
    }
    if (strcmp(word[0], "hooks") == 0)
        snprintf(fixture->hooks, sizeof(fixture->hooks), "%.15s", word[1]);
    if (strcmp(word[0], "orders") == 0)
        snprintf(fixture->orders, sizeof(fixture->orders), "%.15s", word[1]);
    if (strcmp(word[0], "problem") == 0) {
        fixture->progress.problem = value_of(desk_problem_name, PROBLEM_COUNT, word[1]);
        show(fixture, CAPTURE_COLLECTING, 0);
    }
    if (strcmp(word[0], "outcome") == 0) {
        snprintf(fixture->outcome, sizeof(fixture->outcome), "%.15s", word[1]);
        fixture->reason = value_of(desk_reason_name, REASON_COUNT, word[2]);
    }
}

/* The desk's heartbeat is nobody's here, and must not fill its socket. */
static void drain_beats(struct fixture *fixture)
{
    char beat[64];
    while (recv(fixture->harness.control_fd, beat, sizeof(beat), MSG_DONTWAIT) > 0)
        ;
}

static void live(struct fixture *fixture)
{
    char line[256];
    for (;;) {
        struct pollfd waits[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                                  {.fd = fixture->harness.vault_fd, .events = POLLIN},
                                  {.fd = fixture->harness.gateway_fd, .events = POLLIN}};
        drain_beats(fixture);
        if (poll(waits, 3, 100) < 0)
            return;
        if ((waits[1].revents & POLLIN) && !from_desk(fixture))
            return;
        if (waits[2].revents & POLLIN)
            from_desk_for_gateway(fixture);
        if (!(waits[0].revents & (POLLIN | POLLHUP)))
            continue;
        if (!fgets(line, sizeof(line), stdin))
            return;
        obey(fixture, line);
        puts("ok");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    static struct fixture fixture = {.outcome = "approved", .orders = "done", .hooks = "taken"};
    setvbuf(stdin, NULL, _IONBF, 0); /* poll() and fgets() must agree on what was read */
    harness_new(&fixture.harness, argc > 1 ? (uint16_t)atoi(argv[1]) : 0);
    struct config_hook_target *target = &fixture.harness.config.hook_targets[0];
    fixture.harness.config.hook_target_count = 1;
    snprintf(target->name, sizeof(target->name), "billing");
    target->events = CONFIG_HOOK_PAYMENT | CONFIG_HOOK_REFUND;
    harness_start(&fixture.harness);
    printf("ready %u %s\n", fixture.harness.port, HARNESS_TOKEN);
    fflush(stdout);
    live(&fixture);
    int code = harness_stop(&fixture.harness);
    harness_free(&fixture.harness);
    return code;
}
