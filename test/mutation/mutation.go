package mutation

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Mutation takes one rule out of the program.
type Mutation struct {
	Name  string   // what is missing, in a few words
	Keeps []string // what the code keeps: "rule 9" of the collection path or "law 6" of the promise
	File  string   // below the root, with slashes
	Old   string   // occurs exactly once in File
	New   string   // what stands there instead; it has to compile
	Test  Test     // has to fail with it, and only with it
	Fails string   // regular expression that a line of the failed test's output matches
	Quick bool     // belongs to the few that always run
}

// Test names a test of the tree.
type Test struct {
	Package string // "./internal/collect"
	Name    string // a test, or a subtest with its path: "TestOlderState/trimmed=true"
	Tags    string // build tags
}

// All returns the whole list.
func All() []Mutation {
	var all []Mutation
	for _, part := range [][]Mutation{listing(), publishing(), recovery(), stateRules(), journalRules(), lakeRules(), proofs(), sourceRules()} {
		all = append(all, part...)
	}
	return all
}

// mutate returns the source with the rule taken out. It fails when the mutation no longer fits.
func (m *Mutation) mutate(source string) (string, error) {
	switch n := strings.Count(source, m.Old); {
	case m.Old == "" || m.Old == m.New:
		return "", fmt.Errorf("mutation %q changes nothing", m.Name)
	case n != 1:
		return "", fmt.Errorf("mutation %q is out of date: its old text occurs %d times in %s instead of once. "+
			"Find the rule in the code as it is now and write the mutation anew:\n%s", m.Name, n, m.File, m.Old)
	}
	return strings.Replace(source, m.Old, m.New, 1), nil
}

// write puts the mutated file and the overlay that names it into dir, and returns the overlay's name.
func (m *Mutation) write(root, dir string) (overlay string, err error) {
	original := filepath.Join(root, filepath.FromSlash(m.File))
	source, err := os.ReadFile(original)
	if err != nil {
		return "", fmt.Errorf("mutation %q is out of date: %w", m.Name, err)
	}
	text, err := m.mutate(string(source))
	if err != nil {
		return "", err
	}
	mutated := filepath.Join(dir, filepath.Base(original))
	if err := os.WriteFile(mutated, []byte(text), 0o600); err != nil { //nolint:gosec // a file of the tree, copied to a folder of the caller
		return "", err
	}
	replace, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, replace, 0o600)
}
