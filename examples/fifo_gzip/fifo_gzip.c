//go:build ignore

/* fifo_gzip [--fifo PATH] FILE [FILE.gz]: send FILE through a FIFO to gzip. The
   steps are numbered as in main.go. As in a shell, the parent waits for ever in
   step [5] if the child dies before it has opened the FIFO. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BUF_SIZE = 64 * 1024 };

static const char usage[] = "fifo_gzip [--fifo PATH] FILE [FILE.gz]";
static const char *fifo = "pipe_file";
static const char *created; /* FILE.gz, if this run created it */
static volatile sig_atomic_t made;
static volatile pid_t child_pid;

static void clean_up(void)
{
    if (child_pid > 0)
        kill(child_pid, SIGKILL);
    if (created != NULL)
        unlink(created);
    if (made)
        unlink(fifo);
}

static void on_signal(int signo)
{
    clean_up();
    signal(signo, SIG_DFL);
    raise(signo);
}

static void quit(const char *call, const char *object, const char *reason)
{
    fprintf(stderr, "fifo_gzip: %s %s: %s\n", call, object, reason);
    clean_up();
    exit(1);
}

static void fail(const char *call, const char *object)
{
    quit(call, object, strerror(errno));
}

static int open_input(const char *name)
{
    struct stat st;
    int fd = STDIN_FILENO;

    if (strcmp(name, "-") != 0)
        fd = open(name, O_RDONLY | O_CLOEXEC);
    if (fd == -1 || fstat(fd, &st) == -1)
        fail("open", name);
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        fail("read", name);
    }
    return fd;
}

static int open_output(const char *name, int in)
{
    struct stat from, to, pipe;
    int fd = STDOUT_FILENO;

    if (strcmp(name, "-") != 0) {
        if (stat(name, &to) == 0 && stat(fifo, &pipe) == 0 && to.st_dev == pipe.st_dev && to.st_ino == pipe.st_ino)
            quit("open", name, "is the FIFO itself");
        fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd != -1)
            created = name;
        else if (errno == EEXIST)
            fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    }
    if (fd == -1 || fstat(fd, &to) == -1 || fstat(in, &from) == -1)
        fail("open", name);
    if (S_ISREG(to.st_mode)) {
        if (from.st_dev == to.st_dev && from.st_ino == to.st_ino)
            quit("open", name, "is the input file itself");
        if (fd != STDOUT_FILENO && created == NULL && ftruncate(fd, 0) == -1)
            fail("truncate", name);
    }
    return fd;
}

static void child(int out, pid_t parent)
{
    int fd;

    /* It is to die with the parent, even of SIGKILL: it would wait for ever in its
       open. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    made = 0; /* the parent's business */
    created = NULL;
    child_pid = 0;
    if (dup2(out, STDOUT_FILENO) == -1)
        fail("dup2", "standard output");
    /* [11] open the FIFO: this waits until the parent has opened it */
    fd = open(fifo, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd == -1)
        fail("open", fifo);
    /* [12] put it in the place of standard input */
    if (dup2(fd, STDIN_FILENO) == -1)
        fail("dup2", "standard input");
    /* [13] become gzip */
    execlp("gzip", "gzip", "-c9", (char *)NULL);
    fail("exec", "gzip");
}

int main(int argc, char *argv[])
{
    static const struct option options[] = {{"fifo", required_argument, NULL, 'f'}, {NULL, 0, NULL, 0}};
    static char buf[BUF_SIZE], default_name[4096];
    const char *in_name, *out_name;
    int in, out, pipe, status, opt;
    pid_t pid, parent;
    ssize_t n;

    while ((opt = getopt_long(argc, argv, "+", options, NULL)) != -1) {
        if (opt != 'f') {
            fprintf(stderr, "usage: %s\n", usage);
            return 1;
        }
        fifo = optarg;
    }
    if (argc - optind < 1 || argc - optind > 2) {
        fprintf(stderr, "fifo_gzip: want 1 to 2 arguments, got %d\nusage: %s\n", argc - optind, usage);
        return 1;
    }
    in_name = argv[optind];
    if (argc - optind == 2) {
        out_name = argv[optind + 1];
    } else if (strcmp(in_name, "-") == 0) {
        out_name = "-";
    } else {
        if ((size_t)snprintf(default_name, sizeof default_name, "%s.gz", in_name) >= sizeof default_name) {
            errno = ENAMETOOLONG;
            fail("open", in_name);
        }
        out_name = default_name;
    }

    if (strcmp(out_name, "-") == 0 && fcntl(STDOUT_FILENO, F_GETFL) == -1)
        fail("write", "standard output");
    /* [1] open FILE */
    in = open_input(in_name);
    /* [2] make the FIFO */
    if (mkfifo(fifo, 0666) == -1) {
        fprintf(stderr, "fifo_gzip: mkfifo %s: %s\n", fifo, strerror(errno));
        return 1;
    }
    made = 1;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    signal(SIGHUP, on_signal);
    /* [3] open FILE.gz */
    out = open_output(out_name, in);
    /* [4] create the child, whose standard output is FILE.gz */
    parent = getpid();
    pid = fork();
    if (pid == -1)
        fail("fork", "gzip");
    if (pid == 0)
        child(out, parent);
    child_pid = pid;
    signal(SIGPIPE, SIG_IGN); /* EPIPE says it */
    /* [5] open the FIFO: this waits until the child has opened it */
    pipe = open(fifo, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
    if (pipe == -1)
        fail("open", fifo);
    for (;;) {
        /* [6] read a piece */
        n = read(in, buf, sizeof buf);
        if (n == -1)
            fail("read", in_name);
        if (n == 0)
            break;
        /* [7] pass it on; a child that died shows here as EPIPE */
        for (ssize_t done = 0, m; done < n; done += m) {
            m = write(pipe, buf + done, n - done);
            if (m == -1)
                fail("write", fifo);
        }
    }
    /* [8] close the FIFO: gzip sees the end of the data */
    close(pipe);
    /* [9] wait for the child */
    if (waitpid(pid, &status, 0) == -1)
        fail("wait", "gzip");
    child_pid = 0;
    if (WIFSIGNALED(status))
        quit("gzip", "signal", strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0) {
        fprintf(stderr, "fifo_gzip: gzip: exit status %d\n", WEXITSTATUS(status));
        clean_up();
        return 1;
    }
    /* [10] remove the FIFO */
    if (unlink(fifo) == -1)
        fail("unlink", fifo);
    return 0;
}
