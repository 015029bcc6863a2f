/* tonegate-relay: the media plane alone, without SIP, for measuring it.
 *
 *   tonegate-relay --calls N --address IP --caller IP:PORT --agent IP:PORT --destinations FILE [--armed] [--tick US]
 *
 * Opens N calls between the two endpoints (all calls share them: the relay's ports tell the calls apart), arms the
 * callers' legs if asked, writes a line "ip port ip port" per call (where caller and agent send) to FILE, says "ready",
 * and relays until standard input ends. Then it prints its counters as one line of JSON. */
#include "base/log.h"
#include "base/secret.h"
#include "bench/load/endpoint.h"
#include "proxy/media/media.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PORT_FIRST = 20000, SOCKETS_PER_CALL = 4 };

struct relay {
    unsigned long calls;
    unsigned long tick_us;
    bool is_armed, is_unwatched;
    const char *address;
    const char *destinations;
    struct sockaddr_in ends[MEDIA_SIDES];
    int sockets[LIMIT_CALLS * SOCKETS_PER_CALL];
    struct media *media;
    uint64_t digits;
};

static int complain(const char *what)
{
    fprintf(stderr, "tonegate-relay: %s: %s\n", what, strerror(errno));
    return 1;
}

static int options_read(struct relay *relay, int argc, char **argv)
{
    static const struct option names[] = {
        {"calls", required_argument, NULL, 'n'},
        {"address", required_argument, NULL, 'i'},
        {"caller", required_argument, NULL, 'c'},
        {"agent", required_argument, NULL, 'a'},
        {"destinations", required_argument, NULL, 'd'},
        {"armed", no_argument, NULL, 'm'},
        {"no-watch", no_argument, NULL, 'w'},
        {"tick", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    int option, faults = 0;
    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (option) {
        case 'n':
            faults += !number_read(optarg, LIMIT_CALLS, &relay->calls);
            break;
        case 'i':
            relay->address = optarg;
            break;
        case 'c':
            faults += !endpoint_read(optarg, &relay->ends[MEDIA_CALLER]);
            break;
        case 'a':
            faults += !endpoint_read(optarg, &relay->ends[MEDIA_AGENT]);
            break;
        case 'd':
            relay->destinations = optarg;
            break;
        case 'm':
            relay->is_armed = true;
            break;
        case 'w':
            relay->is_unwatched = true;
            break;
        case 't':
            faults += !number_read(optarg, 20000, &relay->tick_us);
            break;
        default:
            faults++;
        }
    }
    bool is_whole = relay->calls > 0 && relay->address && relay->destinations &&
                    relay->ends[MEDIA_CALLER].sin_port && relay->ends[MEDIA_AGENT].sin_port;
    return faults == 0 && is_whole ? 0 : -1;
}

/* Four descriptors a call: they are the first limit met. */
static int descriptors_raise(unsigned long calls)
{
    struct rlimit limit;
    rlim_t wanted = calls * SOCKETS_PER_CALL + 64;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -1;
    if (limit.rlim_cur >= wanted)
        return 0;
    limit.rlim_cur = wanted;
    limit.rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int sockets_open(struct relay *relay)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    if (inet_pton(AF_INET, relay->address, &at.sin_addr) != 1)
        return -1;
    for (unsigned i = 0; i < relay->calls * SOCKETS_PER_CALL; i++) {
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        at.sin_port = htons((uint16_t)(PORT_FIRST + i));
        if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
            return -1;
        relay->sockets[i] = fd;
    }
    return 0;
}

static enum err media_open(struct relay *relay)
{
    static struct config config;
    config.sip.calls_max = (unsigned)relay->calls;
    config.media.workers = 1;
    config.media.tick_us = (unsigned)relay->tick_us;
    config.media.lookahead_ms = 20;
    config.media.watch = !relay->is_unwatched;
    return media_new(&relay->media, &config, relay->sockets, (size_t)relay->calls * SOCKETS_PER_CALL);
}

static enum err call_open(struct relay *relay, uint64_t call_id, FILE *destinations)
{
    struct media_ports ports;
    struct media_leg legs[MEDIA_SIDES];
    enum err err = media_call_open(relay->media, call_id, &ports);
    if (err)
        return err;
    for (int side = 0; side < MEDIA_SIDES; side++) {
        legs[side] = (struct media_leg){.rtp_remote = relay->ends[side],
                                        .codec = MEDIA_PCMA,
                                        .payload_type = 8,
                                        .event_payload_type = 101,
                                        .ptime_ms = 20,
                                        .is_sending = true,
                                        .is_receiving = true};
        legs[side].rtcp_remote = relay->ends[side];
        legs[side].rtcp_remote.sin_port = htons((uint16_t)(ntohs(relay->ends[side].sin_port) + 1));
    }
    err = media_call_update(relay->media, call_id, legs);
    if (!err && relay->is_armed)
        err = media_call_arm(relay->media, call_id, call_id, true);
    fprintf(destinations, "%s %u %s %u\n", relay->address, ports.rtp[MEDIA_CALLER], relay->address,
            ports.rtp[MEDIA_AGENT]);
    return err;
}

/* The one worker takes its orders in turn: when the last call's snapshot is there, all calls are described. */
static enum err calls_await(struct relay *relay)
{
    static struct media_snapshot_slot slot;
    enum err err = media_call_keep(relay->media, relay->calls, &slot);
    for (int i = 0; !err && atomic_load(&slot.version) == 0; i++) {
        usleep(1000);
        if (i == 5000)
            err = ERR_TIMEOUT;
    }
    return err;
}

static enum err calls_open(struct relay *relay)
{
    FILE *destinations = fopen(relay->destinations, "w");
    enum err err = destinations ? OK : ERR_SYSTEM;
    for (unsigned i = 1; !err && i <= relay->calls; i++) {
        err = call_open(relay, i, destinations);
        if (i % 256 == 0)
            usleep(30000); /* the order ring is as long as bursts of real calls need */
    }
    if (destinations && fclose(destinations) != 0)
        err = ERR_SYSTEM;
    return err ? err : calls_await(relay);
}

/* Until standard input ends; what the workers say is counted and thrown away. */
static void relay_run(struct relay *relay)
{
    struct pollfd fds[2] = {{.fd = STDIN_FILENO, .events = POLLIN},
                            {.fd = media_event_fd(relay->media), .events = POLLIN}};
    while (fds[0].revents == 0) {
        struct media_event event;
        (void)poll(fds, 2, 1000);
        while (media_event_next(relay->media, &event) == OK)
            relay->digits += event.kind == MEDIA_EVENT_DIGIT;
        wipe(&event, sizeof(event));
    }
}

static void stats_print(const struct relay *relay)
{
    struct media_stats stats;
    media_stats(relay->media, &stats);
    printf("{\"relayed\":%llu,\"refused\":%llu,\"send_errors\":%llu,\"ticks\":%llu,\"ticks_late\":%llu,"
           "\"bytes_per_call\":%zu,\"digits\":%llu}\n",
           (unsigned long long)stats.packets_relayed, (unsigned long long)stats.packets_refused,
           (unsigned long long)stats.send_errors, (unsigned long long)stats.ticks,
           (unsigned long long)stats.ticks_late, stats.bytes_per_call, (unsigned long long)relay->digits);
}

int main(int argc, char **argv)
{
    static struct relay relay = {.tick_us = 5000};
    log_open(STDERR_FILENO, LOG_FORMAT_TEXT, LOG_WARN, "relay");
    if (options_read(&relay, argc, argv)) {
        fprintf(stderr,
                "usage: %s --calls N --address IP --caller IP:PORT --agent IP:PORT --destinations FILE "
                "[--armed] [--no-watch] [--tick US]\n",
                argv[0]);
        return 2;
    }
    if (descriptors_raise(relay.calls))
        return complain("the limit of open descriptors (ulimit -n) is too low for so many calls");
    if (sockets_open(&relay))
        return complain("cannot bind the ports");
    enum err err = media_open(&relay);
    if (!err)
        err = calls_open(&relay);
    if (err) {
        fprintf(stderr, "tonegate-relay: %s\n", err_str(err));
        return 1;
    }
    puts("ready");
    fflush(stdout);
    relay_run(&relay);
    stats_print(&relay);
    media_free(relay.media);
    return 0;
}
