package e2e

import (
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// All programs are there, and need nothing of the machine that they run on.
func TestStatic(t *testing.T) {
	t.Parallel()
	machine := map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}[runtime.GOARCH]
	checkStatic(t, goDir, machine)
}

func checkStatic(t *testing.T, dir string, machine elf.Machine) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var built []string
	for _, e := range entries {
		built = append(built, e.Name())
		f, err := elf.Open(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if f.Machine != machine {
			t.Errorf("%s is for %v, want %v", e.Name(), f.Machine, machine)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP {
				t.Errorf("%s needs a dynamic linker", e.Name())
			}
		}
		if libs, err := f.ImportedLibraries(); len(libs) > 0 {
			t.Errorf("%s needs %q, %v", e.Name(), libs, err)
		}
	}
	if !slices.Equal(built, programs) {
		t.Errorf("built: %q\nwant:  %q", built, programs)
	}
}

// The suite builds for both architectures whose layouts it knows.
func TestCrossBuild(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds for another architecture")
	}
	t.Parallel()
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		if arch == runtime.GOARCH {
			continue
		}
		dir := t.TempDir()
		if err := goBuild(dir, []string{"GOARCH=" + arch}); err != nil {
			t.Fatal(err)
		}
		checkStatic(t, dir, machine)
	}
}

// On an architecture whose layouts are not known the build stops, and says so.
func TestUnknownArchitecture(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: builds for another architecture")
	}
	t.Parallel()
	for pkg, want := range map[string]string{
		"./shared/sem": "sem_t_has_another_layout_on_this_architecture__see_package_sem",
		"./shared/mq":  "package_mq_knows_the_kernel_ABI_of_linux_amd64_and_linux_arm64_only",
	} {
		cmd := exec.Command("go", "build", "-gcflags=-e", pkg)
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOARCH=386")
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("GOARCH=386 %v: %v\n%s\nwant it to stop with %s", cmd, err, out, want)
		}
	}
}
