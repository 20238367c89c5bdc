/* peer: carries out one command a line with the shm_open and shm_unlink of libc,
   and answers each with a line: "ok", "ok MODE SIZE" or an errno. FLAGS may hold
   r (O_RDONLY, else O_RDWR), c (O_CREAT), x (O_EXCL), t (O_TRUNC). The Go test
   binary has a role that does the same. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    char line[1024];
    while (fgets(line, sizeof line, stdin)) {
        char cmd[32] = "", name[600] = "", flags[32] = "", mode[32] = "";
        sscanf(line, "%31s %599s %31s %31s", cmd, name, flags, mode);
        const char *n = strcmp(name, "\"\"") ? name : "";
        if (strcmp(cmd, "open") == 0) {
            int oflag = (strchr(flags, 'r') ? O_RDONLY : O_RDWR) | (strchr(flags, 'c') ? O_CREAT : 0)
                | (strchr(flags, 'x') ? O_EXCL : 0) | (strchr(flags, 't') ? O_TRUNC : 0);
            struct stat st;
            int fd = shm_open(n, oflag, strtoul(mode, NULL, 8));
            if (fd < 0 || fstat(fd, &st) != 0)
                puts(strerrorname_np(errno));
            else
                printf("ok %o %ld\n", st.st_mode, (long)st.st_size);
            if (fd >= 0)
                close(fd);
        } else if (strcmp(cmd, "unlink") == 0) {
            puts(shm_unlink(n) == 0 ? "ok" : strerrorname_np(errno));
        } else if (strcmp(cmd, "umask") == 0) {
            umask(strtoul(name, NULL, 8));
            puts("ok");
        } else {
            printf("? %s", line);
        }
    }
    return 0;
}
