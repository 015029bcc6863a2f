/* The desk's process: what it opens, its wall, its loop. */
#include "base/role.h"
#include "base/wall.h"
#include "capture/desk/desk.h"
#include "capture/desk/disk_wait.h"

#include <event2/event.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BEAT_MS      100
#define LOOP_LATE_MS 300   /* the loop turned at least so long ago, or it is hung */
#define DISK_LATE_MS 10000 /* unless it waits for the disk, and not for longer than this */

/* What pthread_create() asks clone(2) for. */
#define THREAD_FLAGS                                                                                         \
    (CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |       \
     CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID)

struct desk_process {
    struct role_context *context;
    struct event_base *base;
    struct desk *desk;
    bool is_idle_told;
    atomic_llong turned_ns; /* the loop's last turn */
    atomic_bool is_over;
};

/* Beyond the base list: what libevent, OpenSSL and SQLite (one file, its log and its shared index) do. The socket is
 * inherited, so there is no socket(), bind(), listen() or connect(). */
static const struct wall_rule rules[] = {
    {SYS_accept4, WALL_ANY, 0},
    {SYS_epoll_create1, WALL_ANY, 0},
    {SYS_epoll_ctl, WALL_ANY, 0},
    {SYS_epoll_wait, WALL_ANY, 0},
    {SYS_epoll_pwait, WALL_ANY, 0},
    {SYS_epoll_pwait2, WALL_ANY, 0},
    {SYS_eventfd2, WALL_ANY, 0},
    {SYS_pipe2, WALL_ANY, 0},
    {SYS_timerfd_create, WALL_ANY, 0},
    {SYS_timerfd_settime, WALL_ANY, 0},
    {SYS_readv, WALL_ANY, 0},
    {SYS_writev, WALL_ANY, 0},
    {SYS_recvfrom, WALL_ANY, 0},
    {SYS_recvmsg, WALL_ANY, 0},
    {SYS_sendto, WALL_ANY, 0},
    {SYS_sendmsg, WALL_ANY, 0},
    {SYS_shutdown, WALL_ANY, 0},
    {SYS_getpeername, WALL_ANY, 0},
    {SYS_getsockname, WALL_ANY, 0},
    {SYS_setsockopt, WALL_ANY, 0},
    {SYS_getsockopt, WALL_ANY, 0},
    {SYS_ioctl, 1, FIONREAD}, /* libevent asks how much there is to read */
    {SYS_ioctl, 1, FIONBIO},
    {SYS_openat, WALL_ANY, 0},
    {SYS_newfstatat, WALL_ANY, 0},
    {SYS_fstat, WALL_ANY, 0},
    {SYS_statx, WALL_ANY, 0},
    {SYS_lseek, WALL_ANY, 0},
    {SYS_pread64, WALL_ANY, 0},
    {SYS_pwrite64, WALL_ANY, 0},
    {SYS_ftruncate, WALL_ANY, 0},
    {SYS_fallocate, WALL_ANY, 0},
    {SYS_fsync, WALL_ANY, 0},
    {SYS_fdatasync, WALL_ANY, 0},
    {SYS_fcntl, WALL_ANY, 0},
    {SYS_flock, WALL_ANY, 0},
    {SYS_unlink, WALL_ANY, 0},
    {SYS_unlinkat, WALL_ANY, 0},
    {SYS_access, WALL_ANY, 0},
    {SYS_faccessat, WALL_ANY, 0},
    {SYS_faccessat2, WALL_ANY, 0},
    {SYS_readlink, WALL_ANY, 0},
    {SYS_readlinkat, WALL_ANY, 0},
    {SYS_getcwd, WALL_ANY, 0},
    {SYS_geteuid, WALL_ANY, 0},
    {SYS_getpid, WALL_ANY, 0},
    {SYS_fchmod, WALL_ANY, 0},
    {SYS_fchown, WALL_ANY, 0},
    {SYS_getrandom, WALL_ANY, 0},
    {SYS_clock_nanosleep, WALL_ANY, 0}, /* SQLite's busy wait */
    {SYS_nanosleep, WALL_ANY, 0},
    {SYS_clone, 0, THREAD_FLAGS}, /* the heartbeat's thread, never a process */
    {SYS_clone3, WALL_ANY, 0},    /* takes a pointer, which no filter can look behind */
};

/* The folder a file lies in: SQLite makes and removes its log beside the database. */
static const char *folder_of(const char *path, char *buffer, size_t capacity)
{
    snprintf(buffer, capacity, "%s", path);
    return dirname(buffer);
}

static enum err raise_wall(const struct config *config)
{
    char database_buffer[LIMIT_PATH_BYTES];
    char audit_buffer[LIMIT_PATH_BYTES];
    const char *database_folder =
        folder_of(config->desk.database_path, database_buffer, sizeof(database_buffer));
    const char *audit_folder = folder_of(config->desk.audit_path, audit_buffer, sizeof(audit_buffer));
    const struct wall_path paths[] = {
        {database_folder, WALL_READ_WRITE},
        {audit_folder, WALL_READ_WRITE},
        {"/dev/urandom", WALL_READ},
    };
    const struct wall_plan plan = {.rules = rules,
                                   .rule_count = sizeof(rules) / sizeof(rules[0]),
                                   .paths = paths,
                                   .path_count = sizeof(paths) / sizeof(paths[0]),
                                   .user = config->user};
    return wall_raise(&plan);
}

/* Beats from a thread of its own, and only while the loop turns or waits for the disk: a sync that takes three seconds
 * would otherwise have the desk killed, and started again onto the same slow disk. */
static void *beat_thread(void *argument)
{
    struct desk_process *process = argument;
    while (!atomic_load(&process->is_over)) {
        struct mono_time now = mono_now();
        struct mono_time turned = {atomic_load(&process->turned_ns)};
        if (mono_elapsed_ms(turned, now) < LOOP_LATE_MS || disk_wait_is_on(now, DISK_LATE_MS))
            role_beat(process->context);
        usleep(BEAT_MS * 1000);
    }
    return NULL;
}

static void turn_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct desk_process *process = argument;
    atomic_store(&process->turned_ns, mono_now().ns);
    if (process->context->is_draining && !process->is_idle_told && desk_is_idle(process->desk)) {
        process->is_idle_told = true;
        role_idle(process->context);
    }
}

static void control_h(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    struct desk_process *process = argument;
    struct role_event event;
    for (;;) {
        enum err err = role_control_read(process->context, &event);
        if (err == ERR_EMPTY)
            return;
        if (err == ERR_SYNTAX)
            continue; /* not of our form: its descriptors were closed */
        if (err) {
            event_base_loopbreak(process->base); /* the supervisor is gone */
            return;
        }
        switch (event.kind) {
        case ROLE_EVENT_LINK:
            desk_set_link(process->desk, event.peer, event.fd);
            break;
        case ROLE_EVENT_DRAIN:
            process->context->is_draining = true;
            desk_drain(process->desk);
            break;
        case ROLE_EVENT_STOP:
            event_base_loopbreak(process->base);
            return;
        }
    }
}

static void take_links(struct desk_process *process)
{
    static const enum role peers[] = {ROLE_VAULT, ROLE_PROXY, ROLE_GATEWAY};
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++) {
        int fd = process->context->link_fd[peers[i]];
        if (fd >= 0)
            desk_set_link(process->desk, peers[i], fd);
        process->context->link_fd[peers[i]] = -1;
    }
}

static int turn(struct desk_process *process)
{
    pthread_t beater;
    atomic_store(&process->turned_ns, mono_now().ns);
    if (role_ready(process->context) != OK || pthread_create(&beater, NULL, beat_thread, process) != 0)
        return 1;
    take_links(process);
    if (process->context->is_draining)
        desk_drain(process->desk);
    int code = event_base_dispatch(process->base) < 0;
    atomic_store(&process->is_over, true);
    pthread_join(beater, NULL);
    return code;
}

static int run_loop(struct desk_process *process)
{
    const struct timeval period = {0, BEAT_MS * 1000};
    struct event *clock = event_new(process->base, -1, EV_PERSIST, turn_h, process);
    struct event *control =
        event_new(process->base, process->context->control_fd, EV_READ | EV_PERSIST, control_h, process);
    int code = 1;
    if (clock && control && event_add(clock, &period) == 0 && event_add(control, NULL) == 0)
        code = turn(process);
    if (clock)
        event_free(clock);
    if (control)
        event_free(control);
    return code;
}

/* The wall comes before the first byte from the network is read, and after everything that needs the file system. */
static int live(struct desk_process *process)
{
    const struct desk_setup setup = {.base = process->base,
                                     .config = process->context->config,
                                     .listen_fd = process->context->heritage[HERITAGE_HTTPS][0]};
    if (desk_new(&process->desk, &setup) != OK)
        return 1;
    enum err err = raise_wall(process->context->config);
    if (err) {
        log_event(LOG_ERROR, "the wall cannot be raised", LOG_ERR("error", err));
        return 1;
    }
    return run_loop(process);
}

int desk_role_run(struct role_context *context)
{
    struct desk_process process = {.context = context};
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a full quota is an error to answer, not a death */
    if (context->heritage_count[HERITAGE_HTTPS] < 1) {
        log_event(LOG_ERROR, "no HTTPS socket was handed down");
        return 1;
    }
    process.base = event_base_new();
    if (!process.base)
        return 1;
    int code = live(&process);
    desk_free(process.desk);
    event_base_free(process.base);
    libevent_global_shutdown();
    return code;
}
