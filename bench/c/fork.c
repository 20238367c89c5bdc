/* fork.c: fork(2), _exit(2) and waitpid(2). */
#include "half.h"

#include <sys/wait.h>
#include <unistd.h>

static void fork_op(struct half *h, void *state, size_t i)
{
    int status;
    pid_t pid = fork();

    (void)h, (void)state, (void)i;
    if (pid == -1)
        fail_errno("fork");
    if (pid == 0)
        _exit(0);
    if (waitpid(pid, &status, 0) == -1 || status != 0)
        fail_errno("waitpid");
}

void fork_role(struct half *h) { run(h, 1, fork_op, NULL); }
