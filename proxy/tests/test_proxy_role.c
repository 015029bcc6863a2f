/* The proxy's ports: what may come over them in which state of a call, and what goes out. Calls and media are fakes of this
 * file, links are real socket pairs. The role's source is included, since its tables are nobody else's business. */
#include "proxy/proxy_role.c" // NOLINT(bugprone-suspicious-include)

#include "base/tests/cmocka_all.h"

#include <stdio.h>

#define KNOWN_CALL   0x8000000100010001ULL
#define UNKNOWN_CALL 0x8000000100010002ULL
#define CAPTURE      77

/* --- fakes --- */

static struct {
    uint64_t capture; /* of KNOWN_CALL */
    int arms, disarms, told_all, restored, silent;
    bool arm_fails;
    bool is_muted;
    bool is_draining;
    struct media_event events[8];
    size_t event_count;
} fake;

enum err b2bua_has_call(const struct b2bua *b2bua, uint64_t call_id)
{
    (void)b2bua;
    return call_id == KNOWN_CALL ? OK : ERR_NOT_FOUND;
}

uint64_t b2bua_capture_of(const struct b2bua *b2bua, uint64_t call_id)
{
    (void)b2bua;
    return call_id == KNOWN_CALL ? fake.capture : 0;
}

void b2bua_set_capture(struct b2bua *b2bua, uint64_t call_id, uint64_t capture_id)
{
    (void)b2bua;
    if (call_id == KNOWN_CALL)
        fake.capture = capture_id;
}

void b2bua_each_armed(struct b2bua *b2bua, void (*each_h)(void *owner, uint64_t call_id, uint64_t capture_id),
                      void *owner)
{
    (void)b2bua;
    if (fake.capture)
        each_h(owner, KNOWN_CALL, fake.capture);
}

void b2bua_tell_all(struct b2bua *b2bua)
{
    (void)b2bua;
    fake.told_all++;
}

void b2bua_media_silent(struct b2bua *b2bua, uint64_t call_id, enum media_side side)
{
    (void)b2bua;
    (void)call_id;
    (void)side;
    fake.silent++;
}

void b2bua_drain(struct b2bua *b2bua)
{
    (void)b2bua;
    fake.is_draining = true;
}

size_t b2bua_call_count(const struct b2bua *b2bua)
{
    (void)b2bua;
    return 1;
}

void b2bua_restore(struct b2bua *b2bua)
{
    (void)b2bua;
    fake.restored++;
}

enum err b2bua_new(struct b2bua **out, const struct b2bua_options *options)
{
    (void)out;
    (void)options;
    return ERR_UNSUPPORTED;
}

void b2bua_free(struct b2bua *b2bua)
{
    (void)b2bua;
}

enum err media_new(struct media **out, const struct config *config, const int *sockets, size_t socket_count)
{
    (void)out;
    (void)config;
    (void)sockets;
    (void)socket_count;
    return ERR_UNSUPPORTED;
}

void media_free(struct media *media)
{
    (void)media;
}

enum err media_call_arm(struct media *media, uint64_t call_id, uint64_t capture_id, bool is_keying)
{
    (void)media;
    (void)call_id;
    (void)capture_id;
    (void)is_keying;
    fake.arms++;
    return fake.arm_fails ? ERR_FULL : OK;
}

bool media_call_is_muted(const struct media *media, uint64_t call_id)
{
    (void)media;
    return call_id == KNOWN_CALL && fake.is_muted;
}

enum err media_call_disarm(struct media *media, uint64_t call_id, uint64_t capture_id)
{
    (void)media;
    (void)call_id;
    (void)capture_id;
    fake.disarms++;
    return OK;
}

int media_event_fd(const struct media *media)
{
    (void)media;
    return -1;
}

enum err media_event_next(struct media *media, struct media_event *event)
{
    (void)media;
    if (fake.event_count == 0)
        return ERR_EMPTY;
    *event = fake.events[--fake.event_count];
    return OK;
}

bool media_is_alive(struct media *media)
{
    (void)media;
    return true;
}

/* --- the rig --- */

static struct rig {
    struct role_context context;
    struct proxy proxy;
    int vault_end, desk_end;
} rig;

union message {
    struct msg_header header;
    struct proxy_digit_msg digit;
    struct proxy_armed_msg armed;
    struct proxy_arm_msg arm;
    struct proxy_disarm_msg disarm;
    struct proxy_call_gone_msg gone;
    struct proxy_call_msg call;
    struct proxy_leg_report_msg report;
    uint8_t bytes[LIMIT_MESSAGE_BYTES];
};

static void open_link(enum role peer, int *end)
{
    int ends[2];
    assert_int_equal(msg_pair(ends), OK);
    *end = ends[1];
    assert_int_equal(take_link(&rig.proxy, peer, ends[0]), OK);
}

static int open_rig(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof(rig));
    memset(&fake, 0, sizeof(fake));
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "test");
    proxy_init(&rig.proxy, &rig.context);
    rig.proxy.base = event_base_new();
    open_link(ROLE_VAULT, &rig.vault_end);
    open_link(ROLE_DESK, &rig.desk_end);
    return 0;
}

static int close_rig(void **state)
{
    (void)state;
    close(rig.vault_end);
    close(rig.desk_end);
    proxy_close(&rig.proxy);
    return 0;
}

/* The next message at that end; type 0: none. */
static uint16_t heard(int end, union message *message)
{
    memset(message, 0, sizeof(*message));
    ssize_t length = recv(end, message, sizeof(*message), MSG_DONTWAIT);
    if (length <= 0)
        return 0;
    assert_int_equal(length, message->header.length);
    return message->header.type;
}

enum call_state_case { UNKNOWN, PLAIN, ARMED, STATES };

static uint64_t enter(enum call_state_case at)
{
    fake.capture = at == ARMED ? CAPTURE : 0;
    return at == UNKNOWN ? UNKNOWN_CALL : KNOWN_CALL;
}

static void every_type_in_every_state_is_refused_unless_the_table_says_otherwise(void **state)
{
    (void)state;
    size_t handled[2] = {0, 0};
    for (unsigned type = 0; type < 0x500; type++) {
        for (int at = 0; at < STATES; at++) {
            for (int to_desk = 0; to_desk < 2; to_desk++) {
                struct msg_port *port = to_desk ? &rig.proxy.desk : &rig.proxy.vault;
                size_t length = type == PROXY_ARM            ? sizeof(struct proxy_arm_msg)
                                : type == PROXY_DISARM       ? sizeof(struct proxy_disarm_msg)
                                : type == PROXY_CALLS_WANTED ? sizeof(struct proxy_calls_wanted_msg)
                                                             : sizeof(struct proxy_digit_msg);
                union message message = {.arm = {.capture_id = CAPTURE}};
                message.header =
                    (struct msg_header){MSG_VERSION, (uint16_t)type, (uint32_t)length, enter(at)};
                enum err err = msg_dispatch(port, &message, length);
                bool is_legal = to_desk ? type == PROXY_CALLS_WANTED
                                        : type == PROXY_ARM || (type == PROXY_DISARM && at == ARMED);
                enum err expected = is_legal                           ? OK
                                    : !to_desk && type == PROXY_DISARM ? ERR_ORDER
                                                                       : ERR_UNSUPPORTED;
                assert_int_equal(err, expected);
                handled[to_desk] += err == OK;
            }
        }
    }
    assert_int_equal(handled[0], STATES + 1);
    assert_int_equal(handled[1], STATES);
    assert_int_equal(fake.arms, 2); /* not for the unknown call */
    assert_int_equal(fake.disarms, 1);
}

static void every_wrong_length_and_version_is_refused(void **state)
{
    (void)state;
    static const uint16_t types[] = {PROXY_ARM, PROXY_DISARM, PROXY_CALLS_WANTED};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        struct msg_port *port = types[i] == PROXY_CALLS_WANTED ? &rig.proxy.desk : &rig.proxy.vault;
        size_t right = port->permits[0].type == types[i] ? port->permits[0].length : port->permits[1].length;
        for (size_t length = 0; length <= 200; length++) {
            for (uint16_t version = 0; version < 3; version++) {
                union message message = {.arm = {.capture_id = CAPTURE}};
                message.header = (struct msg_header){version, types[i], (uint32_t)length, enter(ARMED)};
                enum err err = msg_dispatch(port, &message, length);
                assert_int_equal(err == OK, length == right && version == MSG_VERSION);
            }
        }
    }
}

static void an_order_with_a_wrong_value_changes_nothing(void **state)
{
    (void)state;
    struct proxy_arm_msg arm = {.capture_id = 0};
    MSG_INIT(&arm, PROXY_ARM, enter(PLAIN));
    assert_int_equal(msg_dispatch(&rig.proxy.vault, &arm, sizeof(arm)), ERR_RANGE);
    arm.capture_id = CAPTURE;
    arm.is_keying = 2;
    assert_int_equal(msg_dispatch(&rig.proxy.vault, &arm, sizeof(arm)), ERR_RANGE);
    struct proxy_disarm_msg disarm = {.capture_id = CAPTURE + 1}; /* somebody else's capture */
    MSG_INIT(&disarm, PROXY_DISARM, enter(ARMED));
    assert_int_equal(msg_dispatch(&rig.proxy.vault, &disarm, sizeof(disarm)), ERR_REFUSED);
    assert_int_equal(fake.arms + fake.disarms, 0);
    assert_true(fake.capture == CAPTURE);
}

static void an_arm_that_cannot_be_is_answered_as_refused(void **state)
{
    (void)state;
    union message message;
    struct proxy_arm_msg arm = {.capture_id = CAPTURE};
    MSG_INIT(&arm, PROXY_ARM, enter(UNKNOWN));
    assert_int_equal(msg_dispatch(&rig.proxy.vault, &arm, sizeof(arm)), OK);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_ARMED);
    assert_true(message.armed.is_refused && !message.armed.is_resync && message.armed.capture_id == CAPTURE);
    fake.arm_fails = true;
    arm.header.subject = enter(PLAIN);
    assert_int_equal(msg_dispatch(&rig.proxy.vault, &arm, sizeof(arm)), OK);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_ARMED);
    assert_true(message.armed.is_refused);
    assert_true(fake.capture == 0);
    /* One that goes well is answered by the media's word, not before. */
    fake.arm_fails = false;
    assert_int_equal(msg_dispatch(&rig.proxy.vault, &arm, sizeof(arm)), OK);
    assert_int_equal(heard(rig.vault_end, &message), 0);
    fake.events[fake.event_count++] =
        (struct media_event){.kind = MEDIA_EVENT_ARMED, .call_id = KNOWN_CALL, .capture_id = CAPTURE};
    media_readable(-1, 0, &rig.proxy);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_ARMED);
    assert_true(!message.armed.is_refused && !message.armed.is_resync);
}

static void press(dtmf_key key, uint32_t ordinal)
{
    fake.events[fake.event_count++] = (struct media_event){.kind = MEDIA_EVENT_DIGIT,
                                                           .call_id = KNOWN_CALL,
                                                           .capture_id = CAPTURE,
                                                           .ordinal = ordinal,
                                                           .key = key,
                                                           .source = DIGIT_EVENT};
    media_readable(-1, 0, &rig.proxy);
}

static void a_key_goes_to_the_vault_alone_and_without_one_nowhere(void **state)
{
    (void)state;
    union message message;
    enter(ARMED);
    press(7, 1);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_DIGIT);
    assert_true(message.digit.key == 7 && message.digit.ordinal == 1 && message.digit.capture_id == CAPTURE &&
                message.digit.source == DIGIT_EVENT && message.header.subject == KNOWN_CALL);
    /* The vault dies; two keys later a new one comes. */
    close(rig.vault_end);
    vault_readable(-1, 0, &rig.proxy);
    assert_int_equal(rig.proxy.vault.fd, -1);
    press(8, 2);
    press(9, 3);
    assert_true(rig.proxy.digits_dropped == 2);
    assert_true(fake.capture == CAPTURE && fake.disarms == 0); /* masked still */
    open_link(ROLE_VAULT, &rig.vault_end);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_ARMED); /* and nothing that was held back */
    assert_true(message.armed.is_resync && message.armed.capture_id == CAPTURE);
    assert_int_equal(heard(rig.vault_end, &message), 0);
    press(1, 4);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_DIGIT);
    assert_true(message.digit.ordinal == 4); /* the hole shows */
    assert_int_equal(heard(rig.desk_end, &message), 0);
}

static void a_vault_that_does_not_read_costs_keys_and_nothing_else(void **state)
{
    (void)state;
    union message message;
    uint32_t sent = 0;
    enter(ARMED);
    while (rig.proxy.digits_dropped == 0 && sent < 100000)
        press(1, ++sent);
    assert_true(rig.proxy.digits_dropped == 1);
    uint32_t count = 0;
    while (heard(rig.vault_end, &message) == PROXY_DIGIT)
        assert_true(message.digit.ordinal == ++count);
    assert_int_equal(count, sent - 1);
}

static void the_desk_hears_of_calls_and_reports_and_never_of_keys(void **state)
{
    (void)state;
    union message message;
    enter(ARMED);
    static const enum media_event_kind kinds[] = {MEDIA_EVENT_ARMED,  MEDIA_EVENT_DIGIT,
                                                  MEDIA_EVENT_REPORT, MEDIA_EVENT_SILENT,
                                                  MEDIA_EVENT_ALARM,  MEDIA_EVENT_DISARMED};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        fake.events[fake.event_count++] = (struct media_event){
            .kind = kinds[i], .call_id = KNOWN_CALL, .capture_id = CAPTURE, .ordinal = 1, .key = 5};
        media_readable(-1, 0, &rig.proxy);
        bool is_report = kinds[i] == MEDIA_EVENT_REPORT || kinds[i] == MEDIA_EVENT_DISARMED;
        assert_int_equal(heard(rig.desk_end, &message), is_report ? PROXY_LEG_REPORT : 0);
    }
    assert_true(fake.capture == 0); /* by DISARMED */
    assert_int_equal(fake.silent, 1);
    while (heard(rig.vault_end, &message)) {
    }
    /* The end of an armed call goes to both, of another one to the desk. */
    struct proxy_call_msg ended = {.state = PROXY_CALL_ENDED};
    MSG_INIT(&ended, PROXY_CALL, KNOWN_CALL);
    call_changed(&rig.proxy, &ended, CAPTURE);
    assert_int_equal(heard(rig.desk_end, &message), PROXY_CALL);
    assert_int_equal(heard(rig.vault_end, &message), PROXY_CALL_GONE);
    assert_true(message.gone.capture_id == CAPTURE);
    call_changed(&rig.proxy, &ended, 0);
    assert_int_equal(heard(rig.desk_end, &message), PROXY_CALL);
    assert_int_equal(heard(rig.vault_end, &message), 0);
}

static void an_alarm_goes_to_the_vault_and_to_every_new_one(void **state)
{
    (void)state;
    union message message;
    enter(ARMED);
    fake.is_muted = true;
    fake.events[fake.event_count++] = (struct media_event){
        .kind = MEDIA_EVENT_ALARM, .call_id = KNOWN_CALL, .capture_id = CAPTURE, .key = 5};
    media_readable(-1, 0, &rig.proxy);
    assert_true(rig.proxy.alarms == 1);
    for (int life = 0; life < 2; life++) {
        assert_int_equal(heard(rig.vault_end, &message), PROXY_ALARM);
        assert_true(message.gone.capture_id == CAPTURE && message.header.subject == KNOWN_CALL);
        assert_true(message.header.length == sizeof(struct proxy_alarm_msg)); /* no room for a key */
        close(rig.vault_end);
        vault_readable(-1, 0, &rig.proxy);
        open_link(ROLE_VAULT, &rig.vault_end);
        assert_int_equal(heard(rig.vault_end, &message), PROXY_ARMED);
    }
    assert_int_equal(heard(rig.desk_end, &message), 0);
}

static void say_last_report(uint64_t capture_id)
{
    fake.events[fake.event_count++] = (struct media_event){.kind = MEDIA_EVENT_DISARMED,
                                                           .call_id = KNOWN_CALL,
                                                           .capture_id = capture_id,
                                                           .report = {.is_last = 1}};
    media_readable(-1, 0, &rig.proxy);
}

/* The record of a masked leg waits for a desk that is away; when too many wait, the oldest goes. */
static void last_reports_wait_for_the_desk(void **state)
{
    (void)state;
    union message message;
    enter(ARMED);
    close(rig.desk_end);
    desk_readable(-1, 0, &rig.proxy);
    for (uint64_t i = 1; i <= LIMIT_REPORTS_OWED + 2; i++)
        say_last_report(i);
    assert_true(rig.proxy.owed_count == LIMIT_REPORTS_OWED);
    open_link(ROLE_DESK, &rig.desk_end);
    uint64_t expected = 3;
    for (int round = 0; round < 100; round++) { /* a socket holds so many at once */
        pay_owed(&rig.proxy);
        while (heard(rig.desk_end, &message) == PROXY_LEG_REPORT)
            assert_true(message.report.capture_id == expected++ && message.report.is_last);
    }
    assert_true(expected == LIMIT_REPORTS_OWED + 3);
    assert_true(rig.proxy.owed_count == 0);
    say_last_report(7);
    assert_int_equal(heard(rig.desk_end, &message), PROXY_LEG_REPORT);
}

static void orders_over_the_wrong_link_are_refused(void **state)
{
    (void)state;
    struct proxy_arm_msg arm = {.capture_id = CAPTURE};
    struct proxy_disarm_msg disarm = {.capture_id = CAPTURE};
    struct proxy_calls_wanted_msg wanted;
    MSG_INIT(&arm, PROXY_ARM, enter(ARMED));
    MSG_INIT(&disarm, PROXY_DISARM, KNOWN_CALL);
    MSG_INIT(&wanted, PROXY_CALLS_WANTED, 0);
    assert_true(send(rig.desk_end, &arm, sizeof(arm), 0) == sizeof(arm));
    assert_true(send(rig.desk_end, &disarm, sizeof(disarm), 0) ==
                sizeof(disarm)); /* a desk that was taken over */
    assert_true(send(rig.vault_end, &wanted, sizeof(wanted), 0) == sizeof(wanted));
    desk_readable(-1, 0, &rig.proxy);
    vault_readable(-1, 0, &rig.proxy);
    assert_int_equal(fake.arms + fake.disarms + fake.told_all, 0);
    assert_true(rig.proxy.desk.counts.refused_form == 2);
    assert_true(rig.proxy.vault.counts.refused_form == 1);
    assert_true(send(rig.desk_end, &wanted, sizeof(wanted), 0) ==
                sizeof(wanted)); /* and the right one still works */
    desk_readable(-1, 0, &rig.proxy);
    assert_int_equal(fake.told_all, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, open_rig, close_rig)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(every_type_in_every_state_is_refused_unless_the_table_says_otherwise),
        TEST(every_wrong_length_and_version_is_refused),
        TEST(an_order_with_a_wrong_value_changes_nothing),
        TEST(an_arm_that_cannot_be_is_answered_as_refused),
        TEST(an_alarm_goes_to_the_vault_and_to_every_new_one),
        TEST(last_reports_wait_for_the_desk),
        TEST(a_key_goes_to_the_vault_alone_and_without_one_nowhere),
        TEST(a_vault_that_does_not_read_costs_keys_and_nothing_else),
        TEST(the_desk_hears_of_calls_and_reports_and_never_of_keys),
        TEST(orders_over_the_wrong_link_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
