/* Against the sandbox on loopback, which runs in a process of its own; one line of JSON.
 *
 * bench_gateway [PAYMENTS [AT_ONCE]]     whole payments (card, order, charge, check): how many a second, this process's CPU
 *                                        time for one, and how many a second one core would do of that
 * bench_gateway hold [CHARGES [MS]]      charges that the gateway takes MS to answer, all at once, and then as many
 *                                        again over the connections that stand: how many were held together, CPU time
 *                                        and memory of one */
#include "base/clock.h"
#include "gateway/tests/rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#define AMOUNT 4250

static struct rig rig;
static unsigned long payments, begun, paid, ended;

static void begin_one(void)
{
    struct gateway_tokenise_msg card = rig_tokenise(++begun, 1, "4242424242424242");
    rig_send(&rig, &card);
}

/* The next step of the payment that this is the answer to. */
static void go_on(const struct gateway_reply_msg *reply)
{
    uint64_t capture = reply->header.subject;
    struct gateway_order_msg order;
    struct gateway_step_msg step;
    switch (reply->outcome == GATEWAY_DONE ? reply->request_type : GATEWAY_REPLY) {
    case GATEWAY_TOKENISE:
        order = rig_create(capture, 1, AMOUNT, reply->token);
        rig_send(&rig, &order);
        return;
    case GATEWAY_CREATE:
        step = rig_step(GATEWAY_CONFIRM, capture, 1, AMOUNT, "", reply->order_ref);
        rig_send(&rig, &step);
        return;
    case GATEWAY_CONFIRM:
        step = rig_step(GATEWAY_STATUS, capture, 1, AMOUNT, "", reply->order_ref);
        rig_send(&rig, &step);
        return;
    default:
        ended++;
        paid += reply->outcome == GATEWAY_DONE && reply->order_state == ORDER_SUCCEEDED;
        if (begun < payments)
            begin_one();
    }
}

static double cpu_ms(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
}

/* --- held --- */

static long resident_kib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*s %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static const struct gateway_reply_msg *wait_done(void)
{
    const struct gateway_reply_msg *reply = rig_wait(&rig);
    assert_int_equal(reply->outcome, GATEWAY_DONE);
    return reply;
}

/* A turn of the loop, and of the vault's end of the link, which holds only some hundred messages. */
static void pump(unsigned ms)
{
    rig_run_ms(&rig, ms);
    if (msg_receive(&rig.vault, 64) != OK)
        exit(1);
}

/* Orders that only wait for their confirmation. */
static char (*prepare(unsigned long charges))[LIMIT_TOKEN_BYTES]
{
    char(*orders)[LIMIT_TOKEN_BYTES] = calloc(charges, LIMIT_TOKEN_BYTES);
    assert_non_null(orders);
    for (unsigned long i = 0; i < charges; i++) {
        struct gateway_tokenise_msg card = rig_tokenise(i + 1, 1, "4242424242424242");
        rig_send(&rig, &card);
        struct gateway_order_msg order = rig_create(i + 1, 1, AMOUNT, wait_done()->token);
        rig_send(&rig, &order);
        memcpy(orders[i], wait_done()->order_ref, LIMIT_TOKEN_BYTES);
    }
    return orders;
}

/* Out of the file: the sandbox's answer would be longer than the client takes. */
static size_t charged(const struct rig_sandbox *sandbox)
{
    char line[1024];
    size_t count = 0;
    FILE *file = fopen(sandbox->ledger_path, "r");
    while (file && fgets(line, sizeof(line), file))
        count += strstr(line, "charged") != NULL;
    if (file)
        fclose(file);
    return count;
}

/* The orders first.. are confirmed all at once. 0: every one of them was held with the others and charged. */
static int hold_one(const struct rig_sandbox *sandbox, unsigned long first, unsigned long charges,
                    unsigned long ms, char (*orders)[LIMIT_TOKEN_BYTES])
{
    char fault[96];
    size_t held_most = 0;
    snprintf(fault, sizeof(fault), "kind=delay&operation=confirm&times=%lu&ms=%lu", charges, ms);
    rig_fault(&rig, sandbox, fault);
    size_t charged_before = charged(sandbox);
    long memory = resident_kib();
    unsigned replies = rig.reply_count;
    double cpu = cpu_ms();
    struct mono_time started = mono_now();
    for (unsigned long i = first; i < first + charges; i++) {
        struct gateway_step_msg step = rig_step(GATEWAY_CONFIRM, i + 1, 1, AMOUNT, "", orders[i]);
        rig_send(&rig, &step);
        pump(1);
        held_most = steps_count(rig.link.steps) > held_most ? steps_count(rig.link.steps) : held_most;
    }
    long memory_held = resident_kib();
    while (rig.reply_count - replies < charges && mono_elapsed_ms(started, mono_now()) < 60000)
        pump(20);
    double wall = (double)(mono_now().ns - started.ns) / 1e6;
    cpu = cpu_ms() - cpu;
    size_t count = charged(sandbox) - charged_before;
    printf("{\"connections\":\"%s\",\"charges\":%lu,\"answer_ms\":%lu,\"held_at_once\":%zu,\"charged\":%zu,"
           "\"wall_ms\":%.0f,\"cpu_us_per_charge\":%.0f,\"kib_per_charge\":%.1f}\n",
           first == 0 ? "new" : "kept", charges, ms, held_most, count, wall, cpu / (double)charges * 1e3,
           (double)(memory_held - memory) / (double)charges);
    return held_most == charges && count == charges ? 0 : 1;
}

static int hold(const struct rig_sandbox *sandbox, unsigned long charges, unsigned long ms)
{
    char(*orders)[LIMIT_TOKEN_BYTES] = prepare(2 * charges);
    int failed = hold_one(sandbox, 0, charges, ms, orders);
    failed += hold_one(sandbox, charges, charges, ms, orders);
    free(orders);
    return failed;
}

/* --- whole payments --- */

static int pay(unsigned long at_once)
{
    double cpu = cpu_ms();
    struct mono_time started = mono_now();
    while (begun < payments && begun < at_once)
        begin_one();
    while (ended < payments)
        go_on(rig_wait(&rig));
    double ms = (double)(mono_now().ns - started.ns) / 1e6;
    cpu = cpu_ms() - cpu;
    printf("{\"payments\":%lu,\"paid\":%lu,\"at_once\":%lu,\"per_second\":%.0f,\"cpu_us_per_payment\":%.0f,"
           "\"charges_per_core_second\":%.0f}\n",
           payments, paid, at_once, (double)payments / ms * 1e3, cpu / (double)payments * 1e3,
           (double)payments / cpu * 1e3);
    return paid == payments ? 0 : 1;
}

static unsigned long argument(int argc, char **argv, int at, unsigned long otherwise)
{
    return argc > at ? strtoul(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct rig_sandbox sandbox;
    bool is_hold = argc > 1 && strcmp(argv[1], "hold") == 0;
    rig_setup();
    rig_sandbox_start(&sandbox, "right", NULL);
    struct step_settings settings = rig_settings(sandbox.url);
    settings.charge_timeout_ms = 30000;
    rig_open(&rig, &settings);
    payments = argument(argc, argv, 1, 2000);
    int failed = is_hold ? hold(&sandbox, argument(argc, argv, 2, LIMIT_GATEWAY_IN_FLIGHT),
                                argument(argc, argv, 3, 10000))
                         : pay(argument(argc, argv, 2, 16));
    rig_close(&rig);
    rig_sandbox_stop(&sandbox);
    rig_teardown();
    return failed;
}
