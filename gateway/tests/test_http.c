/* What the HTTPS client does only where it is configured to: a tunnel through a proxy, a certificate of our own; and
 * what a charge costs on a connection that stands, counted in turns between the two ends. */
#include "gateway/http.h"
#include "gateway/tests/fake/fake_gateway.h"
#include "gateway/tests/rig.h"
#include "gateway/wipe_heap.h"

#include <fcntl.h>
#include <poll.h>
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

#define CARD "4000056655665556"

static struct fake fake;
static struct rig rig;
static uint64_t next_capture = 1;

static enum gateway_outcome tokenise(void)
{
    struct gateway_tokenise_msg message = rig_tokenise(next_capture++, 1, CARD);
    return rig_ask(&rig, &message)->outcome;
}

static void close_rig(void)
{
    rig_close(&rig);
    fake_stop(&fake);
}

/* --- a tunnel --- */

struct tunnel {
    pid_t pid;
    int out;
    char url[64];
    char said[4096];
};

static bool tunnel_start(struct tunnel *tunnel)
{
    int ends[2];
    unsigned port = 0;
    memset(tunnel, 0, sizeof(*tunnel));
    if (pipe2(ends, O_CLOEXEC) != 0)
        return false;
    tunnel->pid = fork();
    if (tunnel->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        execlp("python3", "python3", TEST_TUNNEL, "turns", NULL);
        _exit(127);
    }
    close(ends[1]);
    tunnel->out = ends[0];
    ssize_t length = read(tunnel->out, tunnel->said, sizeof(tunnel->said) - 1);
    if (length <= 0 || sscanf(tunnel->said, "listening on %u", &port) != 1)
        return false;
    snprintf(tunnel->url, sizeof(tunnel->url), "http://127.0.0.1:%u", port);
    return true;
}

static void tunnel_stop(struct tunnel *tunnel)
{
    kill(tunnel->pid, SIGKILL);
    waitpid(tunnel->pid, NULL, 0);
    close(tunnel->out);
}

/* Everything it said in the meantime; waits until nothing more comes for 100 ms. */
static const char *tunnel_said(struct tunnel *tunnel)
{
    size_t length = 0;
    struct pollfd ready = {tunnel->out, POLLIN, 0};
    while (poll(&ready, 1, 100) == 1) {
        ssize_t count = read(tunnel->out, tunnel->said + length, sizeof(tunnel->said) - 1 - length);
        if (count <= 0)
            break;
        length += (size_t)count;
    }
    tunnel->said[length] = '\0';
    return tunnel->said;
}

static unsigned count_of(const char *text, const char *what)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static bool open_through(struct tunnel *tunnel)
{
    if (!tunnel_start(tunnel)) {
        tunnel_stop(tunnel);
        return false;
    }
    fake_start(&fake, FAKE_RIGHT, 0, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    snprintf(settings.proxy, sizeof(settings.proxy), "%s", tunnel->url);
    rig_open(&rig, &settings);
    return true;
}

static void a_charge_on_a_warm_connection_is_one_turn(void **state)
{
    (void)state;
    struct tunnel tunnel;
    if (!open_through(&tunnel))
        skip(); /* no python3 */
    assert_int_equal(tokenise(), GATEWAY_DONE);
    unsigned cold = count_of(tunnel_said(&tunnel), "turns ");
    assert_true(cold >= 2); /* TLS shakes hands first: the count is no constant */
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(tokenise(), GATEWAY_DONE);
        assert_int_equal(count_of(tunnel_said(&tunnel), "turns "), 1);
    }
    assert_int_equal(fake.counts->connections, 1);
    assert_int_equal(fake.counts->requests, 6);
    close_rig();
    tunnel_stop(&tunnel);
}

static void a_proxy_sees_where_to_and_nothing_else(void **state)
{
    (void)state;
    struct tunnel tunnel;
    char line[128];
    if (!open_through(&tunnel))
        skip();
    assert_int_equal(tokenise(), GATEWAY_DONE);
    snprintf(line, sizeof(line), "tunnel %s ", fake.url + strlen("https://"));
    close_rig();
    const char *said = strstr(tunnel_said(&tunnel), line);
    assert_non_null(said);
    unsigned turns = 0, leaks = 1;
    assert_int_equal(sscanf(said + strlen(line), "%u %u", &turns, &leaks), 2);
    assert_int_equal(leaks, 0);
    tunnel_stop(&tunnel);
}

static void without_one_configured_the_environment_s_is_not_used(void **state)
{
    (void)state;
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < 4; i++)
        setenv(names[i], "http://127.0.0.1:1", 1);
    fake_start(&fake, FAKE_RIGHT, 0, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    rig_open(&rig, &settings);
    assert_int_equal(tokenise(), GATEWAY_DONE);
    close_rig();
    for (size_t i = 0; i < 4; i++)
        unsetenv(names[i]);
    /* One that is configured and away: nothing goes round it. */
    fake_start(&fake, FAKE_RIGHT, 0, rig_path("right"));
    settings = rig_settings(fake.url);
    settings.retries = 0;
    snprintf(settings.proxy, sizeof(settings.proxy), "http://127.0.0.1:1");
    rig_open(&rig, &settings);
    assert_int_equal(tokenise(), GATEWAY_UNAVAILABLE);
    assert_int_equal(fake.counts->connections, 0);
    struct gateway_step_msg step = rig_step(GATEWAY_CONFIRM, next_capture++, 1, 1999, "pm_x", "pi_y");
    assert_int_equal(rig_ask(&rig, &step)->outcome, GATEWAY_UNAVAILABLE); /* certainly not sent */
    close_rig();
}

/* --- our certificate --- */

static enum gateway_outcome tokenise_with(const char *folder)
{
    char certificate[80], key[80];
    fake_start(&fake, FAKE_WANTS_CERTIFICATE, 0, rig_path("right"));
    struct step_settings settings = rig_settings(fake.url);
    settings.retries = 0;
    if (folder) {
        snprintf(certificate, sizeof(certificate), "%s/client.pem", folder);
        snprintf(key, sizeof(key), "%s/client.key", folder);
        snprintf(settings.certificate_path, sizeof(settings.certificate_path), "%s", rig_path(certificate));
        snprintf(settings.certificate_key_path, sizeof(settings.certificate_key_path), "%s", rig_path(key));
    }
    rig_open(&rig, &settings);
    enum gateway_outcome outcome = tokenise();
    assert_int_equal(fake.counts->cards, outcome == GATEWAY_DONE);
    close_rig();
    return outcome;
}

static void a_gateway_that_wants_our_certificate_gets_it_and_no_other_will_do(void **state)
{
    (void)state;
    assert_int_equal(tokenise_with("right"), GATEWAY_DONE);
    assert_int_equal(tokenise_with("stranger"), GATEWAY_UNAVAILABLE);
    assert_int_equal(tokenise_with(NULL), GATEWAY_UNAVAILABLE);
}

static void a_certificate_that_cannot_be_read_stops_the_start(void **state)
{
    (void)state;
    struct http_client *client;
    struct event_base *base = event_base_new();
    char certificate[256], key[256];
    snprintf(certificate, sizeof(certificate), "%s", rig_path("right/client.pem"));
    snprintf(key, sizeof(key), "%s", rig_path("right/client.key"));
    struct http_client_settings settings = {.certificate_path = certificate, .key_path = key};
    assert_int_equal(http_client_open(&client, base, &settings), OK);
    http_client_free(client);
    settings.key_path = "/nowhere";
    assert_int_equal(http_client_open(&client, base, &settings), ERR_SYSTEM);
    settings = (struct http_client_settings){.certificate_path = "/nowhere", .key_path = key};
    assert_int_equal(http_client_open(&client, base, &settings), ERR_SYSTEM);
    assert_null(client);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_charge_on_a_warm_connection_is_one_turn),
        cmocka_unit_test(a_proxy_sees_where_to_and_nothing_else),
        cmocka_unit_test(without_one_configured_the_environment_s_is_not_used),
        cmocka_unit_test(a_gateway_that_wants_our_certificate_gets_it_and_no_other_will_do),
        cmocka_unit_test(a_certificate_that_cannot_be_read_stops_the_start),
    };
    rig_setup();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rig_teardown();
    return failed;
}
