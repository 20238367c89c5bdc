//go:build ignore

/* pmsg_send [-n] NAME MSG [PRIO]: put a message into a POSIX message queue. The
   steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PRIO_MAX = 32768 };

static _Noreturn void usage(const char *what, const char *text)
{
    fprintf(stderr, "pmsg_send: %s%s\n", what, text);
    fprintf(stderr, "usage: pmsg_send [-n] NAME MSG [PRIO]\n");
    exit(1);
}

static _Noreturn void fail(const char *call, const char *name)
{
    fprintf(stderr, "pmsg_send: %s %s: %s\n", call, name, strerror(errno));
    exit(1);
}

int main(int argc, char *argv[])
{
    int flags = O_WRONLY, opt, n;
    const char *name, *msg;
    unsigned prio = 0;
    mqd_t mqd;

    opterr = 0;
    while ((opt = getopt(argc, argv, "n")) != -1) {
        if (opt != 'n')
            usage("bad option", "");
        flags |= O_NONBLOCK;
    }
    n = argc - optind;
    if (n < 2 || n > 3)
        usage("want 2 to 3 arguments", "");
    name = argv[optind];
    msg = argv[optind + 1];
    /* [1] the priority */
    if (n == 3) {
        const char *text = argv[optind + 2];
        char *end;
        long p;

        errno = 0;
        p = strtol(text, &end, 10);
        if (end == text || *end != '\0' || errno != 0 || p < 0 || p >= PRIO_MAX)
            usage("PRIO must be 0 to 32767, not ", text);
        prio = (unsigned)p;
    }
    /* [2] open the queue for writing */
    mqd = mq_open(name, flags);
    if (mqd == (mqd_t)-1)
        fail("mq_open", name);
    /* [3] send the message; a full queue makes us wait here, or fail with -n */
    if (mq_send(mqd, msg, strlen(msg), prio) == -1)
        fail("mq_send", name);
    return 0;
}
