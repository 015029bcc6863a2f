/* tonegate-load: two endpoints that carry all calls of a load test, and what the relay between them costs.
 *
 *   tonegate-load --destinations LIST --caller IP:PORT --agent IP:PORT --pid PID [--warm MS] [--steady MS] [--core N]
 *                 [--voice FILE] [--keys]
 *
 * Each line of LIST ("ip port ip port") is a call: where caller and agent send to. Every leg sends 20 ms of PCMA, its
 * phase spread over the 20 ms; both speak, with --keys every caller keys 16 digits in each 20 s. In the steady part the CPU time of process PID is
 * taken from its threads' schedstat. A packet is known again by the relay's port it comes from (the call) and its RTP
 * timestamp (which packet of the call). Prints one line of JSON. */
#include "base/clock.h"
#include "bench/load/endpoint.h"
#include "dsp/g711.h"
#include "proxy/media/rtp.h"
#include "proxy/media/wire.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    PTIME_MS = 20,
    SAMPLES = 160,
    PACKET_BYTES = RTP_HEADER_BYTES + SAMPLES,
    BATCH = 128,
    CALLS_MAX = 4000,
    SOUND_PACKETS = 1000, /* 20 s, repeated */
    REMEMBERED = 64,      /* send times kept per leg */
    DELAYS_MAX = 2000000,
    SETTLE_MS = 500,
    CORE_ANY = CPU_SETSIZE,
};

struct leg {
    struct sockaddr_in to;
    struct rtp_header next;
    unsigned sound_at;
    uint32_t sent;               /* packets */
    int64_t sent_at[REMEMBERED]; /* wall time of packet n at n % REMEMBERED */
    bool has_heard;              /* the far end got one */
    uint32_t first_heard_at;     /* its timestamp: that of our first packet, as the relay writes it */
};

struct side {
    int fd;
    struct sockaddr_in own;
    struct leg legs[CALLS_MAX];
    uint16_t call_of_port[65536]; /* whose packets come from this port of the relay, plus one */
    uint8_t sound[SOUND_PACKETS * SAMPLES];
    uint64_t sent, heard, strange;
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    uint8_t packets[BATCH][PACKET_BYTES];
    unsigned queued;
    uint32_t *delays_us; /* of what this side said */
    size_t delay_count;
};

struct load {
    unsigned calls;
    unsigned long pid, core, warm_ms, steady_ms;
    const char *destinations;
    const char *voice; /* NULL: made here */
    bool is_keying;
    struct side sides[2];
    bool is_steady;
    uint64_t late_ticks;
};

static struct load load = {.warm_ms = 2000, .steady_ms = 8000, .core = CORE_ANY};

static void fail(const char *what)
{
    fprintf(stderr, "tonegate-load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- what is said ---- */

static double dice(void)
{
    static uint64_t state = 88172645463325252ULL;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) / 9007199254740992.0 * 2 - 1;
}

/* Pulses through two resonances, in syllables: enough of a voice to keep a detector busy. */
static void speak(int16_t *pcm, size_t count)
{
    double first[2] = {0}, second[2] = {0}, phase = 0, pitch = 120;
    double low = 500, high = 1500;
    for (size_t i = 0; i < count; i++) {
        if (i % 1600 == 0) {
            pitch = 120 + 40 * dice();
            low = 500 + 250 * dice();
            high = 1600 + 600 * dice();
        }
        bool is_pause = i / 1600 % 5 == 4;
        double loudness = is_pause ? 0 : pow(sin(M_PI * (double)(i % 1600) / 1600), 2);
        phase += pitch / 8000;
        double pulse = phase >= 1 ? 12 : 0.05 * dice();
        phase -= phase >= 1;
        double out1 = pulse + 2 * 0.97 * cos(2 * M_PI * low / 8000) * first[0] - 0.94 * first[1];
        double out2 = pulse + 2 * 0.96 * cos(2 * M_PI * high / 8000) * second[0] - 0.92 * second[1];
        first[1] = first[0], first[0] = out1;
        second[1] = second[0], second[0] = out2;
        pcm[i] = (int16_t)(120 * loudness * (out1 + 0.5 * out2) + 8 * dice());
    }
}

/* 16 keys of 100 ms, 100 ms apart, at -10 dBm0 per tone. */
static void key(int16_t *pcm, size_t count)
{
    static const double rows[4] = {697, 770, 852, 941}, columns[4] = {1209, 1336, 1477, 1633};
    for (size_t press = 0; press < 16; press++) {
        for (size_t i = 0; i < 800 && 16000 + press * 1600 + i < count; i++) {
            double t = 2 * M_PI * (double)i / 8000;
            double tone = 7200 * (sin(rows[press / 4] * t) + sin(columns[press % 4] * t));
            int16_t *sample = &pcm[16000 + press * 1600 + i];
            *sample = (int16_t)(tone + 0.25 * *sample);
        }
    }
}

/* Recorded speech: raw 16-bit mono of this machine's byte order, repeated when short. Each side begins elsewhere. */
static void voice_read(int16_t *pcm, size_t count, size_t from)
{
    FILE *file = fopen(load.voice, "rb");
    if (!file)
        fail(load.voice);
    size_t got = 0;
    if (fseek(file, (long)(from * sizeof(*pcm)), SEEK_SET) != 0)
        fail(load.voice);
    while (got < count) {
        size_t step = fread(pcm + got, sizeof(*pcm), count - got, file);
        if (step == 0 && fseek(file, 0, SEEK_SET) != 0)
            fail(load.voice);
        if (step == 0 && got == 0 && from == 0)
            fail("the voice file is empty");
        from = 0;
        got += step;
    }
    fclose(file);
}

static void sound_make(struct side *side, bool is_caller)
{
    static int16_t pcm[SOUND_PACKETS * SAMPLES];
    if (load.voice)
        voice_read(pcm, SOUND_PACKETS * SAMPLES, is_caller ? 0 : SOUND_PACKETS * SAMPLES);
    else
        speak(pcm, SOUND_PACKETS * SAMPLES);
    if (is_caller && load.is_keying)
        key(pcm, SOUND_PACKETS * SAMPLES);
    g711_encode(G711_ALAW, pcm, side->sound, SOUND_PACKETS * SAMPLES);
}

/* ---- the process under test ---- */

/* The n-th number, from 0, of a one-line file of /proc; 0 when it is gone. */
static double proc_number(const char *path, int n)
{
    char line[256] = "";
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    char *at = fgets(line, sizeof(line), file);
    fclose(file);
    double number = 0;
    for (int i = 0; at && i <= n; i++)
        number = strtod(at, &at);
    return number;
}

/* CPU seconds of all its threads by the scheduler's own clock. */
static double cpu_seconds(unsigned long pid)
{
    char path[300];
    double sum_ns = 0;
    snprintf(path, sizeof(path), "/proc/%lu/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        fail("the relay is gone");
    for (struct dirent *task; (task = readdir(tasks));) {
        snprintf(path, sizeof(path), "/proc/%lu/task/%.20s/schedstat", pid, task->d_name);
        sum_ns += task->d_name[0] == '.' ? 0 : proc_number(path, 0);
    }
    closedir(tasks);
    return sum_ns / 1e9;
}

static double rss_kb(unsigned long pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%lu/statm", pid);
    return proc_number(path, 1) * (double)sysconf(_SC_PAGESIZE) / 1024;
}

/* ---- hearing ---- */

static void delay_note(struct side *sayer, const struct leg *leg, uint32_t timestamp, int64_t heard_at)
{
    uint32_t packet = (timestamp - leg->first_heard_at) / SAMPLES;
    if (!load.is_steady || leg->sent - packet > REMEMBERED || sayer->delay_count == DELAYS_MAX)
        return;
    int64_t delay_ns = heard_at - leg->sent_at[packet % REMEMBERED];
    sayer->delays_us[sayer->delay_count++] = (uint32_t)(delay_ns > 0 ? delay_ns / 1000 : 0);
}

static int64_t kernel_time(struct msghdr *message)
{
    struct timespec at = {0};
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    if (control && control->cmsg_type == SCM_TIMESTAMPNS)
        memcpy(&at, CMSG_DATA(control), sizeof(at));
    return at.tv_sec * NS_PER_S + at.tv_nsec;
}

/* side heard a packet: it was said by the other side's leg of that call. */
static void take(struct side *side, struct msghdr *message, const uint8_t *bytes, size_t length)
{
    const struct sockaddr_in *from = message->msg_name;
    struct side *sayer = side == &load.sides[0] ? &load.sides[1] : &load.sides[0];
    uint16_t call = side->call_of_port[ntohs(from->sin_port)];
    struct rtp_packet packet;
    if (call == 0 || rtp_read(&packet, bytes, length)) {
        side->strange++;
        return;
    }
    struct leg *leg = &sayer->legs[call - 1];
    side->heard++;
    if (!leg->has_heard)
        leg->first_heard_at = packet.header.timestamp;
    leg->has_heard = true;
    delay_note(sayer, leg, packet.header.timestamp, kernel_time(message));
}

static void hear(struct side *side)
{
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static struct sockaddr_in from[BATCH];
    static uint8_t bytes[BATCH][2048];
    static char control[BATCH][64];
    int got;
    do {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){bytes[i], sizeof(bytes[i])};
            messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
                                                  .msg_namelen = sizeof(from[i]),
                                                  .msg_iov = &parts[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = control[i],
                                                  .msg_controllen = sizeof(control[i])};
        }
        got = recvmmsg(side->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        for (int i = 0; i < got; i++)
            take(side, &messages[i].msg_hdr, bytes[i], messages[i].msg_len);
    } while (got == BATCH);
}

/* ---- saying ---- */

static void flush(struct side *side)
{
    unsigned done = 0;
    while (done < side->queued) {
        int sent = sendmmsg(side->fd, side->messages + done, side->queued - done, 0);
        if (sent <= 0 && errno != EAGAIN && errno != ECONNREFUSED)
            fail("sendmmsg");
        done += sent > 0 ? (unsigned)sent : 0;
    }
    side->queued = 0;
}

static void say(struct side *side, struct leg *leg)
{
    unsigned at = side->queued;
    uint8_t *packet = side->packets[at];
    rtp_write_header(&leg->next, packet);
    memcpy(packet + RTP_HEADER_BYTES, side->sound + (size_t)leg->sound_at * SAMPLES, SAMPLES);
    leg->sound_at = (leg->sound_at + 1) % SOUND_PACKETS;
    leg->next.sequence++;
    leg->next.timestamp += SAMPLES;
    leg->sent_at[leg->sent++ % REMEMBERED] = wall_now().ns;
    side->sent++;
    side->parts[at] = (struct iovec){packet, PACKET_BYTES};
    side->messages[at].msg_hdr = (struct msghdr){
        .msg_name = &leg->to, .msg_namelen = sizeof(leg->to), .msg_iov = &side->parts[at], .msg_iovlen = 1};
    if (++side->queued == BATCH)
        flush(side);
}

/* ---- the run ---- */

static void side_open(struct side *side)
{
    int on = 1, room = 32 << 20;
    side->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (side->fd < 0 || bind(side->fd, (struct sockaddr *)&side->own, sizeof(side->own)) != 0)
        fail("bind");
    if (setsockopt(side->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)) != 0)
        setsockopt(side->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
    setsockopt(side->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on));
}

static void leg_aim(unsigned call, unsigned i, const char *ip, const char *port)
{
    struct leg *leg = &load.sides[i].legs[call];
    if (!endpoint_read_parts(ip, port, &leg->to))
        fail("destinations are \"ip port ip port\" a line");
    leg->next = (struct rtp_header){.payload_type = 8,
                                    .sequence = (uint16_t)(call * 31 + i),
                                    .timestamp = call * 7919 + i,
                                    .ssrc = call * 2654435761u + i};
    leg->sound_at = (call * 37 + i * 11) % SOUND_PACKETS;
    load.sides[i].call_of_port[ntohs(leg->to.sin_port)] = (uint16_t)(call + 1);
}

static void destinations_read(void)
{
    char line[200];
    FILE *file = fopen(load.destinations, "r");
    if (!file)
        fail(load.destinations);
    while (load.calls < CALLS_MAX && fgets(line, sizeof(line), file)) {
        char *rest = line;
        for (unsigned i = 0; i < 2; i++) {
            const char *ip = strtok_r(rest, " \n", &rest), *port = strtok_r(rest, " \n", &rest);
            if (!ip || !port)
                fail("destinations are \"ip port ip port\" a line");
            leg_aim(load.calls, i, ip, port);
        }
        load.calls++;
    }
    fclose(file);
}

/* One millisecond: the legs whose phase it is, then what came back. */
static void tick(unsigned number)
{
    for (unsigned call = 0; call < load.calls; call++) {
        for (unsigned i = 0; i < 2; i++) {
            if ((call * 7 + i * 9) % PTIME_MS == number % PTIME_MS)
                say(&load.sides[i], &load.sides[i].legs[call]);
        }
    }
    for (unsigned i = 0; i < 2; i++)
        flush(&load.sides[i]);
    for (unsigned i = 0; i < 2; i++)
        hear(&load.sides[i]);
}

static void run_ticks(unsigned from, unsigned to, struct mono_time *next)
{
    for (unsigned number = from; number < to; number++) {
        next->ns += NS_PER_MS;
        struct timespec at = {next->ns / NS_PER_S, next->ns % NS_PER_S};
        load.late_ticks += mono_now().ns - next->ns > 5 * NS_PER_MS;
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
        tick(number);
    }
}

static int compare_delays(const void *a, const void *b)
{
    uint32_t left, right;
    memcpy(&left, a, sizeof(left));
    memcpy(&right, b, sizeof(right));
    return left < right ? -1 : left > right;
}

static double delay_ms(const struct side *sayer, double part)
{
    if (sayer->delay_count == 0)
        return -1;
    return sayer->delays_us[(size_t)(part * (double)(sayer->delay_count - 1))] / 1000.0;
}

static void delays_print(const char *name, struct side *sayer)
{
    qsort(sayer->delays_us, sayer->delay_count, sizeof(*sayer->delays_us), compare_delays);
    printf("\"%s_delay_ms\":{\"p50\":%.3f,\"p99\":%.3f,\"max\":%.3f},", name, delay_ms(sayer, 0.5),
           delay_ms(sayer, 0.99), delay_ms(sayer, 1));
}

static uint64_t sent_now(void)
{
    return load.sides[0].sent + load.sides[1].sent;
}

static void settle(void)
{
    for (int i = 0; i < SETTLE_MS; i++) {
        usleep(1000);
        hear(&load.sides[0]);
        hear(&load.sides[1]);
    }
}

static void run(void)
{
    unsigned warm = (unsigned)load.warm_ms, whole = warm + (unsigned)load.steady_ms;
    double rss_before = rss_kb(load.pid);
    struct mono_time next = mono_now();
    run_ticks(0, warm, &next);
    double cpu = cpu_seconds(load.pid);
    uint64_t sent = sent_now();
    struct mono_time began = mono_now();
    load.is_steady = true;
    run_ticks(warm, whole, &next);
    load.is_steady = false;
    cpu = cpu_seconds(load.pid) - cpu;
    double wall_s = (double)(mono_now().ns - began.ns) / 1e9;
    double packets = (double)(sent_now() - sent);
    double rss_after = rss_kb(load.pid);
    settle();
    uint64_t heard = load.sides[0].heard + load.sides[1].heard;
    printf("{");
    delays_print("caller", &load.sides[0]);
    delays_print("agent", &load.sides[1]);
    printf(
        "\"calls\":%u,\"packets\":%.0f,\"packets_per_s\":%.0f,\"us_per_packet\":%.3f,\"core_percent\":%.1f,"
        "\"loss_percent\":%.4f,\"rss_kb_idle\":%.0f,\"rss_kb\":%.0f,\"strange\":%llu,\"late_ticks\":%llu}\n",
        load.calls, packets, packets / wall_s, cpu * 1e6 / packets, cpu * 100 / wall_s,
        100.0 * ((double)sent_now() - (double)heard) / (double)sent_now(), rss_before, rss_after,
        (unsigned long long)(load.sides[0].strange + load.sides[1].strange),
        (unsigned long long)load.late_ticks);
}

static bool options_read(int argc, char **argv)
{
    static const struct option names[] = {
        {"destinations", required_argument, NULL, 'd'},
        {"caller", required_argument, NULL, 'c'},
        {"agent", required_argument, NULL, 'a'},
        {"pid", required_argument, NULL, 'p'},
        {"warm", required_argument, NULL, 'w'},
        {"steady", required_argument, NULL, 's'},
        {"core", required_argument, NULL, 'k'},
        {"voice", required_argument, NULL, 'v'},
        {"keys", no_argument, NULL, 'y'},
        {NULL, 0, NULL, 0},
    };
    bool is_right = true;
    for (int option; (option = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (option == 'd')
            load.destinations = optarg;
        else if (option == 'c')
            is_right &= endpoint_read(optarg, &load.sides[0].own);
        else if (option == 'a')
            is_right &= endpoint_read(optarg, &load.sides[1].own);
        else if (option == 'p')
            is_right &= number_read(optarg, 1 << 22, &load.pid);
        else if (option == 'w')
            is_right &= number_read(optarg, 600000, &load.warm_ms);
        else if (option == 's')
            is_right &= number_read(optarg, 3600000, &load.steady_ms);
        else if (option == 'y')
            load.is_keying = true;
        else if (option == 'v')
            load.voice = optarg;
        else if (option == 'k')
            is_right &= number_read(optarg, CPU_SETSIZE - 1, &load.core);
        else
            is_right = false;
    }
    return is_right && load.destinations && load.pid > 0 && load.sides[0].own.sin_port &&
           load.sides[1].own.sin_port;
}

/* A sender that is late measures itself: its own core and a real-time priority, where it may have them. */
static void take_core(void)
{
    struct sched_param priority = {.sched_priority = 1};
    (void)sched_setscheduler(0, SCHED_FIFO, &priority);
    if (load.core == CORE_ANY)
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(load.core, &set);
    (void)sched_setaffinity(0, sizeof(set), &set);
}

int main(int argc, char **argv)
{
    if (!options_read(argc, argv)) {
        fprintf(stderr,
                "usage: %s --destinations FILE --caller IP:PORT --agent IP:PORT --pid PID [--warm MS] "
                "[--steady MS] [--core N] [--voice FILE] [--keys]\n",
                argv[0]);
        return 2;
    }
    destinations_read();
    for (unsigned i = 0; i < 2; i++) {
        load.sides[i].delays_us = malloc(DELAYS_MAX * sizeof(*load.sides[i].delays_us));
        if (!load.sides[i].delays_us)
            fail("memory");
        sound_make(&load.sides[i], i == 0);
        side_open(&load.sides[i]);
    }
    take_core();
    run();
    free(load.sides[0].delays_us);
    free(load.sides[1].delays_us);
    return 0;
}
