/* What is sent to Genesys Cloud, shown to a mock of the vendor's own description (prism on genesys-slim.json in specs/ of
 * TONEGATE_SHARED, default ../shared beside the repository). It has no recordingstate, which test_hooks covers with a
 * server of its own. Without node, npm or the description the test says so and is skipped. */
#include "gateway/platforms/genesys.h"
#include "gateway/platforms/hook_body.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77
#define PRISM   TEST_NODE_FOLDER "/node_modules/.bin/prism"

static uint16_t port;
static pid_t peer;
static char spec[600];

static int left_out(const char *why)
{
    printf("skipped: %s\n", why);
    return SKIPPED;
}

static int find_parts(void)
{
    const char *given = getenv("TONEGATE_SHARED");
    snprintf(spec, sizeof(spec), "%s/specs/genesys-slim.json", given ? given : "../shared");
    if (access(spec, R_OK) != 0)
        return left_out("no specs/genesys-slim.json in TONEGATE_SHARED");
    if (system("node --version >/dev/null 2>&1") != 0)
        return left_out("no node");
    mkdir(TEST_NODE_FOLDER, 0755);
    if (access(PRISM, X_OK) != 0 &&
        system("cd " TEST_NODE_FOLDER " && npm install --no-audit --no-fund --silent @stoplight/prism-cli "
               ">/dev/null 2>&1") != 0)
        return left_out("npm cannot install @stoplight/prism-cli");
    return 0;
}

static int connect_to_peer(void)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int start_peer(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    char port_text[8];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(fd, (struct sockaddr *)&address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        return left_out("no free port");
    port = ntohs(address.sin_port);
    close(fd);
    snprintf(port_text, sizeof(port_text), "%u", port);
    peer = fork();
    if (peer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)!freopen("/dev/null", "w", stdout);
        (void)!freopen("/dev/null", "w", stderr);
        execl(PRISM, "prism", "mock", "--errors", "-h", "127.0.0.1", "-p", port_text, spec, (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 300; i++) {
        int there = connect_to_peer();
        if (there >= 0) {
            close(there);
            return 0;
        }
        usleep(100000);
    }
    return left_out("prism does not start");
}

/* The status a request is answered with. */
static int shown(const char *method, const char *path, const char *body, const char *authorization)
{
    char text[4096];
    int fd = connect_to_peer();
    assert_true(fd >= 0);
    int length =
        snprintf(text, sizeof(text),
                 "%s %s HTTP/1.1\r\nHost: api.mypurecloud.com\r\n%sContent-Type: application/json\r\n"
                 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s",
                 method, path, authorization, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)length), length);
    ssize_t got = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(got > 12);
    text[got] = '\0';
    return atoi(text + 9);
}

static void attributes_are_as_the_vendors_description_has_them(void **state)
{
    static const char bearer[] = "Authorization: Bearer access-1\r\n";
    struct hook_send_msg hook = {.amount_minor = 4250,
                                 .currency = "EUR",
                                 .kind = HOOK_ATTRIBUTES,
                                 .target = HOOK_TARGET_PLATFORM,
                                 .status = HOOK_STATUS_CONFIRMED,
                                 .conversation = "conversation-1",
                                 .participant = "participant-1",
                                 .payment_ref = "pi_1"};
    struct genesys_request request;
    (void)state;
    MSG_INIT(&hook, HOOK_SEND, 1);
    assert_int_equal(genesys_build(&hook, CONFIG_RECORDING_STATE, &request), OK);
    request.body[request.length] = '\0';
    int status = shown(request.method, request.path, (const char *)request.body, bearer);
    if (status < 200 || status > 299)
        fail_msg("%d: %s %s %s", status, request.method, request.path, (const char *)request.body);
    /* Planted: what the description does not allow is refused, so the check can see. */
    assert_int_equal(shown("PATCH", request.path, "{\"attributes\":[\"x\"]}", bearer) / 100, 4);
    assert_int_equal(shown("PATCH", request.path, "{\"attributes\":{\"x\":{}}}", bearer) / 100, 4);
    assert_int_equal(shown("PUT", request.path, (const char *)request.body, bearer) / 100, 4);
    assert_int_equal(shown("PATCH", "/api/v2/conversations/x/nothing", "{}", bearer) / 100, 4);
    assert_int_equal(shown("PATCH", request.path, (const char *)request.body, "") / 100, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(attributes_are_as_the_vendors_description_has_them)};
    int missing = find_parts();
    if (!missing)
        missing = start_peer();
    int failed = missing ? missing : cmocka_run_group_tests(tests, NULL, NULL);
    if (peer > 0) {
        kill(peer, SIGKILL);
        waitpid(peer, NULL, 0);
    }
    return failed;
}
