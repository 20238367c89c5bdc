//go:build ignore

/* mmap_producer: map shared.dat and store a string in it, for mmap_consumer.
   The steps are numbered as in main.go. */

#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char shared_file[] = "shared.dat";
static const char data[] = "Hello World";

static void fail(const char *call)
{
    fprintf(stderr, "mmap_producer: %s %s: %s\n", call, shared_file, strerror(errno));
    exit(255);
}

int main(int argc, char *argv[])
{
    char *map;
    int fd;

    (void)argv;
    if (argc != 1) {
        fprintf(stderr, "mmap_producer: want 0 arguments, got %d\nusage: mmap_producer\n", argc - 1);
        return 255;
    }
    /* [1] create the file, or empty the one that is there */
    fd = open(shared_file, O_CREAT | O_TRUNC | O_RDWR, 0666);
    if (fd == -1)
        fail("open");
    /* [2] make it long enough: write a byte behind the data */
    if (lseek(fd, sizeof data, SEEK_SET) == -1)
        fail("lseek");
    if (write(fd, "", 1) != 1)
        fail("write");
    /* [3] map it, shared */
    map = mmap(NULL, sizeof data, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        fail("mmap");
    /* [4] store the data: from here on every process that maps the file sees them */
    memcpy(map, data, sizeof data);
    /* [5] keep the mapping until a key is pressed */
    if (printf("memory mapped. press any key to exit...\n") < 0 || fflush(stdout) == EOF)
        fail("write standard output for");
    getchar();
    /* [6] unmap */
    if (munmap(map, sizeof data) == -1)
        fail("munmap");
    close(fd);
    return 0;
}
