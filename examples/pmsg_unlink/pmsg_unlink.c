//go:build ignore

/* pmsg_unlink NAME: remove the name of a POSIX message queue. The steps are
   numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <mqueue.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char *argv[])
{
    if (argc != 2) {
        fprintf(stderr, "pmsg_unlink: want 1 argument, got %d\nusage: pmsg_unlink NAME\n", argc - 1);
        return 1;
    }
    /* [1] remove the name */
    if (mq_unlink(argv[1]) == -1) {
        fprintf(stderr, "pmsg_unlink: mq_unlink %s: %s\n", argv[1], strerror(errno));
        return 1;
    }
    return 0;
}
