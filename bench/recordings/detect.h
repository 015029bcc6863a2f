/* `tonegate detect`: which keys are in a recording. */
#ifndef TONEGATE_BENCH_RECORDINGS_DETECT_H
#define TONEGATE_BENCH_RECORDINGS_DETECT_H

/* argv[0] is "detect". Returns the exit code: 0 everything was read, 2 a file or the command line is wrong. */
int detect_command(int argc, char **argv);

#endif
