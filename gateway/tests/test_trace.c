/* A trace shows what went over the wire to a sandbox, and no digit of a card: not of the one that was sent, and not of
 * one that comes back. */
#include "base/log.h"
#include "base/secret.h"
#include "gateway/connectors/generic.h"
#include "gateway/connectors/mapping.h"
#include "gateway/connectors/stripe.h"
#include "gateway/test_card.h"
#include "gateway/trace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NUMBER "4242424242424242"
#define CVV    "917"

static char path[64];
static struct gateway_tokenise_msg card;

static int setup(void **state)
{
    (void)state;
    strcpy(path, "/tmp/tonegate-trace-XXXXXX");
    int fd = mkstemp(path);
    close(fd);
    unlink(path);
    card = (struct gateway_tokenise_msg){
        .number_length = 16, .cvv_length = 3, .expiry_month = 7, .expiry_year = 31};
    for (size_t i = 0; i < 16; i++)
        card.number[i] = (uint8_t)(NUMBER[i] - '0');
    for (size_t i = 0; i < 3; i++)
        card.cvv[i] = (uint8_t)(CVV[i] - '0');
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

static void read_back(char *text, size_t capacity)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    text[fread(text, 1, capacity - 1, file)] = '\0';
    fclose(file);
}

static struct connector_step tokenise(void)
{
    return (struct connector_step){
        .operation = CONNECTOR_TOKENISE, .capture_id = 16, .attempt = 1, .card = &card};
}

static void a_request_is_shown_with_zeros_where_the_card_was(void **state)
{
    char text[4096];
    struct trace *trace;
    struct connector_step step = tokenise();
    struct stat file;
    (void)state;
    assert_int_equal(trace_open(&trace, path), OK);
    trace_request(trace, &stripe_connector, &(struct connector_account){.mapping = NULL}, &step);
    trace_close(trace);
    read_back(text, sizeof(text));
    assert_non_null(strstr(text, "/v1/payment_methods"));
    assert_non_null(
        strstr(text, "card[number]=0000000000000000&card[exp_month]=7&card[exp_year]=2031&card[cvc]=000"));
    assert_non_null(strstr(text, "\"step\":\"tokenise\""));
    assert_null(strstr(text, "4242"));
    assert_null(strstr(text, "=" CVV));
    assert_int_equal(stat(path, &file), 0);
    assert_int_equal(file.st_mode & 0777, 0600);
    /* The step's own card is as it was. */
    assert_int_equal(step.card->number[0], 4);
    assert_int_equal(step.card->cvv[0], 9);
}

/* A gateway that wants a session first gets the card in the second round, when step->card is gone. */
static void a_card_held_over_a_round_is_zeros_too(void **state)
{
    char text[8192], message[MAPPING_ERROR_BYTES] = "";
    struct trace *trace;
    struct mapping *mapping;
    struct connector_account account = {.merchant = "shop"};
    struct connector_step step = tokenise();
    (void)state;
    assert_int_equal(generic_open(&mapping, "rest", "gateway/connectors/mappings/session-token.yaml",
                                  &account, "https://gateway.example", message),
                     OK);
    account.mapping = mapping;
    assert_true(mapping->connector.holds_card);
    assert_int_equal(trace_open(&trace, path), OK);
    trace_request(trace, &mapping->connector, &account, &step);
    step.card = NULL;
    step.round = 1;
    strcpy(step.carry, "sess_1");
    trace_request(trace, &mapping->connector, &account, &step);
    trace_close(trace);
    mapping_free(mapping);
    read_back(text, sizeof(text));
    assert_non_null(strstr(text, "\"round\":1"));
    assert_non_null(strstr(text, "0000000000000000"));
    assert_non_null(strstr(text, "sess_1"));
    assert_null(strstr(text, "4242"));
}

static void a_card_that_comes_back_is_not_shown(void **state)
{
    static const char *const planted[] = {
        "{\"number\":\"" NUMBER "\"}",
        "{\"message\":\"card 4242 4242 4242 4242 refused\"}",
        "4242-4242-4242-4242",
        "x4242.4242.4242.4242",
        "99" NUMBER "99",
        NUMBER,
    };
    char text[4096];
    struct trace *trace;
    struct connector_step step = tokenise();
    (void)state;
    assert_int_equal(trace_open(&trace, path), OK);
    for (size_t i = 0; i < sizeof(planted) / sizeof(planted[0]); i++) {
        const struct connector_answer answer = {402, (const uint8_t *)planted[i], strlen(planted[i]),
                                                "content-type: application/json\n"};
        trace_answer(trace, &stripe_connector, &step, &answer);
    }
    trace_close(trace);
    read_back(text, sizeof(text));
    assert_null(strstr(text, "424"));
    assert_non_null(strstr(text, "card #### #### #### #### refused"));
    assert_non_null(strstr(text, "\"status\":402"));
}

static void short_numbers_and_bytes_that_are_no_text_are_told(void **state)
{
    static const uint8_t garbage[] = {0xff, 0xfe, 0x00, 0x31};
    static const char plain[] = "{\"amount\":42500,\"exp_year\":2031}";
    char text[4096];
    struct trace *trace;
    struct connector_step step = tokenise();
    (void)state;
    assert_int_equal(trace_open(&trace, path), OK);
    struct connector_answer answer = {200, garbage, sizeof(garbage), ""};
    trace_answer(trace, &stripe_connector, &step, &answer);
    answer = (struct connector_answer){200, (const uint8_t *)plain, sizeof(plain) - 1, ""};
    trace_answer(trace, &stripe_connector, &step, &answer);
    trace_close(trace);
    read_back(text, sizeof(text));
    assert_non_null(strstr(text, "(4 bytes that are no text)"));
    assert_non_null(strstr(text, "42500"));
}

static void a_link_is_not_followed_and_no_trace_is_no_harm(void **state)
{
    struct trace *trace;
    struct connector_step step = tokenise();
    (void)state;
    assert_int_equal(symlink("/tmp/tonegate-trace-elsewhere", path), 0);
    assert_int_equal(trace_open(&trace, path), ERR_SYSTEM);
    assert_null(trace);
    trace_request(NULL, &stripe_connector, &(struct connector_account){.mapping = NULL}, &step);
    trace_answer(NULL, &stripe_connector, &step, NULL);
    trace_close(NULL);
}

static void published_numbers_are_known_and_others_are_not(void **state)
{
    uint8_t other[16];
    (void)state;
    assert_true(test_card_is(card.number, 16));
    assert_false(test_card_is(card.number, 15));
    memcpy(other, card.number, sizeof(other));
    for (size_t i = 0; i < sizeof(other); i++) {
        other[i] = (uint8_t)((other[i] + 1) % 10);
        assert_false(test_card_is(other, sizeof(other)));
        other[i] = card.number[i];
    }
    assert_false(test_card_is(other, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_is_shown_with_zeros_where_the_card_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_card_held_over_a_round_is_zeros_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_card_that_comes_back_is_not_shown, setup, teardown),
        cmocka_unit_test_setup_teardown(short_numbers_and_bytes_that_are_no_text_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_link_is_not_followed_and_no_trace_is_no_harm, setup, teardown),
        cmocka_unit_test_setup(published_numbers_are_known_and_others_are_not, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
