//go:build ignore

/* simple_pipe STRING: send STRING through a pipe to a child, which prints it.
   The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUF_SIZE = 10 };

static void fail(const char *call)
{
    fprintf(stderr, "simple_pipe: %s: %s\n", call, strerror(errno));
    exit(1);
}

static void child(const int pfd[2])
{
    char buf[BUF_SIZE];
    ssize_t n;

    /* [7] the child has both ends: it closes the one it does not use */
    close(pfd[1]);
    for (;;) {
        /* [8] read a piece; no bytes means that every write end is closed */
        n = read(pfd[0], buf, sizeof buf);
        if (n == -1)
            fail("read");
        if (n == 0)
            break;
        /* [9] pass it on */
        if (write(STDOUT_FILENO, buf, n) != n)
            fail("write");
    }
    /* [10] end the line */
    if (write(STDOUT_FILENO, "\n", 1) != 1)
        fail("write");
    _exit(0);
}

int main(int argc, char *argv[])
{
    int pfd[2], status;
    size_t len;

    if (argc != 2) {
        fprintf(stderr, "simple_pipe: want 1 argument, got %d\nusage: simple_pipe STRING\n", argc - 1);
        return 1;
    }
    /* [1] create the pipe */
    if (pipe(pfd) == -1)
        fail("pipe");
    /* [2] create the child, which inherits both ends */
    switch (fork()) {
    case -1:
        fail("fork");
        break;
    case 0:
        child(pfd);
        break;
    default:
        break;
    }
    /* [3] close the unused end */
    close(pfd[0]);
    /* [4] write the string */
    len = strlen(argv[1]);
    if (write(pfd[1], argv[1], len) != (ssize_t)len)
        fail("write");
    /* [5] close the write end: the child sees the end of the data */
    close(pfd[1]);
    /* [6] wait for the child */
    if (wait(&status) == -1)
        fail("wait");
    if (WIFSIGNALED(status))
        fprintf(stderr, "simple_pipe: child: signal: %s\n", strsignal(WTERMSIG(status)));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : 1;
}
