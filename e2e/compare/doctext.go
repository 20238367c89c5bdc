package main

import (
	"go/parser"
	"go/token"
	"strings"
)

// differencesText returns the section "Differences from …" of a program's package
// comment, each run of white space as one space.
func (s *Suite) differencesText(p Program) (string, error) {
	src, err := s.read("examples/" + p.Name + "/main.go")
	if err != nil {
		return "", err
	}
	f, err := parser.ParseFile(token.NewFileSet(), "main.go", src, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(f.Doc.Text(), "\n# Differences from ")
	section, _, _ := strings.Cut(rest, "\n# ")
	return strings.Join(strings.Fields(section), " "), nil
}
