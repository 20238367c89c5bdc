/* half: one process of a benchmark, in C with glibc's own calls. */
#include "half.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <gnu/libc-version.h>

/* The shortest message that has a number. */
enum { MIN_SIZE = 16 };

enum { GO_FD = 3, REPORT_FD = GO_FD + PHASES, FIRST_FD };

static const struct {
    const char *name;
    role_fn *run;
} roles[] = {
    {"sem.ping", sem_ping},
    {"sem.pong", sem_pong},
    {"spin.sem.ping", spin_ping},
    {"spin.sem.pong", spin_pong},
    {"transfer.write", transfer_write},
    {"transfer.read", transfer_read},
    {"spin.transfer.write", transfer_spin_write},
    {"spin.transfer.read", transfer_spin_read},
    {"queue.put", queue_put},
    {"queue.take", queue_take},
    {"spin.queue.put", queue_spin_put},
    {"spin.queue.take", queue_spin_take},
    {"mutex.lock", mutex_lock},
    {"file.ping", channel_ping},
    {"file.pong", channel_pong},
    {"file.send", channel_send},
    {"file.recv", channel_recv},
    {"fd.ping", channel_ping},
    {"fd.pong", channel_pong},
    {"fd.send", channel_send},
    {"fd.recv", channel_recv},
    {"mq.ping", mq_ping},
    {"mq.pong", mq_pong},
    {"mq.send", mq_send_role},
    {"mq.recv", mq_recv_role},
    {"door.call", door_call},
    {"door.callfd", door_callfd},
    {"door.serve", door_serve},
    {"door.mute", door_mute},
    {"fork", fork_role},
    {"idle.sem", idle_sem},
    {"idle.mutex", idle_mutex},
    {"idle.queue", idle_queue},
    {"idle.mq", idle_mq},
    {"idle.door", idle_door},
    {"version", version},
};

static uint64_t *samples;

static void say(const void *text, size_t len)
{
    const char *p = text;

    while (len > 0) {
        ssize_t n = write(REPORT_FD, p, len);

        if (n == -1 && errno == EINTR)
            continue;
        if (n == -1)
            exit(1);
        p += n;
        len -= (size_t)n;
    }
}

void fail(const char *format, ...)
{
    char text[512];
    int n = snprintf(text, sizeof text, "error ");
    va_list args;

    va_start(args, format);
    vsnprintf(text + n, sizeof text - (size_t)n - 1, format, args);
    va_end(args);
    strcat(text, "\n");
    say(text, strlen(text));
    exit(1);
}

void fail_errno(const char *call) { fail("%s: %s", call, strerror(errno)); }

static int64_t now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* What a process has used up. */
struct used {
    int64_t cpu; /* ns */
    int64_t switches;
};

static struct used usage(void)
{
    static const int who[] = {RUSAGE_SELF, RUSAGE_CHILDREN};
    struct used u = {0};

    for (size_t i = 0; i < 2; i++) {
        struct rusage r;

        getrusage(who[i], &r);
        u.cpu += ((r.ru_utime.tv_sec + r.ru_stime.tv_sec) * INT64_C(1000000) + r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000;
        u.switches += r.ru_nvcsw + r.ru_nivcsw;
    }
    return u;
}

/* mark makes a system call that nothing else here makes. */
static void mark(void) { getpgid(0); }

static void await(struct half *h)
{
    char b;
    ssize_t n;

    do
        n = read(GO_FD + h->phase, &b, 1);
    while (n == -1 && errno == EINTR);
    if (n != 1)
        fail("no word from the coordinator");
}

static void report(struct half *h, int64_t start, int64_t end, struct used before)
{
    struct used after = usage();
    char text[160];
    int n = snprintf(text, sizeof text, "phase %lld %lld %lld %lld 0 %llu\n", (long long)start, (long long)end,
                     (long long)(after.cpu - before.cpu), (long long)(after.switches - before.switches),
                     (unsigned long long)h->sum);

    say(text, (size_t)n);
}

/* The most memory that the process had resident, in KiB. What getrusage calls maxrss
   begins with the parent's at fork. */
static long resident(void)
{
    char line[256];
    long kib = 0;
    FILE *f = fopen("/proc/self/status", "r");

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof line, f) != NULL && sscanf(line, "VmHWM: %ld", &kib) != 1)
        ;
    fclose(f);
    return kib;
}

static void finish(struct half *h, int sample)
{
    char text[80];
    size_t count = sample ? h->ops[SAMPLED] : 0;

    say(text, (size_t)snprintf(text, sizeof text, "rss %ld\nsamples %zu\n", resident(), count));
    say(samples, count * sizeof *samples);
}

/* work returns when the clock began to run: in the timed phase after as many
   operations as the warm-up had. */
static int64_t work(struct half *h, int sample, op_fn *op, void *state)
{
    size_t n = h->ops[h->phase], i = 0;
    int64_t start, last;

    if (h->phase == TIMED) {
        mark();
        for (; i < h->ops[WARM]; i++)
            op(h, state, i);
        n += i;
    }
    start = last = now();
    if (h->phase != SAMPLED || !sample) {
        for (; i < n; i++)
            op(h, state, i);
        return start;
    }
    for (; i < n; i++) {
        int64_t t;

        op(h, state, i);
        t = now();
        samples[i] = (uint64_t)(t - last);
        last = t;
    }
    return start;
}

void run(struct half *h, int sample, op_fn *op, void *state)
{
    say("ready\n", 6);
    for (h->phase = WARM; h->phase < PHASES; h->phase++) {
        struct used before;
        int64_t start, end;

        h->sum = 0;
        before = usage();
        await(h);
        start = work(h, sample, op, state);
        end = now();
        if (h->phase == TIMED)
            mark();
        report(h, start, end, before);
    }
    finish(h, sample);
}

void serve(struct half *h, void (*begin)(void *), void *state)
{
    say("ready\n", 6);
    for (h->phase = WARM; h->phase < PHASES; h->phase++) {
        struct used before = usage();
        int64_t start, end;

        await(h);
        if (h->phase == TIMED) {
            mark();
            if (begin != NULL)
                begin(state);
        }
        start = now();
        await(h);
        end = now();
        if (h->phase == TIMED)
            mark();
        report(h, start, end, before);
    }
    finish(h, 0);
}

int file(int i) { return FIRST_FD + i; }

void *memory(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file(0), 0);

    if (p == MAP_FAILED)
        fail_errno("mmap");
    return p;
}

void *buffer(size_t size)
{
    void *p = calloc(1, size > 0 ? size : 1);

    if (p == NULL)
        fail_errno("calloc");
    return p;
}

void fill(unsigned char *b, size_t len)
{
    for (size_t i = 0; i < len; i++)
        b[i] = (unsigned char)(i * 7 + 3);
}

void stamp(struct half *h, unsigned char *b, size_t len, size_t i)
{
    uint64_t n = i + 1;

    h->sum += n;
    if (len < MIN_SIZE)
        return;
    memcpy(b, &n, sizeof n);
    memcpy(b + len - sizeof n, &n, sizeof n);
}

uint64_t number(struct half *h, const unsigned char *b, size_t len, size_t i)
{
    uint64_t n = i + 1, end;

    if (len >= MIN_SIZE) {
        memcpy(&n, b, sizeof n);
        memcpy(&end, b + len - sizeof n, sizeof n);
        if (end != n)
            fail("message begins with number %llu and ends with %llu", (unsigned long long)n, (unsigned long long)end);
        if (h->phase == WARM)
            for (size_t j = 8; j + 8 < len; j++)
                if (b[j] != (unsigned char)(j * 7 + 3))
                    fail("byte %zu of a message is %d", j, b[j]);
    }
    h->sum += n;
    return n;
}

void check(struct half *h, const unsigned char *b, size_t len, size_t i)
{
    uint64_t n = number(h, b, len, i);

    if (n != i + 1)
        fail("message %llu where %zu was due", (unsigned long long)n - 1, i);
}

void echo(struct half *h, const unsigned char *b, size_t len, size_t i)
{
    uint64_t n;

    (void)h;
    if (len < MIN_SIZE)
        return;
    memcpy(&n, b + len - sizeof n, sizeof n);
    if (n != i + 1)
        fail("answer %llu where %zu was due", (unsigned long long)n - 1, i);
}

void version(struct half *h)
{
    (void)h;
    printf("glibc %s, gcc %s\n", gnu_get_libc_version(), __VERSION__);
}

int main(int argc, char *argv[])
{
    struct half h = {0};

    if (argc < 2)
        fail("want a role");
    h.role = argv[1];
    for (int i = 2; i < argc; i++) {
        char *value = strchr(argv[i], '=');

        if (value == NULL)
            fail("argument %s", argv[i]);
        *value++ = '\0';
        if (strcmp(argv[i], "warm") == 0)
            h.ops[WARM] = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "timed") == 0)
            h.ops[TIMED] = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "sampled") == 0)
            h.ops[SAMPLED] = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "size") == 0)
            h.size = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "peer") == 0)
            h.peer = strtoul(value, NULL, 10);
        else if (strcmp(argv[i], "path") == 0)
            h.path = value;
        else
            fail("argument %s", argv[i]);
    }
    samples = buffer(h.ops[SAMPLED] * sizeof *samples);
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(h.role, roles[i].name) == 0) {
            roles[i].run(&h);
            return 0;
        }
    fail("no role %s", h.role);
}
