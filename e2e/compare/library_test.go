package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A folder in the layout of "The Linux Programming Interface", with programs of
// our own: functions in lib/, the names of the errors not generated yet, and the
// name of the shared memory built in.
var library = map[string]string{
	"lib/tlpi_hdr.h": `#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "error_functions.h"
#include "get_num.h"
`,
	"lib/error_functions.h": "void errExit(const char *call);\n",
	"lib/error_functions.c": `#include "tlpi_hdr.h"
#include "ename.c.inc"
void errExit(const char *call)
{
    fprintf(stderr, "ERROR [%s] %s\n", errno <= MAX_ENAME ? ename[errno] : "?", call);
    exit(EXIT_FAILURE);
}
`,
	"lib/get_num.h": "long number(const char *text);\n",
	"lib/get_num.c": "#include \"tlpi_hdr.h\"\nlong number(const char *text) { return strtol(text, NULL, 10); }\n",
	"pipes/simple_pipe.c": `#include "tlpi_hdr.h"
int main(int argc, char *argv[])
{
    int p[2];
    char buf[10];
    ssize_t n;

    if (argc != 2) {
        fprintf(stderr, "Usage: %s string\n", argv[0]);
        exit(EXIT_FAILURE);
    }
    if (pipe(p) == -1)
        errExit("pipe");
    if (fork() == 0) {
        close(p[1]);
        while ((n = read(p[0], buf, sizeof buf)) > 0)
            if (write(1, buf, n) != n)
                errExit("write");
        if (write(1, "\n", 1) != 1)
            errExit("write");
        exit(0);
    }
    close(p[0]);
    if (write(p[1], argv[1], strlen(argv[1])) == -1)
        errExit("write");
    close(p[1]);
    wait(NULL);
    exit(0);
}
`,
	"pmsg/pmsg_unlink.c": `#include <mqueue.h>
#include "tlpi_hdr.h"
int main(int argc, char *argv[])
{
    if (argc != 2) {
        fprintf(stderr, "%s mq-name\n", argv[0]);
        exit(EXIT_FAILURE);
    }
    if (mq_unlink(argv[1]) == -1)
        errExit("mq_unlink");
    exit(EXIT_SUCCESS);
}
`,
	"pshm/pshm_xfr.h": `#include <semaphore.h>
#include "tlpi_hdr.h"
#define SHM_PATH "%[1]s"
#define BUF_SIZE 1024
struct shmbuf {
    sem_t wsem;
    sem_t rsem;
    int cnt;
    char buf[BUF_SIZE];
};
`,
	"pshm/pshm_xfr_writer.c": `#include "pshm_xfr.h"
int main(void)
{
    struct shmbuf *b;
    int fd = shm_open(SHM_PATH, O_CREAT | O_EXCL | O_RDWR, 0660), bytes = 0, xfrs = 0;

    if (fd == -1)
        errExit("shm_open");
    if (ftruncate(fd, sizeof *b) == -1)
        errExit("ftruncate");
    b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    sem_init(&b->rsem, 1, 0);
    sem_init(&b->wsem, 1, 1);
    for (;; xfrs++, bytes += b->cnt) {
        sem_wait(&b->wsem);
        b->cnt = read(0, b->buf, BUF_SIZE);
        sem_post(&b->rsem);
        if (b->cnt == 0)
            break;
    }
    sem_wait(&b->wsem);
    shm_unlink(SHM_PATH);
    fprintf(stderr, "Sent %%d bytes (%%d xfrs)\n", bytes, xfrs);
    return 0;
}
`,
	"pshm/pshm_xfr_reader.c": `#include "pshm_xfr.h"
int main(void)
{
    struct shmbuf *b;
    int fd = shm_open(SHM_PATH, O_RDWR, 0), bytes = 0, xfrs = 0;

    if (fd == -1)
        errExit("shm_open");
    b = mmap(NULL, sizeof *b, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    for (;; xfrs++) {
        sem_wait(&b->rsem);
        if (b->cnt == 0)
            break;
        bytes += b->cnt;
        if (write(1, b->buf, b->cnt) != b->cnt)
            errExit("write");
        sem_post(&b->wsem);
    }
    sem_post(&b->wsem);
    fprintf(stderr, "Received %%d bytes (%%d xfrs)\n", bytes, xfrs);
    return 0;
}
`,
	"pmsg/pmsg_getattr.c": "#error \"this one does not compile\"\n",
}

func TestLibrary(t *testing.T) {
	base := whole(t)
	dir := t.TempDir()
	object := fmt.Sprintf("/ipcbook-TestLibrary-%d", os.Getpid())
	for path, text := range library {
		if strings.HasPrefix(path, "pshm/") {
			text = strings.ReplaceAll(strings.ReplaceAll(text, "%[1]s", object), "%%", "%")
		}
		if err := writeFile(filepath.Join(dir, path), text); err != nil {
			t.Fatal(err)
		}
	}
	s := &Suite{Root: base.Root, Base: base, Originals: dir}
	want := map[string]string{
		"simple_pipe": "original", "pmsg_unlink": "original", "pmsg_getattr": "original",
		"pshm_writer": "original", "pshm_reader": "original", "pmsg_create": "twin",
	}
	for _, p := range programs {
		if want[p.Name] == "" {
			continue
		}
		if p.OrigName != "" {
			p.OrigName = object
		}
		s.Programs = append(s.Programs, p)
	}
	for _, p := range pairs {
		if p.Left == "pshm_writer" {
			s.Pairs = append(s.Pairs, p)
		}
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Build(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := s.Run(t.Context())
	var b strings.Builder
	if err := r.WriteTable(&b); err != nil {
		t.Fatal(err)
	}
	if r.Differs() {
		t.Errorf("\n%s", b.String())
	}
	for _, p := range r.Programs {
		if p.C != want[p.Name] {
			t.Errorf("%s was compared with the %s, want the %s", p.Name, p.C, want[p.Name])
		}
		v := OK
		if p.Name == "pmsg_getattr" {
			v = Skipped
		}
		if p.Cells[Exit0] != v {
			t.Errorf("%s: exit 0 is %s, want %s", p.Name, p.Cells[Exit0], v)
		}
	}
	if !strings.Contains(b.String(), "this one does not compile") {
		t.Errorf("no cause for what is skipped:\n%s", b.String())
	}
	// The objects of these runs had the name that the originals know.
	i := slices.IndexFunc(r.Programs, func(p ProgramReport) bool { return p.Name == "pshm_writer" })
	for _, cr := range r.Programs[i].cases {
		if cr.c.Name == "no data" && !slices.ContainsFunc(cr.ccc.Objects, func(l string) bool { return strings.HasPrefix(l, "shared memory") }) {
			t.Errorf("the original's object was not seen: %q", cr.ccc.Objects)
		}
	}
	if _, err := os.Stat(shmDir + object); err == nil {
		t.Errorf("%s is left", shmDir+object)
	}
}

// An object of that name that is somebody else's is left alone.
func TestOriginalsNameInUse(t *testing.T) {
	s := &Suite{work: t.TempDir()}
	object := fmt.Sprintf("/ipcbook-TestOriginalsNameInUse-%d", os.Getpid())
	if err := os.WriteFile(shmDir+object, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(shmDir + object) })
	s.Programs = []Program{{Name: "x", OrigName: object}}
	s.halves = map[string]*cProgram{"x": {original: true}}
	if _, _, err := s.newScene("x"); err == nil {
		t.Error("the object of another was used")
	}
	if b, err := os.ReadFile(shmDir + object); string(b) != "mine" {
		t.Errorf("the object is now %q, %v", b, err)
	}
	os.Remove(shmDir + object)
	r, done, err := s.newScene("x")
	if err != nil {
		t.Fatal(err)
	}
	if r.name != object {
		t.Errorf("the run's object is %s, want %s", r.name, object)
	}
	done()
}
