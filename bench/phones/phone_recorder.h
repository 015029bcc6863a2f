/* The far end of the recorder leg: takes RTP on a port (what the agent hears) and two above (what the agent says) and
 * writes both as the channels of one WAV. Returns the exit code. */
#ifndef TONEGATE_BENCH_PHONES_PHONE_RECORDER_H
#define TONEGATE_BENCH_PHONES_PHONE_RECORDER_H

#include "bench/phones/phone_options.h"

int phone_recorder_run(const struct phone_options *options);

#endif
