package failpoint

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	for text, want := range map[string][]action{ // of five passes of x
		"":                      {0, 0, 0, 0, 0},
		"x=kill":                {actKill, 0, 0, 0, 0},
		"x@3=error":             {0, 0, actError, 0, 0},
		"x@2=error, x@4=kill":   {0, actError, 0, actKill, 0},
		"y@1=kill,x@5=kill":     {0, 0, 0, 0, actKill},
		" x@2=error ,":          {0, actError, 0, 0, 0},
		"lake/x=kill,x@1=error": {actError, 0, 0, 0, 0},
	} {
		p, err := parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		var got []action
		for range 5 {
			got = append(got, p.pass("x"))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	for _, text := range []string{"x", "x=", "x=stop", "=kill", "x@0=kill", "x@=kill", "x@-1=error", "x@a=kill"} {
		if _, err := parse(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}

// FuzzParse demands that every text is either refused or has names and counts that make sense.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "a/b=kill", "a@2=error,b=kill", "a@@2=kill", "=,=", "a@999999999999999999999=kill"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parse(text)
		if err != nil {
			return
		}
		for name, list := range p.armed {
			for _, one := range list {
				if name == "" || one.n < 1 || one.act == actNone {
					t.Errorf("%q became %q: %+v", text, name, one)
				}
			}
		}
	})
}

func TestNamesAreDistinct(t *testing.T) {
	names := slices.Sorted(slices.Values(Names()))
	if n := len(slices.Compact(names)); n != len(Names()) {
		t.Errorf("%d names, %d distinct", len(Names()), n)
	}
}
