/* The supervisor with roles of the test's own: the same program started as `role NAME` plays a role that does what
 * files in a scratch folder tell it (NAME.die, NAME.hang, NAME.refuse) and leaves NAME.seen behind. */
#include "base/clock.h"
#include "base/log.h"
#include "base/role.h"
#include "proxy/supervisor/supervisor.h"

#include "base/tests/cmocka_all.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTART_MS_MAX 2000 /* P4 */

/* --- a role --- */

static bool exists(const char *folder, const char *role, const char *what)
{
    char path[LIMIT_PATH_BYTES * 2];
    snprintf(path, sizeof(path), "%s/%s.%s", folder, role, what);
    return access(path, F_OK) == 0;
}

static void append(const char *folder, const char *role, const char *text)
{
    char path[LIMIT_PATH_BYTES * 2];
    snprintf(path, sizeof(path), "%s/%s.seen", folder, role);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd >= 0) {
        ssize_t ignored = write(fd, text, strlen(text));
        (void)ignored;
        close(fd);
    }
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    if (folder)
        closedir(folder);
    return count - 3; /* ".", ".." and the folder's own */
}

static int play_role(const char *name)
{
    enum role role = ROLE_PROXY;
    while (role < ROLE_COUNT && strcmp(role_name(role), name) != 0)
        role++;
    struct role_context context;
    if (role == ROLE_COUNT || role_receive(&context, role, 3) != OK)
        return 9;
    const char *folder = context.config->recorder.directory;
    char line[LIMIT_PATH_BYTES * 2];
    size_t sockets = 0;
    for (size_t kind = 0; kind < HERITAGE_KINDS; kind++)
        sockets += context.heritage_count[kind];
    struct rlimit core;
    getrlimit(RLIMIT_CORE, &core);
    snprintf(line, sizeof(line), "start generation=%u sockets=%zu surplus=%d core=%u\n", context.generation,
             sockets, (int)open_descriptors() - (int)sockets - 4, (unsigned)core.rlim_cur);
    append(folder, name, line);
    for (char **variable = environ; *variable; variable++) {
        snprintf(line, sizeof(line), "variable %.*s.\n", (int)strcspn(*variable, "="), *variable);
        append(folder, name, line);
    }
    append(folder, name, "variables end\n");
    if (exists(folder, name, "refuse"))
        return 5;
    if (role_ready(&context) != OK)
        return 8;
    for (;;) {
        while (exists(folder, name, "hang"))
            usleep(10000);
        if (exists(folder, name, "die")) {
            snprintf(line, sizeof(line), "%s/%s.die", folder, name);
            unlink(line);
            raise(SIGKILL);
        }
        role_beat(&context);
        struct pollfd wait = {.fd = context.control_fd, .events = POLLIN};
        poll(&wait, 1, 50);
        struct role_event event;
        enum err err = role_control_read(&context, &event);
        if (err == ERR_PEER_GONE || (err == OK && event.kind == ROLE_EVENT_STOP))
            return 0;
        if (err == OK && event.kind == ROLE_EVENT_LINK) {
            snprintf(line, sizeof(line), "link %s\n", role_name(event.peer));
            append(folder, name, line);
            close(event.fd);
        } else if (err == OK && event.kind == ROLE_EVENT_DRAIN) {
            append(folder, name, "drain\n");
            if (role == ROLE_PROXY)
                role_idle(&context);
        }
    }
}

/* --- the test's side --- */

struct service {
    char folder[64];
    const char *api_key_file; /* NULL: none */
    const char *webhook_key;  /* NULL: none */
    pid_t pid;                /* of the supervisor; 0 once it has ended */
    pid_t group;              /* its and its roles' */
};

static unsigned free_port(void)
{
    /* Below the kernel's ephemeral range; moved on by process, so that tests run beside each other. */
    static unsigned next;
    if (!next)
        next = 12000 + (unsigned)getpid() % 1000 * 16;
    return next += 8;
}

static void write_config(const struct service *service, char *text, size_t capacity)
{
    unsigned rtp = free_port();
    snprintf(text, capacity,
             "log: {format: text, level: error}\n"
             "sip:\n"
             "  listen: [{transport: udp, address: '127.0.0.1:%u'}]\n"
             "  calls_max: 1\n"
             "  trunks:\n"
             "    carrier: {allow: ['127.0.0.2'], target: '127.0.0.2:5060'}\n"
             "    contact_centre: {allow: ['127.0.0.3'], target: '127.0.0.3:5060'}\n"
             "media: {address: '127.0.0.1', ports: '%u-%u'}\n"
             "recorder: {directory: '%s'}\n"
             "gateway: {url: 'https://127.0.0.1', api_key_file: '%s', sandbox: true}\n"
             "desk: {listen: '127.0.0.1:%u', certificate: none, key: none, database: none, audit: none,\n"
             "       tokens: [{name: a, file: none}],\n"
             "       webhooks: [{vendor: stripe, keys: [none, '%s']}]}\n",
             free_port(), rtp, rtp + 3, service->folder,
             service->api_key_file ? service->api_key_file : "none", free_port(),
             service->webhook_key ? service->webhook_key : "none");
}

static void start_service(struct service *service)
{
    char text[2048];
    write_config(service, text, sizeof(text));
    service->pid = fork();
    if (service->pid == 0) {
        setpgid(0, 0);
        struct config config;
        char message[CONFIG_ERROR_BYTES];
        if (config_parse(&config, "test", text, strlen(text), message)) {
            fprintf(stderr, "%s\n", message);
            _exit(99);
        }
        log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_ERROR, "supervisor");
        _exit(supervisor_run(&config, text, strlen(text), 4096));
    }
    assert_true(service->pid > 0);
    setpgid(service->pid, service->pid); /* whoever is first */
    service->group = service->pid;
}

static int make_service(void **state)
{
    struct service *service = calloc(1, sizeof(*service));
    if (!service)
        return -1;
    snprintf(service->folder, sizeof(service->folder), "/tmp/tonegate-supervisor-XXXXXX");
    if (!mkdtemp(service->folder))
        return -1;
    *state = service;
    return 0;
}

static int end_service(void **state)
{
    struct service *service = *state;
    /* A role that still lives would write into the folder while it goes. Orphans are ours: see main(). */
    if (service->group)
        kill(-service->group, SIGKILL);
    while (waitpid(-1, NULL, 0) > 0)
        continue;
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", service->folder);
    int result = system(command);
    free(service);
    return result;
}

static void tell(const struct service *service, const char *role, const char *what)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s.%s", service->folder, role, what);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    close(fd);
}

static void untell(const struct service *service, const char *role, const char *what)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s.%s", service->folder, role, what);
    unlink(path);
}

static unsigned count_seen(const struct service *service, const char *role, const char *what)
{
    char path[128];
    char text[4096];
    snprintf(path, sizeof(path), "%s/%s.seen", service->folder, role);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t length = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[length > 0 ? length : 0] = '\0';
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

static int64_t wait_until_seen(const struct service *service, const char *role, const char *what,
                               unsigned count)
{
    struct mono_time begun = mono_now();
    while (count_seen(service, role, what) < count) {
        if (mono_elapsed_ms(begun, mono_now()) > 15000)
            fail_msg("%s never said \"%s\" %u times", role, what, count);
        usleep(5000);
    }
    return mono_elapsed_ms(begun, mono_now());
}

static const char *const names[] = {"proxy", "vault", "gateway", "desk"};

static void wait_for_all(const struct service *service)
{
    for (size_t i = 0; i < 4; i++)
        wait_until_seen(service, names[i], "start", 1);
    wait_until_seen(service, "proxy", "link vault", 1);
    wait_until_seen(service, "vault", "link proxy", 1);
}

static int end_status(struct service *service)
{
    int status = 0;
    waitpid(service->pid, &status, 0);
    service->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void every_role_gets_its_sockets_and_nothing_else(void **state)
{
    struct service *service = *state;
    start_service(service);
    wait_for_all(service);
    assert_int_equal(count_seen(service, "proxy", "sockets=6 "), 1); /* 1 SIP, 4 RTP, 1 call table */
    assert_int_equal(count_seen(service, "desk", "sockets=1 "), 1);
    assert_int_equal(count_seen(service, "vault", "sockets=0 "), 1);
    assert_int_equal(count_seen(service, "gateway", "sockets=0 "), 1);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(count_seen(service, names[i], "surplus=0 core=0"), 1);
}

static void a_role_that_dies_is_back_within_two_seconds_and_its_peers_get_new_links(void **state)
{
    struct service *service = *state;
    start_service(service);
    wait_for_all(service);
    for (size_t i = 0; i < 4; i++) {
        unsigned before = count_seen(service, names[i], "start");
        tell(service, names[i], "die");
        assert_true(wait_until_seen(service, names[i], "start", before + 1) < RESTART_MS_MAX);
    }
    assert_int_equal(count_seen(service, "vault", "generation=1"), 1);
    wait_until_seen(service, "gateway", "link vault", 2);
    wait_until_seen(service, "desk", "link proxy", 2);
}

static void a_hanging_role_is_killed_and_restarted_within_two_seconds(void **state)
{
    struct service *service = *state;
    start_service(service);
    wait_for_all(service);
    usleep(300000);
    tell(service, "vault", "hang");
    struct mono_time begun = mono_now();
    wait_until_seen(service, "vault", "start", 2);
    int64_t took_ms = mono_elapsed_ms(begun, mono_now());
    assert_true(took_ms >= LIMIT_HANG_MS - 300);
    assert_true(took_ms < RESTART_MS_MAX);
    untell(service, "vault", "hang");
}

static void stop_ends_every_role_and_says_zero(void **state)
{
    struct service *service = *state;
    start_service(service);
    wait_for_all(service);
    kill(service->pid, SIGTERM);
    assert_int_equal(end_status(service), 0);
}

static void drain_reaches_the_roles_and_ends_when_the_proxy_is_idle(void **state)
{
    struct service *service = *state;
    start_service(service);
    wait_for_all(service);
    kill(service->pid, SIGUSR1);
    assert_int_equal(end_status(service), 0);
    assert_int_equal(count_seen(service, "proxy", "drain"), 1);
    assert_int_equal(count_seen(service, "desk", "drain"), 1);
}

static void a_role_that_cannot_start_ends_the_service_with_an_error(void **state)
{
    struct service *service = *state;
    tell(service, "gateway", "refuse");
    start_service(service);
    assert_int_equal(end_status(service), 1);
}

static void only_the_gateway_gets_what_its_key_is_in(void **state)
{
    struct service *service = *state;
    setenv("CREDENTIALS_DIRECTORY", "/run/credentials/test", 1);
    setenv("TEST_GATEWAY_KEY", "sk_test_x", 1);
    setenv("TEST_GATEWAY_KEY_OLD", "sk_test_y", 1);
    setenv("https_proxy", "http://127.0.0.1:9", 1);
    service->api_key_file = "env:TEST_GATEWAY_KEY";
    start_service(service);
    for (size_t i = 0; i < 4; i++) {
        wait_until_seen(service, names[i], "variables end", 1);
        unsigned expected = strcmp(names[i], "gateway") == 0;
        assert_int_equal(count_seen(service, names[i], "variable CREDENTIALS_DIRECTORY."), expected);
        assert_int_equal(count_seen(service, names[i], "variable TEST_GATEWAY_KEY."), expected);
        assert_int_equal(count_seen(service, names[i], "variable TEST_GATEWAY_KEY_OLD."), 0);
        assert_int_equal(count_seen(service, names[i], "variable https_proxy."), 0);
        assert_int_equal(count_seen(service, names[i], "variable PATH."), 1);
    }
    tell(service, "gateway", "die"); /* its successor finds the key too */
    wait_until_seen(service, "gateway", "variables end", 2);
    assert_int_equal(count_seen(service, "gateway", "variable TEST_GATEWAY_KEY."), 2);
}

static void only_the_desk_gets_what_the_keys_of_webhooks_are_in(void **state)
{
    struct service *service = *state;
    setenv("CREDENTIALS_DIRECTORY", "/run/credentials/test", 1);
    setenv("TEST_WEBHOOK_KEY", "whsec_x", 1);
    service->webhook_key = "env:TEST_WEBHOOK_KEY";
    start_service(service);
    for (size_t i = 0; i < 4; i++) {
        wait_until_seen(service, names[i], "variables end", 1);
        assert_int_equal(count_seen(service, names[i], "variable TEST_WEBHOOK_KEY."),
                         strcmp(names[i], "desk") == 0);
        assert_int_equal(count_seen(service, names[i], "variable CREDENTIALS_DIRECTORY."),
                         strcmp(names[i], "gateway") == 0); /* nothing of the desk's lies there */
    }
}

static void a_key_in_a_file_needs_no_variable(void **state)
{
    struct service *service = *state;
    setenv("TEST_GATEWAY_KEY", "sk_test_x", 1);
    service->api_key_file = "file:TEST_GATEWAY_KEY";
    start_service(service);
    wait_until_seen(service, "gateway", "variables end", 1);
    assert_int_equal(count_seen(service, "gateway", "variable TEST_GATEWAY_KEY."), 0);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "role") == 0)
        return play_role(argv[2]);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_role_gets_its_sockets_and_nothing_else, make_service,
                                        end_service),
        cmocka_unit_test_setup_teardown(
            a_role_that_dies_is_back_within_two_seconds_and_its_peers_get_new_links, make_service,
            end_service),
        cmocka_unit_test_setup_teardown(a_hanging_role_is_killed_and_restarted_within_two_seconds,
                                        make_service, end_service),
        cmocka_unit_test_setup_teardown(stop_ends_every_role_and_says_zero, make_service, end_service),
        cmocka_unit_test_setup_teardown(drain_reaches_the_roles_and_ends_when_the_proxy_is_idle, make_service,
                                        end_service),
        cmocka_unit_test_setup_teardown(a_role_that_cannot_start_ends_the_service_with_an_error, make_service,
                                        end_service),
        cmocka_unit_test_setup_teardown(only_the_gateway_gets_what_its_key_is_in, make_service, end_service),
        cmocka_unit_test_setup_teardown(only_the_desk_gets_what_the_keys_of_webhooks_are_in, make_service,
                                        end_service),
        cmocka_unit_test_setup_teardown(a_key_in_a_file_needs_no_variable, make_service, end_service),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
