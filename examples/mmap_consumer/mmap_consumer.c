//go:build ignore

/* mmap_consumer: map the file of mmap_producer and print the string in it.
   The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char shared_file[] = "shared.dat";

static void fail(const char *call)
{
    fprintf(stderr, "mmap_consumer: %s %s: %s\n", call, shared_file, strerror(errno));
    exit(255);
}

int main(int argc, char *argv[])
{
    struct stat st;
    size_t len;
    char *map, *data;
    int fd;

    (void)argv;
    if (argc != 1) {
        fprintf(stderr, "mmap_consumer: want 0 arguments, got %d\nusage: mmap_consumer\n", argc - 1);
        return 255;
    }
    /* [1] open the file, for reading and writing as the mapping will be */
    fd = open(shared_file, O_RDWR);
    if (fd == -1)
        fail("open");
    /* [2] find out how long it is */
    if (fstat(fd, &st) == -1)
        fail("fstat");
    /* [3] map all of it, shared (no bytes: EINVAL) */
    map = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        fail("mmap");
    /* [4] copy the string out of the shared memory */
    len = strnlen(map, st.st_size);
    data = malloc(len + 1);
    if (data == NULL)
        fail("malloc");
    memcpy(data, map, len);
    data[len] = '\n';
    /* [5] print it */
    if (fwrite(data, 1, len + 1, stdout) != len + 1 || fflush(stdout) == EOF)
        fail("write");
    free(data);
    /* [6] unmap */
    if (munmap(map, st.st_size) == -1)
        fail("munmap");
    close(fd);
    return 0;
}
