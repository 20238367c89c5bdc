//go:build ignore

/* domain_sock server PATH | client PATH: a server and a client that meet at a UNIX
   domain socket. The steps are numbered as in main.go. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 5, MAX_CHILDREN = 256, MAX_MESSAGE = 255, PATIENCE = 5 /* seconds */ };

static const char *path;
static struct stat made; /* the socket that this server bound */
static volatile sig_atomic_t ending;

static _Noreturn void quit(const char *call, const char *object, const char *reason)
{
    fprintf(stderr, "domain_sock: %s %s: %s\n", call, object, reason);
    exit(255);
}

static _Noreturn void fail(const char *call)
{
    quit(call, path, strerror(errno));
}

static _Noreturn void usage(void)
{
    fprintf(stderr, "domain_sock: want the command server or client, and PATH\n"
                    "usage: domain_sock server PATH\n"
                    "       domain_sock client PATH\n");
    exit(255);
}

static void set_address(struct sockaddr_un *address)
{
    size_t len = strlen(path);

    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    errno = len == 0 ? EINVAL : ENAMETOOLONG;
    if (len == 0 || len >= sizeof address->sun_path)
        fail("socket");
    memcpy(address->sun_path, path, len);
}

/* Several processes write to the same standard output: a line is one write. */
static int print(const char *prefix, const char *msg, size_t len)
{
    char line[64 + MAX_MESSAGE];
    size_t n = strlen(prefix);

    memcpy(line, prefix, n);
    memcpy(line + n, msg, len);
    line[n + len] = '\n';
    n += len + 1;
    return write(STDOUT_FILENO, line, n) == (ssize_t)n ? 0 : -1;
}

/* Lock the directory, so that no two servers remove and bind at the same time. The
   lock ends when the descriptor is closed; -1 is a directory that cannot be read. */
static int lock_directory(void)
{
    char dir[sizeof((struct sockaddr_un *)0)->sun_path] = ".";
    const char *slash = strrchr(path, '/');
    int fd;

    if (slash != NULL) {
        memcpy(dir, path, slash - path + 1);
        dir[slash - path + 1] = '\0';
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd == -1 && errno == EACCES)
        return -1;
    if (fd == -1)
        fail("open the directory of");
    while (flock(fd, LOCK_EX) == -1)
        if (errno != EINTR)
            fail("flock");
    return fd;
}

/* A datagram socket tells whether a stream socket is bound, by EPROTOTYPE, and the
   server does not see a connection. */
static void remove_stale(const struct sockaddr_un *address)
{
    struct stat st;
    int fd, err;

    if (lstat(path, &st) == -1) {
        if (errno == ENOENT)
            return;
        fail("lstat");
    }
    if (!S_ISSOCK(st.st_mode))
        quit("bind", path, "is there and is no socket");
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        fail("socket");
    err = connect(fd, (const struct sockaddr *)address, sizeof *address) == -1 ? errno : 0;
    close(fd);
    if (err != ECONNREFUSED)
        quit("bind", path, err == 0 || err == EPROTOTYPE ? strerror(EADDRINUSE) : strerror(err));
    if (unlink(path) == -1 && errno != ENOENT)
        fail("unlink");
}

static void remove_socket(void)
{
    struct stat st;

    if (lstat(path, &st) == 0 && st.st_dev == made.st_dev && st.st_ino == made.st_ino)
        unlink(path);
}

static void on_end(int signo)
{
    ending = signo;
}

static void on_child(int signo)
{
    (void)signo; /* it only interrupts accept, for the children to be reaped */
}

static void catch(int signo, void (*handler)(int))
{
    struct sigaction act;

    memset(&act, 0, sizeof act);
    act.sa_handler = handler; /* no SA_RESTART: accept is to return */
    sigaction(signo, &act, NULL);
}

static _Noreturn void serve(int fd, int conn, const sigset_t *mask)
{
    struct timeval patience = {.tv_sec = PATIENCE};
    char buf[MAX_MESSAGE];
    int status = 0;
    ssize_t n;

    /* [8] the child has the listening socket and the handlers too: it has no use for them */
    close(fd);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    signal(SIGHUP, SIG_DFL);
    sigprocmask(SIG_SETMASK, mask, NULL);
    /* [9] read the message */
    setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    n = read(conn, buf, sizeof buf);
    if (n == -1) {
        fprintf(stderr, "domain_sock: read connection: %s\n", strerror(errno == EAGAIN ? ETIMEDOUT : errno));
        _exit(255);
    }
    /* [10] print it */
    if (print("message from client: ", buf, n) == -1) {
        fprintf(stderr, "domain_sock: write standard output: %s\n", strerror(errno));
        status = 255;
    }
    /* [11] answer */
    if (send(conn, "hello from server", 17, MSG_NOSIGNAL) == -1) {
        fprintf(stderr, "domain_sock: write connection: %s\n", strerror(errno));
        status = 255;
    }
    /* [12] close the connection, once the rest of a longer message has come in: with
       data unread, the client would see it as reset */
    if (n == (ssize_t)sizeof buf && shutdown(conn, SHUT_WR) == 0)
        for (time_t start = time(NULL); time(NULL) - start <= PATIENCE && read(conn, buf, sizeof buf) > 0;)
            ;
    close(conn);
    _exit(status);
}

static int server(void)
{
    struct sockaddr_un address;
    int fd, dir, conn, children = 0;
    sigset_t interrupts, old;
    pid_t pid;

    set_address(&address);
    if (fcntl(STDOUT_FILENO, F_GETFL) == -1)
        quit("write", "standard output", strerror(errno));
    /* [1] create the socket */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        fail("socket");
    /* [2] take away what a dead server has left at the path */
    dir = lock_directory();
    if (dir != -1)
        remove_stale(&address);
    sigemptyset(&interrupts);
    sigaddset(&interrupts, SIGINT);
    sigaddset(&interrupts, SIGTERM);
    sigaddset(&interrupts, SIGHUP);
    sigaddset(&interrupts, SIGCHLD);
    sigprocmask(SIG_BLOCK, &interrupts, &old);
    /* [3] give the socket its name */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) == -1)
        fail("bind");
    lstat(path, &made);
    catch(SIGINT, on_end);
    catch(SIGTERM, on_end);
    catch(SIGHUP, on_end);
    catch(SIGCHLD, on_child);
    if (dir != -1)
        close(dir);
    /* [4] let clients connect */
    if (listen(fd, BACKLOG) == -1) {
        remove_socket();
        fail("listen");
    }
    while (!ending) {
        fd_set set;

        while (children > 0 && waitpid(-1, NULL, WNOHANG) > 0)
            children--;
        /* [5] wait for a connection; signals come only while this waits */
        if (children == MAX_CHILDREN) {
            sigsuspend(&old);
            continue;
        }
        FD_ZERO(&set);
        FD_SET(fd, &set);
        if (pselect(fd + 1, &set, NULL, NULL, NULL, &old) == -1)
            continue;
        conn = accept(fd, NULL, NULL);
        if (conn == -1) {
            if (errno == EINTR || errno == ECONNABORTED)
                continue;
            fprintf(stderr, "domain_sock: accept %s: %s\n", path, strerror(errno));
            if (errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
                break;
            sleep(1);
            continue;
        }
        /* [6] create a child, which inherits the connection */
        pid = fork();
        if (pid == 0)
            serve(fd, conn, &old);
        if (pid == -1)
            fprintf(stderr, "domain_sock: fork: %s\n", strerror(errno));
        else
            children++;
        /* [7] close the parent's copy */
        close(conn);
    }
    remove_socket();
    if (ending) {
        signal(ending, SIG_DFL);
        raise(ending);
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
    return 255;
}

static int client(void)
{
    struct sockaddr_un address;
    char buf[MAX_MESSAGE];
    ssize_t n;
    int fd;

    set_address(&address);
    /* [13] create the socket */
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd == -1)
        fail("socket");
    /* [14] connect it to the server; this waits while the backlog is full */
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == -1)
        fail("connect");
    /* [15] send the message */
    if (send(fd, "hello from a client", 19, MSG_NOSIGNAL) == -1)
        fail("write");
    /* [16] read the answer */
    n = read(fd, buf, sizeof buf);
    if (n == -1)
        fail("read");
    if (n == 0)
        quit("read", path, "the server closed the connection without an answer");
    /* [17] print it */
    if (print("message from server: ", buf, n) == -1)
        quit("write", "standard output", strerror(errno));
    /* [18] close the connection */
    close(fd);
    return 0;
}

int main(int argc, char *argv[])
{
    if (argc != 3)
        usage();
    path = argv[2];
    if (strcmp(argv[1], "server") == 0)
        return server();
    if (strcmp(argv[1], "client") == 0)
        return client();
    usage();
}
