package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSideBySide(t *testing.T) {
	for _, tt := range []struct {
		g, c string
		want string
	}{
		{"", "", ""},
		{"a b c", "a b c", "=a =b =c"},
		{"a b c", "a c", "=a <b =c"},
		{"a c", "a b c", "=a >b =c"},
		{"a x c", "a y c", "=a |x/y =c"},
		{"x y a", "z a", "|x/z <y =a"},
		{"", "a b", ">a >b"},
	} {
		var got []string
		for _, r := range sideBySide(strings.Fields(tt.g), strings.Fields(tt.c)) {
			switch r.Mark {
			case OnlyC:
				got = append(got, string(r.Mark)+r.C)
			case Other:
				got = append(got, string(r.Mark)+r.Go+"/"+r.C)
			default:
				got = append(got, string(r.Mark)+r.Go)
			}
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%q beside %q: %q, want %q", tt.g, tt.c, s, tt.want)
		}
	}
}

func TestCompare(t *testing.T) {
	diffs := []Diff{
		{In: Calls, Go: "open a NOFOLLOW", C: "open a", Doc: "links"},
		{In: Calls, C: `child \d: close`, Doc: "no close"},
		{In: Calls, Case: "other", Go: "x", Doc: "other"},
		{In: Stdout, Go: "x", Doc: "stdout"},
		{In: Calls, Of: Original, Go: "x", Doc: "original"},
	}
	for _, tt := range []struct {
		name string
		g, c []string
		want Verdict
		why  []string
	}{
		{"same", []string{"a", "b"}, []string{"a", "b"}, OK, nil},
		{"both empty", nil, nil, OK, nil},
		{"listed", []string{"open a NOFOLLOW", "b"}, []string{"open a", "b", "child 1: close"}, Listed, []string{`"links"`, `"no close"`}},
		{"half of a rule", []string{"open a NOFOLLOW"}, nil, Differs, []string{`only Go has "open a NOFOLLOW"`}},
		{"more than the rule", []string{"open a NOFOLLOWING"}, []string{"open a"}, Differs, []string{`Go has "open a NOFOLLOWING", C "open a"`}},
		{"one of two", []string{"b"}, []string{"child 1: close", "y"}, Differs, []string{`Go has "b", C "y"`}},
		{"a rule of another case, column, C", []string{"x"}, nil, Differs, []string{`only Go has "x"`}},
		{"order", []string{"a", "b"}, []string{"b", "a"}, Differs, []string{`only Go has "a"`, `only C has "a"`}},
	} {
		rs, err := rules(diffs, Twin)
		if err != nil {
			t.Fatal(err)
		}
		f := compare("case", Calls, tt.g, tt.c, rs)
		if f.Verdict != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, f.Verdict, tt.want)
		}
		if diff := cmp.Diff(tt.why, f.Why); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

// What is declared must stand in the documentation, and must show.
func TestCheckRules(t *testing.T) {
	root := t.TempDir()
	main := filepath.Join(root, "examples/x/main.go")
	if err := writeFile(main, "// X.\n//\n// # Differences from the C program\n//\n//   - It is\n//     green.\n//\n// # See also\n//\n// red things\npackage main\n"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		diff Diff
		used bool
		want string
	}{
		{"listed and shown", Diff{In: Calls, Go: "x", Doc: "It is green."}, true, ""},
		{"not in the section", Diff{In: Calls, Go: "x", Doc: "red"}, true, `does not say "red"`},
		{"no words", Diff{In: Calls, Go: "x"}, true, "does not say"},
		{"not shown", Diff{In: Calls, Go: "x", Doc: "green"}, false, "did not show: only Go: x"},
		{"need not show", Diff{In: Calls, Go: "x", Doc: "green", Maybe: true}, false, ""},
		{"column not looked at", Diff{In: Stdout, Go: "x", Doc: "green"}, false, ""},
	} {
		s := &Suite{Root: root}
		p := Program{Name: "x", Diffs: []Diff{tt.diff}}
		rs := []*rule{{Diff: tt.diff, used: tt.used}}
		var why []string
		for _, f := range s.checkRules(p, rs, map[Column]bool{Calls: true}) {
			why = append(why, f.Why...)
		}
		if got := strings.Join(why, "; "); tt.want == "" && got != "" || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if err := os.Remove(main); err != nil {
		t.Fatal(err)
	}
	if fs := (&Suite{Root: root}).checkRules(Program{Name: "x"}, nil, nil); len(fs) != 1 || fs[0].Verdict != Differs {
		t.Errorf("no main.go: %v", fs)
	}
}

func TestTextSteps(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		want       string // numbers
		wrong      int
	}{
		{"Go", "func f() {\n\t// [1] a\n\tx()\n\t// [2] b\n}\n\nfunc g() {\n\t// [1] again\n}\n", "1 2 1", 0},
		{"C, children first", "void child(void)\n{\n    /* [7] a */\n}\n\nint main(void)\n{\n    /* [1] b\n       goes on */\n}\n", "7 1", 0},
		{"descending", "func f() {\n\t// [2] a\n\t// [1] b\n}\n", "2 1", 1},
		{"the same", "func f() {\n\t// [2] a\n\t// [2] b\n}\n", "2 2", 1},
		{"no step", "x := a[1] // [1]\n// see [2]\n", "", 0},
	} {
		steps, wrong := textSteps("file", tt.text)
		var got []string
		for _, s := range steps {
			got = append(got, strings.Trim(strings.Fields(s.text[0])[1], "[]"))
		}
		if s := strings.Join(got, " "); s != tt.want || len(wrong) != tt.wrong {
			t.Errorf("%s: steps %q, want %q; wrong: %q", tt.name, s, tt.want, wrong)
		}
	}
}

func TestWrap(t *testing.T) {
	tc := twoColumns{half: 20}
	for _, tt := range []struct {
		in   string
		want []string
	}{
		{"", []string{""}},
		{"\tshort", []string{"    short"}},
		{"    one two three four", []string{"    one two three", "        four"}},
		{strings.Repeat("x", 45), []string{strings.Repeat("x", 20), "    " + strings.Repeat("x", 16), "    " + strings.Repeat("x", 9)}},
	} {
		if diff := cmp.Diff(tt.want, tc.wrap(tt.in)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.in, diff)
		}
	}
	for _, in := range []string{strings.Repeat("\t", 30) + "x", strings.Repeat("ab ", 50), strings.Repeat("é", 100)} {
		for _, l := range tc.wrap(in) {
			if n := len([]rune(l)); n > tc.half {
				t.Errorf("%q: a line of %d columns: %q", in, n, l)
			}
		}
	}
}
