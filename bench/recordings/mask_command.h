/* `tonegate mask`: recordings with the keys taken out. */
#ifndef TONEGATE_BENCH_RECORDINGS_MASK_COMMAND_H
#define TONEGATE_BENCH_RECORDINGS_MASK_COMMAND_H

/* argv[0] is "mask". Returns the exit code: 0 every recording was masked, 1 masked, but a key can still be heard in one,
 * 2 a file or the command line is wrong. */
int mask_command(int argc, char **argv);

#endif
