/* tonegate-phone: a caller, an agent or a recorder that can be heard by no person. See bench/README.md. */
#include "bench/phones/phone_call.h"
#include "bench/phones/phone_recorder.h"

#include <signal.h>
#include <stddef.h>

static void stop_h(int signal_number)
{
    (void)signal_number;
    phone_is_stopped = 1;
}

int main(int argc, char **argv)
{
    struct phone_options options;
    if (!phone_options_parse(&options, argc, argv))
        return 2;
    struct sigaction action = {.sa_handler = stop_h};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    return options.kind == PHONE_RECORDER ? phone_recorder_run(&options) : phone_call_run(&options);
}
