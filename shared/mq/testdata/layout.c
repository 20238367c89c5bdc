/* layout prints the sizes, offsets and constants of layout_unsafe_test.go, in its
   order. */

#include <mqueue.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

static void print(long x)
{
    printf("%ld\n", x);
}

int main(void)
{
    print(sizeof(struct mq_attr));
    print(offsetof(struct mq_attr, mq_flags));
    print(offsetof(struct mq_attr, mq_maxmsg));
    print(offsetof(struct mq_attr, mq_msgsize));
    print(offsetof(struct mq_attr, mq_curmsgs));
    print(sizeof(struct sigevent));
    print(offsetof(struct sigevent, sigev_value));
    print(offsetof(struct sigevent, sigev_signo));
    print(offsetof(struct sigevent, sigev_notify));
    print(SIGEV_SIGNAL);
    print(SIGEV_NONE);
    print(SIGEV_THREAD);
    print(sysconf(_SC_MQ_PRIO_MAX));
    return 0;
}
