/* Our signature, judged by somebody else: the requests of an AWS Secrets Manager client go to aws-sigv4-verify.js of the
 * shared folder (TONEGATE_SHARED, default ../shared beside the repository), which recomputes it with npm's
 * @smithy/signature-v4. Without the folder, node or npm the test says so and is skipped. */
#include "gateway/sigv4.h"

#include <arpa/inet.h>
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define SKIPPED 77

/* The peer listens on a port of its own choice, which may be taken here. */
#define RUN_PEER                                                                                             \
    "const fs=require('fs'),text=fs.readFileSync(process.argv[1],'utf8').replace('4040',process.argv[2]);"   \
    "new Function('require','console',text)(require,console)"

static char script[600];
static char modules[512];
static pid_t peer;
static in_port_t port;

static int run(const char *const *arguments, const char *folder)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        if (folder && chdir(folder) != 0)
            _exit(127);
        (void)!freopen("/dev/null", "w", stdout);
        execvp(arguments[0], (char *const *)(uintptr_t)arguments);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    return status;
}

static int left_out(const char *why)
{
    printf("skipped: %s\n", why);
    return SKIPPED;
}

static int find_parts(void)
{
    const char *given = getenv("TONEGATE_SHARED");
    char path[600];
    snprintf(script, sizeof(script), "%s/peers/aws-sigv4-verify.js", given ? given : "../shared");
    if (access(script, R_OK) != 0)
        return left_out("no peers/aws-sigv4-verify.js in TONEGATE_SHARED");
    if (run((const char *const[]){"node", "--version", NULL}, NULL) != 0)
        return left_out("no node");
    snprintf(modules, sizeof(modules), "%s", TEST_NODE_FOLDER);
    mkdir(modules, 0755);
    snprintf(path, sizeof(path), "%s/node_modules/@smithy/signature-v4/package.json", modules);
    if (access(path, R_OK) != 0 &&
        (run((const char *const[]){"npm", "install", "--no-audit", "--no-fund", "--silent",
                                   "@smithy/signature-v4", "@aws-crypto/sha256-js", NULL},
             modules) != 0 ||
         access(path, R_OK) != 0))
        return left_out("npm cannot install @smithy/signature-v4 and @aws-crypto/sha256-js");
    return 0;
}

static in_port_t free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int start_peer(void **state)
{
    (void)state;
    char number[8];
    char line[64] = "";
    int ends[2];
    char *from = realpath(script, NULL);
    assert_non_null(from);
    port = free_port();
    snprintf(number, sizeof(number), "%u", port);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    peer = fork();
    if (peer == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], STDOUT_FILENO);
        if (chdir(modules) == 0)
            execlp("node", "node", "-e", RUN_PEER, from, number, NULL);
        _exit(127);
    }
    free(from);
    close(ends[1]);
    struct pollfd ready = {ends[0], POLLIN, 0};
    assert_int_equal(poll(&ready, 1, 30000), 1);
    assert_true(read(ends[0], line, sizeof(line) - 1) > 0);
    assert_memory_equal(line, "up", 2);
    return 0;
}

static int stop_peer(void **state)
{
    (void)state;
    kill(peer, SIGTERM);
    waitpid(peer, NULL, 0);
    return 0;
}

static unsigned send_raw(const struct connector_request *request)
{
    char head[4096], answer[1024];
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    size_t length = secret_length(request->body);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    int size = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n",
                        request->method, request->path, request->host);
    for (const char *line = request->headers; *line; line = strchr(line, '\n') + 1)
        size +=
            snprintf(head + size, sizeof(head) - (size_t)size, "%.*s\r\n", (int)strcspn(line, "\n"), line);
    size += snprintf(head + size, sizeof(head) - (size_t)size, "Content-Length: %zu\r\n\r\n", length);
    assert_int_equal(write(fd, head, (size_t)size), size);
    assert_int_equal(write(fd, secret_bytes(request->body), length), length);
    ssize_t got = read(fd, answer, sizeof(answer) - 1);
    assert_true(got > 0);
    answer[got] = '\0';
    close(fd);
    assert_memory_equal(answer, "HTTP/1.1 ", 9);
    return (unsigned)strtoul(answer + 9, NULL, 10);
}

enum damage { NO_DAMAGE, OTHER_BODY, OTHER_TARGET, OTHER_HOST };

static unsigned ask(const char *credentials, enum damage damage)
{
    static const char body[] = "{\"SecretId\":\"gateway\",\"VersionStage\":\"AWSCURRENT\"}";
    struct connector_request request = {.method = "POST", .path = "/", .now_s = time(NULL)};
    struct sigv4_key key;
    assert_int_equal(secret_new(&request.body, 256), OK);
    for (const char *c = body; *c; c++)
        assert_int_equal(secret_append(request.body, (uint8_t)*c), OK);
    snprintf(request.host, sizeof(request.host), "127.0.0.1:%u", port);
    assert_int_equal(connector_header(&request, "Content-Type", "application/x-amz-json-1.1"), OK);
    assert_int_equal(connector_header(&request, "X-Amz-Target", "secretsmanager.GetSecretValue"), OK);
    assert_int_equal(sigv4_key_read(&key, (const uint8_t *)credentials, strlen(credentials)), OK);
    assert_int_equal(sigv4_sign(&request, &key, "us-east-1", "secretsmanager"), OK);
    if (damage == OTHER_BODY)
        assert_int_equal(secret_append(request.body, ' '), OK);
    if (damage == OTHER_TARGET)
        *strstr(request.headers, "GetSecret") = 'g';
    if (damage == OTHER_HOST)
        snprintf(request.host, sizeof(request.host), "127.0.0.2");
    unsigned status = send_raw(&request);
    secret_free(request.body);
    return status;
}

static void a_request_is_recognised_with_and_without_a_session_token(void **state)
{
    (void)state;
    assert_int_equal(ask("AKIDEXAMPLE:SECRETEXAMPLE", NO_DAMAGE), 200);
    assert_int_equal(ask("AKIDEXAMPLE:SECRETEXAMPLE:SESSIONTOKEN/with+signs==", NO_DAMAGE), 200);
}

static void a_wrong_key_or_a_changed_request_is_refused(void **state)
{
    (void)state;
    assert_int_equal(ask("AKIDEXAMPLE:SECRETEXAMPLf", NO_DAMAGE), 403);
    assert_int_equal(ask("AKIDEXAMPLE:SECRETEXAMPLE", OTHER_BODY), 403);
    assert_int_equal(ask("AKIDEXAMPLE:SECRETEXAMPLE", OTHER_TARGET), 403);
    assert_int_equal(ask("AKIDEXAMPLE:SECRETEXAMPLE", OTHER_HOST), 403);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_recognised_with_and_without_a_session_token),
        cmocka_unit_test(a_wrong_key_or_a_changed_request_is_refused),
    };
    int skipped = find_parts();
    return skipped ? skipped : cmocka_run_group_tests(tests, start_peer, stop_peer);
}
