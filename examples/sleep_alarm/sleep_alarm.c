//go:build ignore

/* sleep_alarm [--style pause|longjmp|channel] [SECONDS]: sleep by an alarm, in
   three styles. The steps are numbered as in main.go. */

#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char usage[] = "sleep_alarm [--style pause|longjmp|channel] [SECONDS]";

static void fail(const char *call)
{
    fprintf(stderr, "sleep_alarm: %s: %s\n", call, strerror(errno));
    exit(1);
}

/* In a handler, printf could find stdio in the middle of something. */
static void say(const char *line)
{
    static const char lost[] = "sleep_alarm: write standard output failed\n";
    size_t len = strlen(line);

    if (write(STDOUT_FILENO, line, len) != (ssize_t)len) {
        if (write(STDERR_FILENO, lost, sizeof lost - 1) == -1)
            _exit(1);
        _exit(1);
    }
}

static void sig_int(int signo)
{
    volatile unsigned j = 0;

    (void)signo;
    say("sig_int enter\n");
    for (unsigned i = 0; i < 10000000; i++)
        j += i * i;
    say("sig_int done\n");
}

static void sig_alrm(int signo)
{
    (void)signo;
}

static unsigned sleep_pause(unsigned seconds)
{
    /* [4] set the handler of SIGALRM, which does nothing */
    signal(SIGALRM, sig_alrm);
    /* [5] set the alarm */
    alarm(seconds);
    /* [6] wait for a signal; an alarm that came between [5] and here is lost */
    pause();
    /* [7] turn off the alarm */
    return alarm(0);
}

static sigjmp_buf env_alrm;

static void sig_alrm_jump(int signo)
{
    (void)signo;
    siglongjmp(env_alrm, 1);
}

static unsigned sleep_longjmp(unsigned seconds)
{
    /* [8] set the handler of SIGALRM, which jumps to [9] */
    signal(SIGALRM, sig_alrm_jump);
    /* [9] the place to jump to; the signal mask is restored with it */
    if (sigsetjmp(env_alrm, 1) == 0) {
        /* [10] set the alarm */
        alarm(seconds);
        /* [11] wait for a signal */
        pause();
    }
    /* [12] turn off the alarm */
    return alarm(0);
}

static volatile sig_atomic_t rang;

static void sig_alrm_note(int signo)
{
    (void)signo;
    rang = 1;
}

/* C has no channel: signals are blocked but while sigsuspend waits for one. */
static unsigned sleep_channel(unsigned seconds)
{
    struct sigaction act;
    sigset_t block, old;

    /* [13] collect SIGALRM from before the timer is armed */
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    sigaddset(&block, SIGINT);
    if (sigprocmask(SIG_BLOCK, &block, &old) == -1)
        fail("sigprocmask");
    memset(&act, 0, sizeof act);
    act.sa_mask = block; /* no handler interrupts another */
    act.sa_handler = sig_alrm_note;
    if (sigaction(SIGALRM, &act, NULL) == -1)
        fail("sigaction");
    act.sa_handler = sig_int;
    if (sigaction(SIGINT, &act, NULL) == -1)
        fail("sigaction");
    sigdelset(&old, SIGALRM);
    sigdelset(&old, SIGINT);
    /* [14] set the alarm */
    alarm(seconds);
    /* [15] take signals one by one until the alarm comes */
    while (!rang)
        sigsuspend(&old);
    /* [16] turn off the alarm */
    return alarm(0);
}

int main(int argc, char *argv[])
{
    static const struct option options[] = {{"style", required_argument, NULL, 's'}, {NULL, 0, NULL, 0}};
    unsigned (*sleep_for)(unsigned) = sleep_pause;
    unsigned long seconds = 1;
    unsigned unslept;
    char *end;
    int opt;

    while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (opt != 's') {
            fprintf(stderr, "usage: %s\n", usage);
            return 1;
        }
        if (strcmp(optarg, "pause") == 0) {
            sleep_for = sleep_pause;
        } else if (strcmp(optarg, "longjmp") == 0) {
            sleep_for = sleep_longjmp;
        } else if (strcmp(optarg, "channel") == 0) {
            sleep_for = sleep_channel;
        } else {
            fprintf(stderr, "sleep_alarm: style \"%s\": want pause, longjmp or channel\nusage: %s\n", optarg, usage);
            return 1;
        }
    }
    if (argc - optind > 1) {
        fprintf(stderr, "sleep_alarm: want 0 to 1 arguments, got %d\nusage: %s\n", argc - optind, usage);
        return 1;
    }
    if (optind < argc) {
        const char *text = argv[optind];

        errno = 0;
        seconds = strtoul(text, &end, 10);
        if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || seconds > INT_MAX) {
            fprintf(stderr, "sleep_alarm: SECONDS \"%s\": want a whole number from 0 to %d\nusage: %s\n", text, INT_MAX,
                    usage);
            return 1;
        }
    }
    /* [1] set the handler of SIGINT */
    signal(SIGINT, sig_int);
    /* [2] sleep; an alarm of 0 seconds would never come */
    unslept = seconds > 0 ? sleep_for((unsigned)seconds) : 0;
    /* [3] print what is left */
    if (printf("sleepFor returned: %u\n", unslept) < 0 || fflush(stdout) == EOF)
        fail("write standard output");
    return 0;
}
