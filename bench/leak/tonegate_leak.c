/* tonegate-leak: the program alone, for whoever has only the tools; the same as `tonegate leak`. */
#include "bench/leak/leak_command.h"

int main(int argc, char **argv)
{
    return leak_command("tonegate-leak", argc, argv);
}
