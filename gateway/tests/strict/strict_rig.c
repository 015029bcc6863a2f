#include "gateway/tests/strict/strict_rig.h"

#include "base/clock.h"
#include "gateway/http.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

char strict_token[LIMIT_TOKEN_BYTES];
char strict_order_ref[LIMIT_TOKEN_BYTES];
static size_t forgotten; /* refusals that were planted */

bool strict_is_possible(void)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        execlp("python3", "python3", "-c", "import sys, ssl; sys.exit(sys.version_info < (3, 10))", NULL);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    if (status != 0)
        printf("skipped: the strict servers need python3 3.10 or newer\n");
    return status == 0;
}

static void set_key(struct step_settings *settings, const char *key)
{
    size_t capacity;
    memcpy(secret_buffer(settings->key, &capacity), key, strlen(key));
    secret_set_length(settings->key, strlen(key));
}

void strict_start(struct strict *strict, const char *vendor)
{
    int ends[2];
    char line[128] = "";
    forgotten = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    strict->pid = fork();
    if (strict->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execlp("python3", "python3", STRICT_SERVER, vendor, rig_path("right/server.pem"),
               rig_path("right/server.key"), NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *out = fdopen(ends[0], "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof(line), out));
    assert_int_equal(sscanf(line, "listening on %63s", strict->url), 1);
    fclose(out);
    struct step_settings settings = rig_settings(strict->url);
    settings.connector = strict->connector;
    settings.account = strict->account;
    set_key(&settings, strict->key);
    rig_open(&strict->rig, &settings);
}

void strict_stop(struct strict *strict)
{
    json_t *books = strict_books(strict);
    const json_t *refused = json_object_get(books, "refused");
    for (size_t i = forgotten; i < json_array_size(refused); i++)
        print_error("refused: %s\n", json_string_value(json_array_get(refused, i)));
    assert_int_equal(json_array_size(refused), forgotten);
    json_decref(books);
    rig_close(&strict->rig);
    kill(strict->pid, SIGTERM);
    waitpid(strict->pid, NULL, 0);
}

/* --- one exchange --- */

struct exchange {
    struct event_base *base;
    enum http_result result;
    unsigned status;
    char *headers;
    uint8_t *body;
    size_t body_length;
};

static void exchanged(void *owner, const struct http_answer *answer)
{
    struct exchange *exchange = owner;
    exchange->result = answer->result;
    exchange->status = answer->status;
    exchange->headers = strdup(answer->headers ? answer->headers : "");
    exchange->body = malloc(answer->body_length + 1);
    if (answer->body_length > 0)
        memcpy(exchange->body, answer->body, answer->body_length);
    exchange->body_length = answer->body_length;
    event_base_loopbreak(exchange->base);
}

static void exchange(struct strict *strict, const char *method, const char *path, const char *headers,
                     struct secret *body, struct exchange *exchange)
{
    struct http_client *client;
    char url[HTTP_URL_BYTES];
    memset(exchange, 0, sizeof(*exchange));
    exchange->base = strict->rig.base;
    snprintf(url, sizeof(url), "%s%s", strict->url, path);
    assert_int_equal(http_client_new(&client, strict->rig.base, rig_path("right/ca.pem")), OK);
    struct http_request request = {.method = method,
                                   .url = url,
                                   .headers = headers,
                                   .body = body,
                                   .connect_timeout_ms = 10000,
                                   .timeout_ms = 10000};
    assert_int_equal(http_start(NULL, client, &request, exchanged, exchange), OK);
    event_base_dispatch(strict->rig.base);
    http_client_free(client);
}

static void exchange_free(struct exchange *exchange)
{
    free(exchange->headers);
    free(exchange->body);
}

static void control(struct strict *strict, const char *method, const char *what, struct exchange *answer)
{
    char path[160];
    snprintf(path, sizeof(path), "/_strict/%s", what);
    exchange(strict, method, path, "Accept: application/json\n", NULL, answer);
    assert_int_equal(answer->status, 200);
}

json_t *strict_books(struct strict *strict)
{
    struct exchange answer;
    json_error_t error;
    control(strict, "GET", "books", &answer);
    json_t *books = json_loadb((const char *)answer.body, answer.body_length, 0, &error);
    assert_non_null(books);
    exchange_free(&answer);
    return books;
}

void strict_tell(struct strict *strict, const char *what)
{
    struct exchange answer;
    control(strict, "POST", what, &answer);
    exchange_free(&answer);
}

/* --- one step --- */

static enum err build(struct strict *strict, const struct connector_step *step,
                      struct connector_request *request, struct connector_verdict *verdict)
{
    memset(request, 0, sizeof(*request));
    assert_int_equal(secret_new(&request->body, CONNECTOR_BODY_BYTES - 64), OK);
    return strict->connector->build(&strict->account, step, request, verdict);
}

static void authorise(struct strict *strict, struct connector_request *request)
{
    /* Where a login buys an access token, the servers sell but this one. */
    const char *key = strict->connector->build_login ? "strict-access" : strict->key;
    snprintf(request->host, sizeof(request->host), "%s", strict->url + strlen("https://"));
    request->now_s = wall_now().ns / NS_PER_S;
    assert_int_equal(
        strict->connector->authorise(&strict->account, (const uint8_t *)key, strlen(key), request), OK);
}

/* True: another round follows. */
static bool do_round(struct strict *strict, struct connector_step *step, struct connector_verdict *verdict)
{
    struct connector_request request;
    struct exchange heard;
    enum err err = build(strict, step, &request, verdict);
    if (err) {
        assert_int_equal(err, ERR_EMPTY);
        secret_free(request.body);
        return false;
    }
    authorise(strict, &request);
    exchange(strict, request.method, request.path, request.headers, request.body, &heard);
    secret_free(request.body);
    step->card = NULL;
    if (heard.result == HTTP_ANSWERED) {
        struct connector_answer answer = {heard.status, heard.body, heard.body_length, heard.headers};
        strict->connector->read(&strict->account, step, &answer, verdict);
    } else {
        connector_verdict_set(verdict, GATEWAY_NO_ANSWER, ORDER_NONE, REASON_UNAVAILABLE);
    }
    exchange_free(&heard);
    bool goes_on = verdict->again == CONNECTOR_NEXT;
    snprintf(step->carry, sizeof(step->carry), "%s", verdict->carry[0] ? verdict->carry : verdict->token);
    step->round++;
    return goes_on;
}

static void order_replied(void *owner, const struct order_reply_msg *reply, const struct step_report *report)
{
    struct strict *strict = owner;
    (void)report;
    connector_verdict_set(&strict->replied, reply->outcome, ORDER_NONE, reply->reason);
    memcpy(strict->replied.order_ref, reply->order_ref, sizeof(reply->order_ref));
    memcpy(strict->replied.url, reply->url, sizeof(reply->url));
    strict->reply_count++;
    event_base_loopbreak(strict->rig.base);
}

void strict_do(struct strict *strict, const struct connector_step *step, struct connector_verdict *verdict)
{
    static const uint8_t kinds[CONNECTOR_OPERATIONS] = {
        [CONNECTOR_CAPTURE] = ORDER_KIND_CAPTURE, [CONNECTOR_VOID] = ORDER_KIND_VOID,
        [CONNECTOR_REFUND] = ORDER_KIND_REFUND,   [CONNECTOR_SUBSCRIBE] = ORDER_KIND_SUBSCRIBE,
        [CONNECTOR_LINK] = ORDER_KIND_LINK,
    };
    struct order_take_msg order;
    unsigned before = strict->reply_count;
    memset(&order, 0, sizeof(order));
    MSG_INIT(&order, ORDER_TAKE, step->capture_id);
    order.call_id = step->call_id;
    order.amount_minor = step->amount_minor;
    memcpy(order.currency, step->currency, sizeof(order.currency));
    order.kind = kinds[step->operation];
    order.interval_unit = step->interval_unit;
    order.interval_count = step->interval_count;
    memcpy(order.token, step->token, sizeof(order.token));
    memcpy(order.order_ref, step->order_ref, sizeof(order.order_ref));
    memcpy(order.customer, step->customer, sizeof(order.customer));
    memcpy(order.plan, step->plan, sizeof(order.plan));
    memcpy(order.reference, step->reference, sizeof(order.reference));
    assert_int_equal(steps_order(strict->rig.link.steps, &order, order_replied, strict), OK);
    if (strict->reply_count == before)
        event_base_dispatch(strict->rig.base);
    assert_int_equal(strict->reply_count, before + 1);
    *verdict = strict->replied;
}

void strict_lose(struct strict *strict, const struct connector_step *step, unsigned round)
{
    struct connector_step going = *step;
    struct connector_verdict verdict;
    for (unsigned i = 0; i < round; i++)
        assert_true(do_round(strict, &going, &verdict));
    strict_tell(strict, "lose");
    assert_false(do_round(strict, &going, &verdict));
    assert_int_equal(verdict.outcome, GATEWAY_NO_ANSWER);
}

struct connector_step strict_order(enum connector_operation operation, uint64_t id)
{
    struct connector_step step = {
        .operation = operation, .capture_id = id, .call_id = 0x20, .amount_minor = 1999, .currency = "USD"};
    memcpy(step.token, strict_token, sizeof(step.token));
    memcpy(step.order_ref, strict_order_ref, sizeof(step.order_ref));
    return step;
}

/* --- a payment --- */

/* Fails the test unless it is done, and says why the server refused it. */
static void ask(struct strict *strict, const void *message)
{
    if (rig_ask(&strict->rig, message)->outcome == GATEWAY_DONE)
        return;
    char *text = json_dumps(strict_books(strict), 0);
    fail_msg("%s, %s; the server: %s", gateway_outcome_name(strict->rig.reply.outcome),
             gateway_reason_name(strict->rig.reply.reason), text);
}

void strict_pay(struct strict *strict, uint64_t capture, enum gateway_order_state state)
{
    struct rig *rig = &strict->rig;
    struct gateway_tokenise_msg card = rig_tokenise(capture, 1, "4111111111111111");
    ask(strict, &card);
    memcpy(strict_token, rig->reply.token, sizeof(strict_token));
    struct gateway_order_msg order = rig_create(capture, 1, 1999, strict_token);
    ask(strict, &order);
    memcpy(strict_order_ref, rig->reply.order_ref, sizeof(strict_order_ref));
    struct gateway_step_msg confirm =
        rig_step(GATEWAY_CONFIRM, capture, 1, 1999, strict_token, strict_order_ref);
    ask(strict, &confirm);
    struct gateway_step_msg status = rig_step(GATEWAY_STATUS, capture, 1, 1999, "", strict_order_ref);
    ask(strict, &status);
    assert_int_equal(rig->reply.order_state, state);
}

/* --- a planted fault --- */

static bool replace(char *text, size_t capacity, const char *from, const char *to)
{
    char rest[4096];
    char *at = strstr(text, from);
    if (!at)
        return false;
    snprintf(rest, sizeof(rest), "%s", at + strlen(from));
    snprintf(at, capacity - (size_t)(at - text), "%s%s", to, rest);
    return true;
}

void strict_plant(struct strict *strict, struct connector_step *step, const char *from, const char *to)
{
    struct connector_request request;
    struct connector_verdict verdict;
    struct exchange heard;
    char body[CONNECTOR_BODY_BYTES];
    size_t capacity;
    assert_int_equal(build(strict, step, &request, &verdict), OK);
    snprintf(body, sizeof(body), "%.*s", (int)secret_length(request.body),
             (const char *)secret_bytes(request.body));
    bool is_planted = replace(body, sizeof(body), from, to);
    assert_true(strlen(body) < CONNECTOR_BODY_BYTES - 64);
    memcpy(secret_buffer(request.body, &capacity), body, strlen(body));
    secret_set_length(request.body, strlen(body));
    authorise(strict, &request);
    if (!is_planted && !replace(request.headers, sizeof(request.headers), from, to))
        fail_msg("%s is nowhere in the request", from);
    exchange(strict, request.method, request.path, request.headers, request.body, &heard);
    secret_free(request.body);
    if (heard.status < 400 || heard.status >= 500)
        print_error("%s -> %s was let through: %u\n", from, to, heard.status);
    assert_true(heard.status >= 400 && heard.status < 500);
    exchange_free(&heard);
    forgotten++;
}
