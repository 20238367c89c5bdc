//go:build ignore

/* pmsg_getattr NAME: print the limits of a POSIX message queue and how many
   messages it holds. The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void fail(const char *call, const char *name)
{
    fprintf(stderr, "pmsg_getattr: %s %s: %s\n", call, name, strerror(errno));
    exit(1);
}

int main(int argc, char *argv[])
{
    struct mq_attr attr;
    const char *name;
    mqd_t mqd;

    if (argc != 2) {
        fprintf(stderr, "pmsg_getattr: want 1 argument, got %d\nusage: pmsg_getattr NAME\n", argc - 1);
        return 1;
    }
    name = argv[1];
    /* [1] open the queue for reading */
    mqd = mq_open(name, O_RDONLY);
    if (mqd == (mqd_t)-1)
        fail("mq_open", name);
    /* [2] ask for its attributes */
    if (mq_getattr(mqd, &attr) == -1)
        fail("mq_getattr", name);
    /* [3] print them */
    printf("Maximum # of messages on queue:   %ld\n", attr.mq_maxmsg);
    printf("Maximum message size:             %ld\n", attr.mq_msgsize);
    printf("# of messages currently on queue: %ld\n", attr.mq_curmsgs);
    if (fflush(stdout) == EOF)
        fail("write", "standard output");
    return 0;
}
