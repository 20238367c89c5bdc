//go:build ignore

/* doors_server [PATH]: attach a door to PATH (/tmp/door) and print what it is called
   with. The steps are numbered as in main.go; the client is doors_client.c or
   doors_emul client. door.h says what travels over the socket. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../shared/door/door.h"

struct arg { int32_t id; };
struct result { int64_t square; };

enum { MAX_CONNECTIONS = 256 }; /* further clients wait in the backlog */

static const char *path = "/tmp/door";
static int door;           /* the listening socket */
static int dir;            /* the directory of path */
static char name[256];     /* its last part */
static struct stat made;   /* the socket at path */
static struct stat covered; /* the empty file that was there: st_mode is not 0 */
static int attached;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t room = PTHREAD_COND_INITIALIZER;
static int connections;

static void detach(void);

static _Noreturn void fail(const char *call)
{
    fprintf(stderr, "doors_server: %s %s: %s\n", call, path, strerror(errno));
    detach();
    exit(1);
}

/* The server procedure of this door. It returns 0, or why it could not print. */
static int square(const struct arg *arg, struct result *result)
{
    char line[64];
    int len, error = 0;

    /* [5] print the argument */
    len = snprintf(line, sizeof line, "door called with id = %d\n", (int)arg->id);
    if (write(STDOUT_FILENO, line, (size_t)len) != len)
        error = errno;
    /* [6] return the result */
    result->square = (int64_t)arg->id * arg->id;
    return error;
}

/* Without its standard output the server ends; the client has its answer. */
static _Noreturn void no_output(int error)
{
    path = "standard output";
    errno = error;
    if (error == EPIPE) {
        detach();
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    fail("write");
}

static int answer(int fd, int type, int error, const void *data, size_t size)
{
    struct door_frame frame = {
        .magic = DOOR_MAGIC, .version = DOOR_VERSION, .type = (uint16_t)type,
        .error = (uint32_t)error, .size = size,
    };
    struct iovec iov[2] = { { &frame, sizeof frame }, { (void *)data, size } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

    return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) != -1;
}

/* serve_frame receives a frame and answers it. It returns 0 when the connection
   is to be closed. recvmsg gets no room for descriptors: the kernel closes them. */
static int serve_frame(int fd)
{
    struct door_frame frame;
    struct arg arg;
    struct result result;
    struct iovec iov[2] = { { &frame, sizeof frame }, { &arg, sizeof arg } };
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
    struct door_info_reply info = { .data_min = sizeof arg, .data_max = sizeof arg };
    struct stat st;
    struct ucred peer;
    socklen_t len = sizeof peer;
    ssize_t n;

    while ((n = recvmsg(fd, &msg, 0)) == -1 && errno == EINTR)
        ;
    if (n < (ssize_t)sizeof frame || frame.magic != DOOR_MAGIC)
        return 0;
    if (frame.version != DOOR_VERSION) {
        answer(fd, DOOR_ERROR, EPROTONOSUPPORT, NULL, 0);
        return 0;
    }
    switch (frame.type) {
    case DOOR_INFO:
        info.pid = getpid();
        if (fstat(door, &st) == 0)
            info.uniquifier = st.st_ino;
        return answer(fd, DOOR_RETURN, 0, &info, sizeof info);
    case DOOR_DETACH:
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == -1 || (peer.uid != 0 && peer.uid != geteuid()))
            return answer(fd, DOOR_ERROR, EPERM, NULL, 0);
        detach();
        return answer(fd, DOOR_RETURN, 0, NULL, 0);
    case DOOR_CALL:
        if (frame.n_desc > 0)
            return answer(fd, DOOR_ERROR, ENOTSUP, NULL, 0);
        if (frame.size != sizeof arg)
            return answer(fd, DOOR_ERROR, ENOBUFS, NULL, 0);
        if (frame.flags == 0 && n == (ssize_t)(sizeof frame + sizeof arg) && !(msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
            int error = square(&arg, &result);
            int sent = answer(fd, DOOR_RETURN, 0, &result, sizeof result);
            if (error)
                no_output(error);
            return sent;
        }
    }
    answer(fd, DOOR_ERROR, EPROTO, NULL, 0);
    return 0;
}

static void *connection(void *p)
{
    int fd = (int)(intptr_t)p;

    while (serve_frame(fd))
        ;
    close(fd);
    pthread_mutex_lock(&lock);
    connections--;
    pthread_cond_signal(&room);
    pthread_mutex_unlock(&lock);
    return NULL;
}

/* listener accepts clients, each of which gets a thread. */
static void *listener(void *unused)
{
    pthread_t thread;
    int fd;

    for (;;) {
        pthread_mutex_lock(&lock);
        while (connections >= MAX_CONNECTIONS)
            pthread_cond_wait(&room, &lock);
        connections++;
        pthread_mutex_unlock(&lock);
        fd = accept4(door, NULL, NULL, SOCK_CLOEXEC);
        if (fd != -1 && pthread_create(&thread, NULL, connection, (void *)(intptr_t)fd) == 0) {
            pthread_detach(thread);
            continue;
        }
        if (fd != -1)
            close(fd);
        pthread_mutex_lock(&lock);
        connections--;
        pthread_mutex_unlock(&lock);
    }
    return unused;
}

static int connect_to(const char *socket_path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct timeval two = { .tv_sec = 2 };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    if (fd == -1)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &two, sizeof two);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &two, sizeof two);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == -1) {
        int err = errno;
        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static int ask(int fd, int type)
{
    struct door_frame frame = { .magic = DOOR_MAGIC, .version = DOOR_VERSION, .type = (uint16_t)type };

    return send(fd, &frame, sizeof frame, MSG_NOSIGNAL) == sizeof frame
        && recv(fd, &frame, sizeof frame, 0) == sizeof frame
        && frame.magic == DOOR_MAGIC && frame.type == DOOR_RETURN;
}

/* fdetach takes what door is attached at path off it: the server of a live one is
   asked to, what a dead one has left is removed. All else is left to fattach. */
static void fdetach_path(void)
{
    char proc[64];
    struct stat st;
    int there, fd;

    there = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (there == -1)
        return;
    if (fstat(there, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == geteuid()) {
        snprintf(proc, sizeof proc, "/proc/self/fd/%d", there);
        fd = connect_to(proc);
        if (fd == -1 && errno == ECONNREFUSED)
            unlinkat(dir, name, 0);
        if (fd != -1) {
            if (ask(fd, DOOR_INFO))
                ask(fd, DOOR_DETACH);
            close(fd);
        }
    }
    close(there);
}

/* fattach gives the socket its name, by a temporary one, so that no client finds it
   half made. */
static void fattach(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct stat st;
    char temp[32];

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EADDRINUSE;
        if (S_ISSOCK(st.st_mode))
            fail("fattach");
        errno = S_ISDIR(st.st_mode) ? EISDIR : S_ISLNK(st.st_mode) ? ELOOP : EEXIST;
        if (!S_ISREG(st.st_mode) || st.st_size > 0 || st.st_nlink > 1)
            fail("fattach");
        errno = EPERM;
        if (st.st_uid != geteuid())
            fail("fattach");
        covered = st;
    } else if (errno != ENOENT) {
        fail("fattach");
    }
    snprintf(temp, sizeof temp, ".door.%ld", (long)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", dir, temp);
    fchmod(door, 0666); /* the name gets this mode, less the umask */
    if (bind(door, (struct sockaddr *)&address, sizeof address) == -1)
        fail("fattach");
    if (listen(door, 4096) == -1 || fstatat(dir, temp, &made, AT_SYMLINK_NOFOLLOW) == -1
        || (covered.st_mode && fchmodat(dir, temp, covered.st_mode & 0777, 0) == -1)
        || (covered.st_mode ? renameat(dir, temp, dir, name) : renameat2(dir, temp, dir, name, RENAME_NOREPLACE)) == -1) {
        int err = errno == EEXIST ? EBUSY : errno;
        unlinkat(dir, temp, 0);
        errno = err;
        fail("fattach");
    }
    attached = 1;
}

/* detach takes the door off path, if it is still there, and gives back the file. */
static void detach(void)
{
    struct stat st;
    int fd;

    pthread_mutex_lock(&lock);
    if (attached && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == made.st_dev && st.st_ino == made.st_ino) {
        unlinkat(dir, name, 0);
        if (covered.st_mode) {
            fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
            if (fd != -1) {
                fchmod(fd, covered.st_mode & 0777);
                close(fd);
            }
        }
    }
    attached = 0;
    pthread_mutex_unlock(&lock);
}

static void open_directory(void)
{
    char *copy = strdup(path);
    const char *slash = strrchr(path, '/'), *last = slash ? slash + 1 : path;

    errno = !*path ? ENOENT : EISDIR;
    if (!*last || !strcmp(last, ".") || !strcmp(last, ".."))
        fail("fattach");
    errno = ENAMETOOLONG;
    if (strlen(last) >= sizeof name)
        fail("fattach");
    strcpy(name, last);
    dir = open(dirname(copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir == -1)
        fail("fattach");
    free(copy);
}

int main(int argc, char *argv[])
{
    pthread_t thread;
    sigset_t ending;
    int sig;

    if (argc > 2) {
        fprintf(stderr, "doors_server: want 0 to 1 arguments, got %d\nusage: doors_server [PATH]\n", argc - 1);
        return 1;
    }
    if (argc > 1)
        path = argv[1];
    /* only main takes these, in step 4 */
    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    signal(SIGPIPE, SIG_IGN);

    /* [1] create the door */
    door = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (door == -1)
        fail("door_create");
    open_directory();
    /* [2] take off what door is attached to the path */
    fdetach_path();
    /* [3] attach the door: from now on clients can call it */
    fattach();
    if (pthread_create(&thread, NULL, listener, NULL) != 0)
        fail("door_create");
    /* [4] wait; the calls come by themselves */
    sigwait(&ending, &sig);
    detach();
    signal(sig, SIG_DFL);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &ending, NULL);
    return 1;
}
