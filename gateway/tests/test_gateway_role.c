/* The whole role, wall and all, in a child process: a payment goes through it as through the product. */
#include "base/clock.h"
#include "base/role.h"
#include "base/role_msg.h"
#include "gateway/tests/peer/strict_peer.h"
#include "gateway/tests/rig.h"

#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define GOOD_CARD "4242424242424242"
#define SKIPPED   77

static struct rig_sandbox sandbox;

struct child {
    pid_t pid;
    int control; /* the supervisor's end */
    int vault;   /* the vault's end */
};

static struct config make_config(const char *host)
{
    struct config config;
    memset(&config, 0, sizeof(config));
    snprintf(config.gateway.url, sizeof(config.gateway.url), "https://%s%s", host, strrchr(sandbox.url, ':'));
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "%s", rig_path("api-key"));
    snprintf(config.gateway.ca_path, sizeof(config.gateway.ca_path), "%s", rig_path("right/ca.pem"));
    config.gateway.sandbox = true;
    config.gateway.create_timeout_ms = 5000;
    config.gateway.charge_timeout_ms = 5000;
    config.gateway.retries = 2;
    config.gateway.retry_wait_ms = 100;
    return config;
}

/* In the child: names are asked of a server that takes every question and answers none. False: not allowed to. */
static bool live_with_silent_name_server(void)
{
    return unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL) == 0 &&
           mount(rig_path("resolv.conf"), "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0;
}

static bool has_silent_name_server;

static void start(struct child *child, const struct config *config)
{
    int control[2], vault[2];
    assert_int_equal(msg_pair(control), OK);
    assert_int_equal(msg_pair(vault), OK);
    child->pid = fork();
    if (child->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(control[0]);
        close(vault[0]);
        if (has_silent_name_server && !live_with_silent_name_server())
            _exit(SKIPPED);
        struct role_context context = {.role = ROLE_GATEWAY, .config = config, .control_fd = control[1]};
        for (size_t i = 0; i < ROLE_COUNT; i++)
            context.link_fd[i] = i == ROLE_VAULT ? vault[1] : -1;
        _exit(gateway_role_run(&context));
    }
    close(control[1]);
    close(vault[1]);
    child->control = control[0];
    child->vault = vault[0];
}

/* One message of that type off fd within 5 s; false at the end of the link. */
static bool wait_for(int fd, uint16_t type, void *message, size_t size)
{
    union {
        struct msg_header header;
        _Alignas(16) uint8_t bytes[LIMIT_MESSAGE_BYTES];
    } any;
    for (;;) {
        struct pollfd ready = {fd, POLLIN, 0};
        assert_int_equal(poll(&ready, 1, 10000), 1);
        ssize_t length = read(fd, any.bytes, sizeof(any.bytes));
        if (length <= 0)
            return false;
        if (any.header.type != type)
            continue;
        assert_int_equal(length, size);
        memcpy(message, any.bytes, size);
        return true;
    }
}

static int stop(struct child *child)
{
    struct role_plain_msg message;
    int status = -1;
    MSG_INIT(&message, ROLE_STOP, 0);
    (void)!write(child->control, &message, sizeof(message));
    assert_int_equal(waitpid(child->pid, &status, 0), child->pid);
    close(child->control);
    close(child->vault);
    return status;
}

static void ask(struct child *child, const void *message, size_t size, struct gateway_reply_msg *reply)
{
    assert_int_equal(write(child->vault, message, size), size);
    assert_true(wait_for(child->vault, GATEWAY_REPLY, reply, sizeof(*reply)));
}

static void pay_with(const struct config *config)
{
    struct child child;
    struct role_plain_msg plain;
    struct gateway_reply_msg reply;
    start(&child, config);
    assert_true(wait_for(child.control, ROLE_READY, &plain, sizeof(plain)));
    struct gateway_tokenise_msg card = rig_tokenise(7, 1, GOOD_CARD);
    ask(&child, &card, sizeof(card), &reply);
    assert_int_equal(reply.outcome, GATEWAY_DONE);
    struct gateway_order_msg order = rig_create(7, 1, 555, reply.token);
    ask(&child, &order, sizeof(order), &reply);
    assert_int_equal(reply.outcome, GATEWAY_DONE);
    struct gateway_step_msg confirm = rig_step(GATEWAY_CONFIRM, 7, 1, 555, order.token, reply.order_ref);
    ask(&child, &confirm, sizeof(confirm), &reply);
    assert_int_equal(reply.outcome, GATEWAY_DONE);
    assert_int_equal(reply.order_state, ORDER_SUCCEEDED);
    assert_true(wait_for(child.control, ROLE_BEAT, &plain, sizeof(plain)));
    assert_int_equal(stop(&child), 0);
}

static void pay_through(const char *host)
{
    struct config config = make_config(host);
    pay_with(&config);
}

static void the_role_pays_behind_its_wall(void **state)
{
    (void)state;
    pay_through("127.0.0.1");
}

static void the_role_looks_names_up_behind_its_wall(void **state)
{
    (void)state;
    pay_through("localhost");
}

static void an_unknown_host_is_unavailable_and_kills_nothing(void **state)
{
    (void)state;
    struct config config = make_config("no-such-host.invalid");
    struct child child;
    struct role_plain_msg plain;
    struct gateway_reply_msg reply;
    config.gateway.charge_timeout_ms = 1500;
    config.gateway.retries = 0;
    start(&child, &config);
    assert_true(wait_for(child.control, ROLE_READY, &plain, sizeof(plain)));
    struct gateway_tokenise_msg card = rig_tokenise(7, 1, GOOD_CARD);
    ask(&child, &card, sizeof(card), &reply);
    assert_int_equal(reply.outcome, GATEWAY_UNAVAILABLE);
    assert_int_equal(reply.reason, REASON_UNAVAILABLE);
    assert_int_equal(stop(&child), 0);
}

/* A look-up that hangs must not stop the loop: without heartbeat the supervisor would kill the role. */
static void a_name_server_that_is_silent_does_not_stop_the_heart(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(53)};
    struct config config = make_config("hangs.example");
    struct child child;
    struct role_plain_msg plain;
    struct gateway_reply_msg reply;
    int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(0x7f00004d); /* 127.0.0.77 */
    FILE *resolv = fopen(rig_path("resolv.conf"), "w");
    fputs("nameserver 127.0.0.77\n", resolv);
    fclose(resolv);
    if (bind(server, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(server);
        skip(); /* needs root */
    }
    config.gateway.charge_timeout_ms = 1500;
    config.gateway.retries = 0;
    has_silent_name_server = true;
    start(&child, &config);
    has_silent_name_server = false;
    if (!wait_for(child.control, ROLE_READY, &plain, sizeof(plain))) {
        int status;
        waitpid(child.pid, &status, 0);
        close(server);
        assert_int_equal(WEXITSTATUS(status), SKIPPED);
        skip(); /* needs a mount namespace */
    }
    struct gateway_tokenise_msg card = rig_tokenise(7, 1, GOOD_CARD);
    assert_int_equal(write(child.vault, &card, sizeof(card)), sizeof(card));
    struct mono_time last = mono_now();
    struct pollfd replied = {child.vault, POLLIN, 0};
    while (poll(&replied, 1, 0) == 0) {
        assert_true(wait_for(child.control, ROLE_BEAT, &plain, sizeof(plain)));
        assert_true(mono_elapsed_ms(last, mono_now()) < LIMIT_HANG_MS);
        last = mono_now();
    }
    assert_true(wait_for(child.vault, GATEWAY_REPLY, &reply, sizeof(reply)));
    assert_int_equal(reply.outcome, GATEWAY_UNAVAILABLE);
    char question[512];
    assert_true(recv(server, question, sizeof(question), MSG_DONTWAIT) > 0); /* it was asked */
    assert_int_equal(stop(&child), 0);
    close(server);
}

static void write_key(const char *name, const char *key)
{
    FILE *file = fopen(rig_path(name), "w");
    assert_non_null(file);
    fputs(key, file);
    fclose(file);
}

static void refuses_to_start(const struct config *config)
{
    struct child child;
    struct role_plain_msg plain;
    int status = -1;
    start(&child, config);
    assert_false(wait_for(child.control, ROLE_READY, &plain, sizeof(plain)));
    waitpid(child.pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    close(child.control);
    close(child.vault);
}

static void a_live_key_never_meets_the_sandbox(void **state)
{
    (void)state;
    struct config config = make_config("127.0.0.1");
    write_key("live-key", "sk_live_abcdefgh\n");
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "%s", rig_path("live-key"));
    refuses_to_start(&config);
    config = make_config("127.0.0.1");
    config.gateway.sandbox = false; /* loopback is the sandbox */
    refuses_to_start(&config);
    config = make_config("127.0.0.1");
    snprintf(config.gateway.url, sizeof(config.gateway.url),
             "https://API-M.paypal.com"); /* live whatever the key */
    refuses_to_start(&config);
    config = make_config("127.0.0.1");
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "%s", rig_path("no-key"));
    refuses_to_start(&config);
}

static void the_role_takes_its_key_out_of_a_store_behind_its_wall(void **state)
{
    (void)state;
    struct rig_stores stores;
    struct config config = make_config("127.0.0.1");
    if (!rig_stores_start(&stores, "{\"stored\":\"" RIG_API_KEY "\"}"))
        skip(); /* no python3 */
    write_key("vault-token", "hvs.token\n");
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path),
             "vault:secret/payments/gateway#key");
    snprintf(config.secrets.vault.url, sizeof(config.secrets.vault.url), "%s", stores.secure_url);
    snprintf(config.secrets.vault.token, sizeof(config.secrets.vault.token), "%s", rig_path("vault-token"));
    snprintf(config.secrets.vault.name_space, sizeof(config.secrets.vault.name_space), "payments");
    snprintf(config.secrets.vault.ca_path, sizeof(config.secrets.vault.ca_path), "%s",
             rig_path("right/ca.pem"));
    pay_with(&config);
    /* The same by way of AWS, signed with what the machine gives out. */
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "aws:prod/gateway#key");
    snprintf(config.secrets.aws.region, sizeof(config.secrets.aws.region), "eu-central-1");
    snprintf(config.secrets.aws.url, sizeof(config.secrets.aws.url), "%s", stores.secure_url);
    snprintf(config.secrets.aws.ca_path, sizeof(config.secrets.aws.ca_path), "%s", rig_path("right/ca.pem"));
    config.secrets.aws.credentials = CONFIG_AWS_INSTANCE;
    snprintf(config.secrets.aws.metadata_url, sizeof(config.secrets.aws.metadata_url), "%s",
             stores.plain_url);
    pay_with(&config);
    write_key("aws-id", "AKIDEXAMPLE\n");
    write_key("aws-secret", "SECRET/EXAMPLE+1\n");
    config.secrets.aws.credentials = CONFIG_AWS_STATIC;
    snprintf(config.secrets.aws.key_id, sizeof(config.secrets.aws.key_id), "%s", rig_path("aws-id"));
    snprintf(config.secrets.aws.key_secret, sizeof(config.secrets.aws.key_secret), "%s",
             rig_path("aws-secret"));
    pay_with(&config);
    rig_stores_stop(&stores);
}

static void without_a_key_from_its_store_the_role_is_never_ready(void **state)
{
    (void)state;
    struct config config = make_config("127.0.0.1");
    write_key("vault-token", "hvs.token\n");
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "vault:secret/payments/x#key");
    snprintf(config.secrets.vault.url, sizeof(config.secrets.vault.url), "https://127.0.0.1:1");
    snprintf(config.secrets.vault.token, sizeof(config.secrets.vault.token), "%s", rig_path("vault-token"));
    refuses_to_start(&config);
    assert_non_null(strstr(rig_log(), "no key from its store"));
}

/* As a user who may read it; the first read is root's or the tester's. */
static void a_key_file_that_is_replaced_is_read_behind_the_wall(void **state)
{
    (void)state;
    char folder[200], path[256], next[256];
    struct config config = make_config("127.0.0.1");
    struct child child;
    struct role_plain_msg plain;
    snprintf(folder, sizeof(folder), "%s", rig_path("keys"));
    snprintf(path, sizeof(path), "%s/key", folder);
    snprintf(next, sizeof(next), "%s/next", folder);
    assert_int_equal(chmod(rig_path(""), 0711), 0);
    assert_int_equal(mkdir(folder, 0755), 0);
    write_key("keys/key", RIG_API_KEY);
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "%s", path);
    config.gateway.key_max_age_s = 1;
    start(&child, &config);
    assert_true(wait_for(child.control, ROLE_READY, &plain, sizeof(plain)));
    write_key("keys/next", "sk_test_another");
    assert_int_equal(rename(next, path), 0);
    for (unsigned i = 0; i < 60 && !strstr(rig_log(), "the gateway's key was read"); i++)
        usleep(100000);
    assert_non_null(strstr(rig_log(), "the gateway's key was read"));
    assert_int_equal(stop(&child), 0);
}

static struct config make_mapped(const char *url, const char *connector, const char *mapping, const char *key)
{
    struct config config = make_config("127.0.0.1");
    write_key("mapped-key", key);
    snprintf(config.gateway.url, sizeof(config.gateway.url), "%s", url);
    snprintf(config.gateway.connector, sizeof(config.gateway.connector), "%s", connector);
    snprintf(config.gateway.mapping, sizeof(config.gateway.mapping), "%s", mapping);
    snprintf(config.gateway.api_key_path, sizeof(config.gateway.api_key_path), "%s", rig_path("mapped-key"));
    return config;
}

/* JSON and, with libxml2 behind the wall, XML. */
static void a_gateway_without_code_is_paid_behind_the_wall(void **state)
{
    (void)state;
    static const struct {
        const char *dialect, *connector, *mapping, *key;
    } rows[] = {{"tokens", "rest", "gateway/connectors/mappings/tokens-v1.yaml", "bearer:apikey"},
                {"xml", "xml", "gateway/connectors/mappings/xml-post.yaml", "user:password"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct strict_peer peer;
        strict_peer_start(&peer, rows[i].dialect);
        const struct config config = make_mapped(peer.url, rows[i].connector, rows[i].mapping, rows[i].key);
        pay_with(&config);
        assert_int_equal(strict_peer_count(&peer, " charge"), 1);
        strict_peer_stop(&peer);
    }
}

static void a_mapping_that_is_wrong_stops_the_start_and_is_told(void **state)
{
    (void)state;
    static const char *const mappings[] = {"", "/nowhere.yaml", "gateway/connectors/mappings/xml-post.yaml",
                                           "packages.txt"};
    for (size_t i = 0; i < sizeof(mappings) / sizeof(mappings[0]); i++) {
        const struct config config = make_mapped("https://127.0.0.1:1", "rest", mappings[i], "key");
        refuses_to_start(&config);
    }
    assert_non_null(strstr(rig_log(), "packages.txt:"));
}

static void the_connector_can_be_named(void **state)
{
    (void)state;
    struct config config = make_config("127.0.0.1");
    snprintf(config.gateway.connector, sizeof(config.gateway.connector), "nosuch");
    refuses_to_start(&config);
    snprintf(config.gateway.connector, sizeof(config.gateway.connector), "braintree");
    struct child child;
    struct role_plain_msg plain;
    struct gateway_reply_msg reply;
    start(&child, &config);
    assert_true(wait_for(child.control, ROLE_READY, &plain, sizeof(plain)));
    struct gateway_order_msg order = rig_create(7, 1, 555, "tokencc_x");
    ask(&child, &order, sizeof(order), &reply);
    assert_string_equal(reply.order_ref, "cap-aaaaaaaaaaaaaaah-1"); /* as only Braintree's does */
    assert_int_equal(stop(&child), 0);
}

static void the_role_ends_with_its_supervisor(void **state)
{
    (void)state;
    struct config config = make_config("127.0.0.1");
    struct child child;
    struct role_plain_msg plain;
    int status = -1;
    start(&child, &config);
    assert_true(wait_for(child.control, ROLE_READY, &plain, sizeof(plain)));
    close(child.control);
    assert_int_equal(waitpid(child.pid, &status, 0), child.pid);
    assert_int_equal(status, 0);
    close(child.vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_role_pays_behind_its_wall),
        cmocka_unit_test(the_role_looks_names_up_behind_its_wall),
        cmocka_unit_test(an_unknown_host_is_unavailable_and_kills_nothing),
        cmocka_unit_test(a_name_server_that_is_silent_does_not_stop_the_heart),
        cmocka_unit_test(a_live_key_never_meets_the_sandbox),
        cmocka_unit_test(the_role_takes_its_key_out_of_a_store_behind_its_wall),
        cmocka_unit_test(without_a_key_from_its_store_the_role_is_never_ready),
        cmocka_unit_test(a_key_file_that_is_replaced_is_read_behind_the_wall),
        cmocka_unit_test(a_gateway_without_code_is_paid_behind_the_wall),
        cmocka_unit_test(a_mapping_that_is_wrong_stops_the_start_and_is_told),
        cmocka_unit_test(the_connector_can_be_named),
        cmocka_unit_test(the_role_ends_with_its_supervisor),
    };
    /* The children put the wiping heap under their libraries themselves: nothing of them may run here first. */
    rig_prepare();
    rig_sandbox_start(&sandbox, "right", NULL);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_sandbox_stop(&sandbox);
    rig_teardown();
    return failed;
}
