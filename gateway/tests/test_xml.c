/* XML both ways: what is written cannot be broken out of, what is read cannot make us work, fetch or grow. */
#include "gateway/connectors/generic.h"
#include "gateway/connectors/reply_xml.h"
#include "gateway/connectors/xml_writer.h"
#include "gateway/wipe_heap.h"

#include <libxml/parser.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned fetched; /* external entities that somebody asked for */

/* --- bombs --- */

#define LOL9(x)        "&" x ";&" x ";&" x ";&" x ";&" x ";&" x ";&" x ";&" x ";&" x ";&" x ";"
#define ANSWER(inside) "<paymentResponse><result>" inside "</result></paymentResponse>"

static char deep[2000];
static char wide[LIMIT_HTTP_REPLY_BYTES + 200];
static char quadratic[60000];

static struct bomb {
    const char *name, *text;
    bool is_fatal_elsewhere; /* a parser without our rules takes it */
} bombs[] = {
    {"billion laughs",
     "<!DOCTYPE l [<!ENTITY a \"lol\"><!ENTITY b \"" LOL9("a") "\"><!ENTITY c \"" LOL9(
         "b") "\"><!ENTITY d \"" LOL9("c") "\">]>" ANSWER("&d;"),
     true},
    {"quadratic blow-up", quadratic, true},
    {"external entity", "<!DOCTYPE l [<!ENTITY x SYSTEM \"file:///etc/hostname\">]>" ANSWER("&x;"), true},
    {"external entity by http", "<!DOCTYPE l [<!ENTITY x SYSTEM \"http://127.0.0.1:9/x\">]>" ANSWER("&x;"),
     true},
    {"external document type", "<!DOCTYPE l SYSTEM \"file:///etc/hostname\">" ANSWER("Declined"), true},
    {"parameter entity",
     "<!DOCTYPE l [<!ENTITY % x SYSTEM \"file:///etc/hostname\"> %x;]>" ANSWER("Declined"), true},
    {"document type alone", "<!DOCTYPE l>" ANSWER("Declined"), true},
    {"hundred deep", deep, true},
    {"oversized", wide, true},
    {"other encoding", "<?xml version=\"1.0\" encoding=\"UTF-7\"?>+ADwAIQ-DOCTYPE l+AD4-" ANSWER("Declined"),
     false},
    {"unknown entity", ANSWER("&unknown;"), false},
    {"two roots", "<a/><b/>", false},
    {"not closed", "<paymentResponse><result>Approved", false},
    {"attribute twice", "<a x=\"1\" x=\"2\"/>", false},
    {"nothing", "", false},
    {"no XML", "{\"result\":\"Approved\"}", false},
};
#define BOMB_COUNT (sizeof(bombs) / sizeof(bombs[0]))

static void fill_bombs(void)
{
    for (unsigned i = 0; i < 100; i++)
        memcpy(deep + 3 * i, "<a>", 3);
    for (unsigned i = 0; i < 100; i++)
        memcpy(deep + 300 + 4 * i, "</a>", 4);
    size_t length = (size_t)snprintf(wide, sizeof(wide), "<paymentResponse><result>");
    memset(wide + length, 'A', sizeof(wide) - length);
    snprintf(wide + sizeof(wide) - 40, 40, "</result></paymentResponse>");
    length = (size_t)snprintf(quadratic, sizeof(quadratic), "<!DOCTYPE l [<!ENTITY a \"");
    memset(quadratic + length, 'A', 20000);
    length += 20000;
    length +=
        (size_t)snprintf(quadratic + length, sizeof(quadratic) - length, "\">]><paymentResponse><result>");
    for (unsigned i = 0; i < 400; i++)
        length += (size_t)snprintf(quadratic + length, sizeof(quadratic) - length, "&a;");
    snprintf(quadratic + length, sizeof(quadratic) - length, "</result></paymentResponse>");
}

static struct connector_answer answer_of(const char *text)
{
    return (struct connector_answer){200, (const uint8_t *)text, strlen(text), ""};
}

static void every_bomb_is_refused_and_nothing_is_fetched_or_grown(void **state)
{
    (void)state;
    unsigned refused = 0;
    for (size_t i = 0; i < BOMB_COUNT; i++) {
        const struct connector_answer answer = answer_of(bombs[i].text);
        struct wipe_heap_usage before = wipe_heap_usage();
        xmlDoc *document = reply_xml_parse(&answer);
        if (document)
            print_error("%s was read\n", bombs[i].name);
        refused += document == NULL;
        xmlFreeDoc(document);
        assert_int_equal(wipe_heap_usage().live_bytes, before.live_bytes);
    }
    assert_int_equal(refused, BOMB_COUNT);
    print_message("%u of %zu planted bombs refused\n", refused, BOMB_COUNT);
}

static xmlParserInputPtr counting_loader(const char *url, const char *id, xmlParserCtxtPtr parser)
{
    (void)url;
    (void)id;
    (void)parser;
    fetched++;
    return NULL;
}

/* The same texts before a parser that was told to substitute and to load: it takes them, so they are what they are
 * called. After ours was used, nobody's loader fetches any more. */
static void the_bombs_go_off_elsewhere(void **state)
{
    (void)state;
    unsigned taken = 0, expected = 0;
    xmlSetExternalEntityLoader(counting_loader);
    for (size_t i = 0; i < BOMB_COUNT; i++) {
        xmlDoc *document = xmlReadMemory(bombs[i].text, (int)strlen(bombs[i].text), NULL, NULL,
                                         XML_PARSE_NOENT | XML_PARSE_DTDLOAD | XML_PARSE_HUGE |
                                             XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_RECOVER);
        expected += bombs[i].is_fatal_elsewhere;
        taken += bombs[i].is_fatal_elsewhere && document && document->children;
        xmlFreeDoc(document);
    }
    xmlResetLastError();
    assert_int_equal(taken, expected);
    assert_true(fetched >= 4);
    unsigned before = fetched;
    every_bomb_is_refused_and_nothing_is_fetched_or_grown(state);
    assert_int_equal(fetched, before);
}

/* --- reading --- */

static void what_is_read_is_what_stands_there(void **state)
{
    (void)state;
    static const char text[] = "\xef\xbb\xbf<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- note --><p:r "
                               "xmlns:p=\"urn:x\" id=\"7\">\n"
                               "  <p:a> one &amp; &#50; </p:a><a>two</a><b><c x='y'>th<!-- - "
                               "-->ree</c></b><d><![CDATA[<four>]]></d><e/>"
                               "<f>x<g/>y</f></p:r>";
    static const struct {
        const char *path, *expected; /* NULL: not there */
    } rows[] = {{"r.a", "one & 2"}, {"r.b.c", "three"}, {"r.b.c.@x", "y"}, {"r.@id", "7"}, {"r.d", "<four>"},
                {"r.e", ""},        {"r.f", NULL},      {"r.b", NULL},     {"r.x", NULL},  {"a", NULL},
                {"r.b.c.@z", NULL}, {"r.b.c.d", NULL},  {"", NULL},        {"r", NULL}};
    const struct connector_answer answer = answer_of(text);
    xmlDoc *document = reply_xml_parse(&answer);
    assert_non_null(document);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char out[16];
        bool is_there = reply_xml_text(document, rows[i].path, out, sizeof(out));
        if (is_there != (rows[i].expected != NULL) || (is_there && strcmp(out, rows[i].expected) != 0))
            print_error("%s: %s\n", rows[i].path, out);
        assert_int_equal(is_there, rows[i].expected != NULL);
        assert_string_equal(out, rows[i].expected ? rows[i].expected : "");
    }
    char small[4];
    assert_false(reply_xml_text(document, "r.a", small, sizeof(small)));
    assert_string_equal(small, "");
    xmlFreeDoc(document);
    static const char fifteen[] =
        "<a><a><a><a><a><a><a><a><a><a><a><a><a><a><a>x</a></a></a></a></a></a></a></a></a>"
        "</a></a></a></a></a></a>";
    const struct connector_answer deep_enough = answer_of(fifteen);
    document = reply_xml_parse(&deep_enough);
    assert_non_null(document);
    xmlFreeDoc(document);
}

/* The answer was in memory that is overwritten when it is let go; what the parser stumbled over too. */
static void nothing_of_an_answer_stays_in_the_heap(void **state)
{
    (void)state;
    static const char text[] = "<a><b>an-answer-nobody-should-find</b></a>";
    char out[64];
    const struct connector_answer answer = answer_of(text);
    xmlDoc *document = reply_xml_parse(&answer);
    assert_true(reply_xml_text(document, "a.b", out, sizeof(out)));
    assert_true(wipe_heap_count_pattern("an-answer-nobody-should-find", 28) > 0);
    xmlFreeDoc(document);
    assert_int_equal(wipe_heap_count_pattern("an-answer-nobody-should-find", 28), 0);
    const struct connector_answer broken = answer_of("<a><an-answer-nobody-should-find></a>");
    assert_null(reply_xml_parse(&broken));
    assert_int_equal(wipe_heap_count_pattern("an-answer-nobody-should-find", 28), 0);
}

static void a_reader_without_memory_says_no(void **state)
{
    (void)state;
    static const char text[] = "<a><b x=\"1\">value</b></a>";
    const struct connector_answer answer = answer_of(text);
    bool is_read = false;
    for (long n = 0; n < 200 && !is_read; n++) {
        char out[16];
        wipe_heap_fail_after(n);
        xmlDoc *document = reply_xml_parse(&answer);
        wipe_heap_fail_after(-1);
        is_read = reply_xml_text(document, "a.b", out, sizeof(out)) && strcmp(out, "value") == 0;
        xmlFreeDoc(document);
    }
    assert_true(is_read);
}

/* --- writing --- */

static void text_cannot_break_out_of_its_element(void **state)
{
    (void)state;
    uint8_t bytes[256];
    struct xml_writer xml;
    xml_begin(&xml, bytes, sizeof(bytes));
    xml_open(&xml, "r", 1);
    xml_put_text(&xml, "</r>&<![CDATA[\"]]>", 18);
    xml_close(&xml);
    assert_int_equal(xml.err, OK);
    bytes[xml.length] = '\0';
    assert_string_equal((char *)bytes,
                        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><r>&lt;/r&gt;&amp;&lt;![CDATA[&quot;]]&gt;"
                        "</r>");
    xml_begin(&xml, bytes, sizeof(bytes));
    xml_put_text(&xml, "a\x02", 2);
    assert_int_equal(xml.err, ERR_RANGE);
    xml_begin(&xml, bytes, 45);
    xml_open(&xml, "name", 4);
    xml_put_text(&xml, "too long", 8);
    assert_int_equal(xml.err, ERR_FULL);
    assert_int_equal(xml.length, 45);
}

static void the_xml_connector_says_and_hears_by_its_file(void **state)
{
    (void)state;
    static const struct {
        const char *inside;
        enum gateway_outcome outcome;
        enum gateway_order_state state;
        enum gateway_reason reason;
    } rows[] = {
        {"<result>Approved</result><transactionRef>tx_1</transactionRef><accountId>pay_1</"
         "accountId><amount>42.50</amount>"
         "<currency>EUR</currency>",
         GATEWAY_DONE, ORDER_SUCCEEDED, REASON_NONE},
        {"<result>Approved</result><transactionRef>tx_1</transactionRef><accountId>pay_1</"
         "accountId><amount>42.05</amount>"
         "<currency>EUR</currency>",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {"<result>Approved</result><accountId>pay_1</accountId><amount>42.50</amount><currency>EUR</"
         "currency>",
         GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
        {"<result>Declined</result><errorCode>CVV_Mismatch</errorCode>", GATEWAY_DECLINED, ORDER_NONE,
         REASON_WRONG_CVV},
        {"<result>Declined</result><errorCode>Card_Declined</errorCode>", GATEWAY_DECLINED, ORDER_NONE,
         REASON_DECLINED},
        {"<result>Error</result>", GATEWAY_FAILED, ORDER_NONE, REASON_CONFIGURATION},
        {"<result>Odd</result>", GATEWAY_NO_ANSWER, ORDER_NONE, REASON_BAD_ANSWER},
    };
    struct connector_account account = {.merchant = "M1"};
    struct mapping *mapping;
    struct connector_request request = {.method = NULL};
    struct connector_verdict verdict;
    char message[MAPPING_ERROR_BYTES], body[1024];
    struct connector_step step = {.operation = CONNECTOR_CONFIRM,
                                  .capture_id = 1,
                                  .attempt = 1,
                                  .amount_minor = 4250,
                                  .currency = "EUR",
                                  .token = "tok_1",
                                  .order_ref = "pay_1",
                                  .reference = "<&>"};
    assert_int_equal(generic_open(&mapping, "xml", "gateway/connectors/mappings/xml-post.yaml", &account,
                                  "https://h", message),
                     OK);
    account.mapping = mapping;
    assert_int_equal(secret_new(&request.body, CONNECTOR_BODY_BYTES), OK);
    assert_int_equal(mapping->connector.build(&account, &step, &request, &verdict), OK);
    snprintf(body, sizeof(body), "%.*s", (int)secret_length(request.body),
             (const char *)secret_bytes(request.body));
    assert_string_equal(
        body, "<?xml version=\"1.0\" encoding=\"UTF-8\"?><paymentRequest><merchantId>M1</merchantId>"
              "<accountId>pay_1</accountId><amount>42.50</amount><currency>EUR</currency>"
              "<reference>&lt;&amp;&gt;</reference><callType>IVR</callType><token>tok_1</token>"
              "</paymentRequest>");
    assert_non_null(strstr(request.headers, "Content-Type: application/xml\n"));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(body, sizeof(body), "<paymentResponse>%s</paymentResponse>", rows[i].inside);
        const struct connector_answer answer = answer_of(body);
        mapping->connector.read(&account, &step, &answer, &verdict);
        assert_int_equal(verdict.outcome, rows[i].outcome);
        assert_int_equal(verdict.order_state, rows[i].state);
        assert_int_equal(verdict.reason, rows[i].reason);
    }
    secret_free(request.body);
    mapping_free(mapping);
}

static int install_heap(void **state)
{
    (void)state;
    fill_bombs();
    return wipe_heap_install() == OK ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_bomb_is_refused_and_nothing_is_fetched_or_grown),
        cmocka_unit_test(the_bombs_go_off_elsewhere),
        cmocka_unit_test(what_is_read_is_what_stands_there),
        cmocka_unit_test(nothing_of_an_answer_stays_in_the_heap),
        cmocka_unit_test(a_reader_without_memory_says_no),
        cmocka_unit_test(text_cannot_break_out_of_its_element),
        cmocka_unit_test(the_xml_connector_says_and_hears_by_its_file),
    };
    return cmocka_run_group_tests(tests, install_heap, NULL);
}
