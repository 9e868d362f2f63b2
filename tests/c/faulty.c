/* Does what its argument says; without one, nothing wrong. A checker has to find each. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
    const char *fault = argc == 2 ? argv[1] : "none";
    volatile int large = INT_MAX;
    char *volatile four = malloc(4);

    if (strcmp(fault, "overflow") == 0) {
        four[4] = 1;
    } else if (strcmp(fault, "leak") == 0) {
        four = malloc(4);
    } else if (strcmp(fault, "undefined") == 0) {
        large = large + 1;
    }
    free(four);
    return 0;
}
