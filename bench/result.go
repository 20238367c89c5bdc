package main

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
)

// A Run is everything that one run has found. It is what results/*.json hold.
type Run struct {
	Env    Env
	Args   []string
	Quick  bool
	Rounds int
	Rows   []Row
	Idle   []IdleRow
	Notes  []string
}

// save writes the run to results, under its date.
func (b *bench) save(run *Run) (string, error) {
	name := run.Env.Date.Format("20060102-150405")
	if run.Quick {
		name += "-quick"
	}
	file := filepath.Join(b.results, name+".json")
	data, err := json.MarshalIndent(run, "", "\t")
	if err != nil {
		return "", err
	}
	return file, os.WriteFile(file, append(data, '\n'), 0o666)
}

func loadRun(file string) (*Run, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	run := &Run{}
	return run, json.Unmarshal(data, run)
}

// MarshalJSON writes a spread of nothing as null: JSON has no NaN.
func (s Spread) MarshalJSON() ([]byte, error) {
	if math.IsNaN(s.Median) {
		return []byte("null"), nil
	}
	type plain Spread
	return json.Marshal(plain(s))
}
