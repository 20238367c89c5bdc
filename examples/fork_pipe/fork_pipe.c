//go:build ignore

/* fork_pipe: scan a number that a child prints, through a pipe that stands in
   the place of standard input and output. The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *call)
{
    fprintf(stderr, "fork_pipe: %s: %s\n", call, strerror(errno));
    exit(255);
}

/* A descriptor that was closed at the start may be an end of the pipe itself. */
static void put(int end, int fd)
{
    if (dup2(end, fd) == -1)
        fail("dup2");
    if (end != fd)
        close(end);
}

static void child(const int pfd[2])
{
    /* [7] put the write end in the place of standard output */
    put(pfd[1], STDOUT_FILENO);
    /* [8] close the unused end */
    if (pfd[0] != STDOUT_FILENO)
        close(pfd[0]);
    /* [9] print the number */
    if (printf("%d\n", 5000) < 0 || fflush(stdout) == EOF)
        fail("write standard output");
    _exit(0);
}

int main(int argc, char *argv[])
{
    int pfd[2], status, value, n;

    (void)argv;
    if (argc != 1) {
        fprintf(stderr, "fork_pipe: want 0 arguments, got %d\nusage: fork_pipe\n", argc - 1);
        return 255;
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
    /* [3] put the read end in the place of standard input */
    put(pfd[0], STDIN_FILENO);
    /* [4] close the unused end, or the scan would wait for more for ever */
    if (pfd[1] != STDIN_FILENO)
        close(pfd[1]);
    /* [5] scan what the child prints */
    n = scanf("%d\n", &value);
    if (wait(&status) == -1)
        fail("wait");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        if (WIFEXITED(status))
            fprintf(stderr, "fork_pipe: child: exit status %d\n", WEXITSTATUS(status));
        else
            fprintf(stderr, "fork_pipe: child: signal: %s\n", strsignal(WTERMSIG(status)));
        return 255;
    }
    if (n != 1) {
        fprintf(stderr, "fork_pipe: scan standard input: no number came\n");
        return 255;
    }
    /* [6] print it */
    if (printf("child sent value = %d\n", value) < 0 || fflush(stdout) == EOF)
        fail("write standard output");
    return 0;
}
