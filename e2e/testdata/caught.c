/* Preloaded into a C program (LD_PRELOAD), this makes it catch SIGUSR1, and go on. */
#define _XOPEN_SOURCE 700
#include <signal.h>
#include <stddef.h>

static void caught(int sig)
{
    (void)sig;
}

__attribute__((constructor)) static void catch_it(void)
{
    struct sigaction act = {.sa_handler = caught, .sa_flags = SA_RESTART};

    sigemptyset(&act.sa_mask);
    sigaction(SIGUSR1, &act, NULL);
}
