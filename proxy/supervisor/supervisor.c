#include "proxy/supervisor/supervisor.h"

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/msg.h"
#include "base/role.h"
#include "base/role_msg.h"
#include "proxy/supervisor/heritage.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CONTROL_FD     3
#define LOOP_MS        50
#define STALL_MS       250   /* a turn that took so long was the machine's doing, not a role's */
#define START_MS       10000 /* from start to READY; opening a database or a large port pool takes time */
#define BURST_WINDOW_S 60
#define BURST_WAIT_MS  1000

struct child {
    pid_t pid; /* 0: not running */
    int control_fd;
    unsigned generation;
    bool is_ready;
    bool was_ever_ready;
    struct mono_time started;
    struct mono_time last_beat;
    struct mono_time restart_at;
    struct mono_time burst_start;
    unsigned burst;
};

struct supervisor {
    const struct config *config;
    struct heritage_store heritage;
    struct child children[ROLE_COUNT];
    int signal_fd;
    bool is_stopping;
    bool is_draining;
    bool has_announced;
    bool has_failed;
    struct mono_time stop_deadline;
    struct mono_time drain_deadline;
    struct mono_time last_turn;
};

/* Who talks to whom (design: proxy-vault digits and mask orders, proxy-desk status, vault-desk, vault-gateway, and
 * desk-gateway for what comes after the card). */
static const enum role links[][2] = {{ROLE_PROXY, ROLE_VAULT},
                                     {ROLE_PROXY, ROLE_DESK},
                                     {ROLE_VAULT, ROLE_DESK},
                                     {ROLE_VAULT, ROLE_GATEWAY},
                                     {ROLE_DESK, ROLE_GATEWAY}};
#define LINK_COUNT (sizeof(links) / sizeof(links[0]))

static const enum role start_order[] = {ROLE_VAULT, ROLE_GATEWAY, ROLE_DESK, ROLE_PROXY};
#define START_COUNT (sizeof(start_order) / sizeof(start_order[0]))

/* "NAME=value" of our own environment, not copied; NULL when it is not there. */
static char *own_variable(const char *name)
{
    size_t length = strlen(name);
    for (char **variable = environ; length > 0 && *variable; variable++) {
        if (strncmp(*variable, name, length) == 0 && (*variable)[length] == '=')
            return *variable;
    }
    return NULL;
}

/* What the configuration refers to for this role, one after the other; NULL: no more. */
static const char *secret_reference(enum role role, const struct config *config, size_t index)
{
    if (role == ROLE_GATEWAY)
        return config_gateway_secret(config, index);
    if (role != ROLE_DESK)
        return NULL;
    size_t webhook = index / LIMIT_WEBHOOK_KEYS;
    return webhook < config->desk.webhook_count
               ? config->desk.webhooks[webhook].key_paths[index % LIMIT_WEBHOOK_KEYS]
               : NULL;
}

#define REFERENCES_MAX (LIMIT_WEBHOOKS * LIMIT_WEBHOOK_KEYS)

/* Only what changes how a role runs, nothing that could carry a secret or a proxy address in: but a role that has
 * secrets by reference gets the variables that its own references name
 * (and CREDENTIALS_DIRECTORY, where one of them lies there), and nobody else does. */
static char *const *child_environment(enum role role, const struct config *config)
{
    static const char *const kept[] = {"TONEGATE_CPU", "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS",
                                       "LSAN_OPTIONS"};
    static const char variable_prefix[] = "env:";
    static char path[] = "PATH=/usr/bin:/bin";
    static char *environment[sizeof(kept) / sizeof(kept[0]) + REFERENCES_MAX + 3];
    const size_t prefix_length = sizeof(variable_prefix) - 1;
    size_t count = 0;
    environment[count++] = path;
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        environment[count] = own_variable(kept[i]);
        count += environment[count] != NULL;
    }
    bool has_credential = role == ROLE_GATEWAY;
    const char *reference;
    for (size_t i = 0; i < REFERENCES_MAX && (reference = secret_reference(role, config, i)); i++) {
        has_credential = has_credential || strncmp(reference, "credential:", 11) == 0;
        if (strncmp(reference, variable_prefix, prefix_length) != 0)
            continue;
        environment[count] = own_variable(reference + prefix_length);
        count += environment[count] != NULL;
    }
    environment[count] = has_credential ? own_variable("CREDENTIALS_DIRECTORY") : NULL;
    count += environment[count] != NULL;
    environment[count] = NULL;
    return environment;
}

static _Noreturn void become_role(enum role role, const struct config *config, int control_fd)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    /* Ctrl-C in a terminal reaches the whole group: only the supervisor answers it. */
    signal(SIGINT, SIG_IGN);
    int null_fd = open("/dev/null", O_RDWR);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0 ||
        dup2(control_fd, CONTROL_FD) < 0)
        _exit(127);
    if (control_fd == CONTROL_FD && fcntl(CONTROL_FD, F_SETFD, 0) != 0)
        _exit(127);
    if (close_range(CONTROL_FD + 1, ~0U, 0) != 0)
        _exit(127);
    char name[16];
    snprintf(name, sizeof(name), "%s", role_name(role));
    char program[] = "tonegate";
    char verb[] = "role";
    char *arguments[] = {program, verb, name, NULL};
    execve("/proc/self/exe", arguments, child_environment(role, config));
    _exit(127);
}

/* A fresh pair: one end with the role's heritage, the other to the peer that runs already. */
static enum err send_link(int control_fd, enum role peer, int fd)
{
    struct role_link_msg link = {.peer = peer};
    MSG_INIT(&link, ROLE_LINK, 0);
    enum err err = msg_send_fds(control_fd, &link, sizeof(link), &fd, 1);
    close(fd);
    return err;
}

static void make_links(struct supervisor *supervisor, enum role role)
{
    for (size_t i = 0; i < LINK_COUNT; i++) {
        if (links[i][0] != role && links[i][1] != role)
            continue;
        enum role peer = links[i][0] == role ? links[i][1] : links[i][0];
        if (supervisor->children[peer].pid == 0)
            continue; /* it makes the link when it starts */
        int ends[2];
        if (msg_pair(ends)) {
            log_event(LOG_ERROR, "no link between roles: out of descriptors",
                      LOG_CONSTANT("role", role_name(role)));
            continue;
        }
        enum err mine = send_link(supervisor->children[role].control_fd, peer, ends[0]);
        enum err theirs = send_link(supervisor->children[peer].control_fd, role, ends[1]);
        if (mine || theirs)
            log_event(LOG_WARN, "a link was not taken, the role will be restarted",
                      LOG_CONSTANT("role", role_name(mine ? role : peer)));
    }
}

static void start_role(struct supervisor *supervisor, enum role role)
{
    struct child *child = &supervisor->children[role];
    int ends[2];
    if (msg_pair(ends)) {
        child->restart_at = mono_add_ms(mono_now(), BURST_WAIT_MS);
        return;
    }
    pid_t pid = fork();
    if (pid == 0)
        become_role(role, supervisor->config, ends[1]);
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        child->restart_at = mono_add_ms(mono_now(), BURST_WAIT_MS);
        return;
    }
    child->pid = pid;
    child->control_fd = ends[0];
    child->is_ready = false;
    child->started = mono_now();
    log_event(LOG_INFO, "role started", LOG_CONSTANT("name", role_name(role)), LOG_COUNT("pid", pid),
              LOG_COUNT("generation", child->generation));
    enum err err = heritage_send(&supervisor->heritage, role, child->control_fd, child->generation);
    child->generation++;
    if (err) {
        log_event(LOG_ERROR, "role did not take its heritage", LOG_CONSTANT("name", role_name(role)),
                  LOG_ERR("error", err));
        kill(pid, SIGKILL);
        return;
    }
    make_links(supervisor, role);
}

static void send_plain(const struct child *child, uint16_t type)
{
    if (child->pid == 0)
        return;
    struct role_plain_msg message;
    MSG_INIT(&message, type, 0);
    enum err ignored = msg_send_fds(child->control_fd, &message, sizeof(message), NULL, 0);
    (void)ignored;
}

static void stop_all(struct supervisor *supervisor)
{
    if (supervisor->is_stopping)
        return;
    supervisor->is_stopping = true;
    supervisor->stop_deadline = mono_add_ms(mono_now(), LIMIT_STOP_MS);
    log_event(LOG_INFO, "stopping");
    for (size_t role = 0; role < ROLE_COUNT; role++)
        send_plain(&supervisor->children[role], ROLE_STOP);
}

static void start_drain(struct supervisor *supervisor)
{
    supervisor->is_draining = true;
    supervisor->drain_deadline = mono_add_ms(mono_now(), LIMIT_DRAIN_S * 1000LL);
    log_event(LOG_INFO, "draining: no new calls, ends when the last one does");
    for (size_t role = 0; role < ROLE_COUNT; role++)
        send_plain(&supervisor->children[role], ROLE_DRAIN);
}

static void announce(struct supervisor *supervisor)
{
    for (size_t i = 0; i < START_COUNT; i++) {
        if (!supervisor->children[start_order[i]].is_ready)
            return;
    }
    if (!supervisor->has_announced)
        log_event(LOG_INFO, "all roles are running");
    supervisor->has_announced = true;
}

static void take_message(struct supervisor *supervisor, enum role role, const struct role_plain_msg *message)
{
    struct child *child = &supervisor->children[role];
    switch (message->header.type) {
    case ROLE_READY:
        child->is_ready = true;
        child->was_ever_ready = true;
        child->last_beat = mono_now();
        log_event(LOG_INFO, "role ready", LOG_CONSTANT("name", role_name(role)),
                  LOG_MS("after_ms", (double)(child->last_beat.ns - child->started.ns) / 1e6));
        if (supervisor->is_draining)
            send_plain(child, ROLE_DRAIN);
        announce(supervisor);
        break;
    case ROLE_BEAT:
        child->last_beat = mono_now();
        break;
    case ROLE_IDLE:
        if (role == ROLE_PROXY && supervisor->is_draining)
            stop_all(supervisor);
        break;
    default:
        break;
    }
}

static void read_child(struct supervisor *supervisor, enum role role)
{
    const struct child *child = &supervisor->children[role];
    for (int i = 0; i < 64; i++) {
        struct role_plain_msg message;
        ssize_t length = recv(child->control_fd, &message, sizeof(message), MSG_DONTWAIT | MSG_TRUNC);
        if (length <= 0)
            return; /* empty, or closed: its death is seen by waitpid() */
        if (length == sizeof(message) && message.header.version == MSG_VERSION &&
            message.header.length == sizeof(message))
            take_message(supervisor, role, &message);
    }
}

static void schedule_restart(struct child *child)
{
    struct mono_time now = mono_now();
    if (mono_elapsed_ms(child->burst_start, now) > BURST_WINDOW_S * 1000LL) {
        child->burst_start = now;
        child->burst = 0;
    }
    child->burst++;
    child->restart_at = child->burst > LIMIT_RESTART_BURST ? mono_add_ms(now, BURST_WAIT_MS) : now;
}

static void bury(struct supervisor *supervisor, enum role role, int status)
{
    struct child *child = &supervisor->children[role];
    close(child->control_fd);
    child->pid = 0;
    child->is_ready = false;
    if (supervisor->is_stopping)
        return;
    if (WIFSIGNALED(status))
        log_event(LOG_ERROR, "role died", LOG_CONSTANT("name", role_name(role)),
                  LOG_COUNT("signal", WTERMSIG(status)));
    else
        log_event(LOG_ERROR, "role ended", LOG_CONSTANT("name", role_name(role)),
                  LOG_COUNT("exit_code", WEXITSTATUS(status)));
    if (!child->was_ever_ready) {
        log_event(LOG_ERROR, "role cannot be started, see its lines above",
                  LOG_CONSTANT("name", role_name(role)));
        supervisor->has_failed = true;
        stop_all(supervisor);
        return;
    }
    schedule_restart(child);
}

static void reap(struct supervisor *supervisor)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            if (supervisor->children[role].pid == pid)
                bury(supervisor, role, status);
        }
    }
}

static void check_child(struct supervisor *supervisor, enum role role, struct mono_time now)
{
    struct child *child = &supervisor->children[role];
    if (child->pid == 0) {
        if (!supervisor->is_stopping && mono_reached(now, child->restart_at))
            start_role(supervisor, role);
        return;
    }
    int64_t silent_ms = mono_elapsed_ms(child->is_ready ? child->last_beat : child->started, now);
    if (silent_ms > (child->is_ready ? LIMIT_HANG_MS : START_MS)) {
        log_event(LOG_ERROR, "role hangs, killed", LOG_CONSTANT("name", role_name(role)),
                  LOG_COUNT("silent_ms", silent_ms));
        kill(child->pid, SIGKILL);
        child->last_beat = now; /* one line, not one per turn until it is reaped */
        child->started = now;
    }
}

/* When the machine stood still nobody could beat, and a role must not be killed for it: its silence counts from now. */
static void forgive_stall(struct supervisor *supervisor, struct mono_time now)
{
    int64_t turn_ms = supervisor->last_turn.ns ? mono_elapsed_ms(supervisor->last_turn, now) : 0;
    supervisor->last_turn = now;
    if (turn_ms < STALL_MS)
        return;
    log_event(LOG_WARN, "the machine stood still", LOG_COUNT("ms", turn_ms));
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        struct child *child = &supervisor->children[role];
        child->last_beat = mono_add_ms(child->last_beat, turn_ms);
        child->started = mono_add_ms(child->started, turn_ms);
    }
}

static bool check_all(struct supervisor *supervisor)
{
    struct mono_time now = mono_now();
    forgive_stall(supervisor, now);
    bool is_any_running = false;
    for (size_t i = 0; i < START_COUNT; i++) {
        check_child(supervisor, start_order[i], now);
        is_any_running |= supervisor->children[start_order[i]].pid != 0;
    }
    if (supervisor->is_draining && mono_reached(now, supervisor->drain_deadline))
        stop_all(supervisor);
    if (supervisor->is_stopping && mono_reached(now, supervisor->stop_deadline)) {
        for (size_t role = 0; role < ROLE_COUNT; role++) {
            if (supervisor->children[role].pid)
                kill(supervisor->children[role].pid, SIGKILL);
        }
    }
    return !supervisor->is_stopping || is_any_running;
}

static void read_signals(struct supervisor *supervisor)
{
    struct signalfd_siginfo signal_received;
    while (read(supervisor->signal_fd, &signal_received, sizeof(signal_received)) ==
           sizeof(signal_received)) {
        if (signal_received.ssi_signo == SIGTERM || signal_received.ssi_signo == SIGINT)
            stop_all(supervisor);
        else if (signal_received.ssi_signo == SIGUSR1)
            start_drain(supervisor);
    }
}

static void wait_for_events(struct supervisor *supervisor)
{
    struct pollfd wait[ROLE_COUNT + 1] = {{.fd = supervisor->signal_fd, .events = POLLIN}};
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        wait[role + 1].fd = supervisor->children[role].pid ? supervisor->children[role].control_fd : -1;
        wait[role + 1].events = POLLIN;
    }
    if (poll(wait, ROLE_COUNT + 1, LOOP_MS) <= 0)
        return;
    if (wait[0].revents)
        read_signals(supervisor);
    for (size_t role = 0; role < ROLE_COUNT; role++) {
        if (wait[role + 1].revents & POLLIN)
            read_child(supervisor, role);
    }
}

static enum err prepare_process(struct supervisor *supervisor)
{
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return ERR_SYSTEM;
    signal(SIGPIPE, SIG_IGN);
    sigset_t handled;
    sigemptyset(&handled);
    sigaddset(&handled, SIGTERM);
    sigaddset(&handled, SIGINT);
    sigaddset(&handled, SIGUSR1);
    sigaddset(&handled, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &handled, NULL) != 0)
        return ERR_SYSTEM;
    supervisor->signal_fd = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
    return supervisor->signal_fd >= 0 ? OK : ERR_SYSTEM;
}

int supervisor_run(const struct config *config, const char *config_text, size_t config_length,
                   size_t call_table_bytes)
{
    struct supervisor supervisor = {.config = config};
    enum err err = prepare_process(&supervisor);
    if (!err)
        err = heritage_open(&supervisor.heritage, config, config_text, config_length, call_table_bytes);
    if (err) {
        log_event(LOG_ERROR, "cannot start", LOG_ERR("error", err));
        return 1;
    }
    do {
        wait_for_events(&supervisor);
        reap(&supervisor);
    } while (check_all(&supervisor));
    heritage_close(&supervisor.heritage);
    close(supervisor.signal_fd);
    log_event(LOG_INFO, "stopped");
    return supervisor.has_failed ? 1 : 0;
}
