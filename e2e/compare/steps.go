package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Both texts of a program number their steps alike, "// [3] close the unused end"
// and "/* [3] … */", so that one can be read beside the other.

// A step is a numbered piece of a text: from its comment to the next one or to the
// end of the function.
type step struct {
	file   string
	number int
	text   []string
}

var stepForm = regexp.MustCompile(`^\s*(?://|/\*) \[(\d+)\]`)

// textSteps returns the steps of a file in their order. Those of each function
// must ascend; C has its functions before main, Go behind, so that the files as a
// whole need not.
func textSteps(file, text string) (steps []step, wrong []string) {
	last := 0
	inside := false
	for n, l := range strings.Split(text, "\n") {
		if m := stepForm.FindStringSubmatch(l); m != nil {
			number, _ := strconv.Atoi(m[1])
			if number <= last {
				wrong = append(wrong, fmt.Sprintf("%s:%d: step [%d] comes after [%d]", file, n+1, number, last))
			}
			last, inside = number, true
			steps = append(steps, step{file: file, number: number})
		}
		if strings.HasPrefix(l, "}") {
			last, inside = 0, false
		}
		if inside {
			s := &steps[len(steps)-1]
			s.text = append(s.text, l)
		}
	}
	for i, s := range steps {
		for n := len(s.text); n > 0 && strings.TrimSpace(s.text[n-1]) == ""; n-- {
			steps[i].text = s.text[:n-1]
		}
	}
	return steps, wrong
}

// steps returns the steps of the Go and of the C text of a program.
func (s *Suite) steps(p Program) (g, c []step, wrong []string) {
	for _, path := range s.glob("examples/" + p.Name + "/*") {
		ext := filepath.Ext(path)
		if ext != ".go" && ext != ".c" || strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := s.read(path)
		if err != nil {
			wrong = append(wrong, err.Error())
			continue
		}
		steps, w := textSteps(filepath.Base(path), text)
		wrong = append(wrong, w...)
		if ext == ".go" {
			g = append(g, steps...)
		} else {
			c = append(c, steps...)
		}
	}
	return g, c, wrong
}

// numbers returns the numbers of steps, sorted, and complains about one that two
// places of a language have.
func numbers(lang Lang, steps []step) (list []string, wrong []string) {
	seen := map[int]string{}
	var ns []int
	for _, s := range steps {
		if file, ok := seen[s.number]; ok {
			wrong = append(wrong, fmt.Sprintf("%v has step [%d] twice, in %s and %s", lang, s.number, file, s.file))
			continue
		}
		seen[s.number] = s.file
		ns = append(ns, s.number)
	}
	slices.Sort(ns)
	for _, n := range ns {
		list = append(list, fmt.Sprintf("[%d]", n))
	}
	return list, wrong
}

// compareSteps compares the numbers.
func (s *Suite) compareSteps(p Program, rs []*rule) Finding {
	if s.original(p) {
		return Finding{Column: Steps, Verdict: None, Why: []string{"the originals' steps have no numbers"}}
	}
	g, c, wrong := s.steps(p)
	gn, w := numbers(Go, g)
	wrong = append(wrong, w...)
	cn, w := numbers(C, c)
	wrong = append(wrong, w...)
	f := compare("", Steps, gn, cn, rs)
	if len(gn) == 0 {
		wrong = append(wrong, "no numbered steps")
	}
	if len(wrong) > 0 {
		f.Verdict, f.Why = Differs, append(f.Why, wrong...)
	}
	return f
}
