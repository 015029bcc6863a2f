/* What of the keys in one recording is left in another, as a command. */
#ifndef TONEGATE_BENCH_LEAK_LEAK_COMMAND_H
#define TONEGATE_BENCH_LEAK_LEAK_COMMAND_H

/* name is how messages call the program; argv[0] is not looked at. Returns the exit code: 0 nothing leaked, 1 something
 * did, 2 the input cannot be judged. */
int leak_command(const char *name, int argc, char **argv);

#endif
