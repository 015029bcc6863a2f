/* Whole payments (card, order, charge, check) against the sandbox on loopback: bench_gateway [PAYMENTS [AT_ONCE]].
 * Prints payments a second and this process's CPU time for one; the sandbox runs in a process of its own. */
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

int main(int argc, char **argv)
{
    struct rig_sandbox sandbox;
    payments = argc > 1 ? strtoul(argv[1], NULL, 10) : 2000;
    unsigned long at_once = argc > 2 ? strtoul(argv[2], NULL, 10) : 16;
    rig_setup();
    rig_sandbox_start(&sandbox, "right", NULL);
    struct step_settings settings = rig_settings(sandbox.url);
    rig_open(&rig, &settings);
    double cpu = cpu_ms();
    struct mono_time started = mono_now();
    while (begun < payments && begun < at_once)
        begin_one();
    while (ended < payments)
        go_on(rig_wait(&rig));
    double ms = (double)(mono_now().ns - started.ns) / 1e6;
    cpu = cpu_ms() - cpu;
    printf(
        "{\"payments\":%lu,\"paid\":%lu,\"at_once\":%lu,\"per_second\":%.0f,\"cpu_us_per_payment\":%.0f}\n",
        payments, paid, at_once, (double)payments / ms * 1e3, cpu / (double)payments * 1e3);
    rig_close(&rig);
    rig_sandbox_stop(&sandbox);
    rig_teardown();
    return paid == payments ? 0 : 1;
}
