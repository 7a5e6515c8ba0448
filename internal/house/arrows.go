package house

import (
	"fmt"
	"slices"
	"strings"
)

// Arrow is a rule about imports. Packages and imports are named by path below the module ("internal/record") or, for
// other modules, by full import path. A name that ends in "/..." stands for the package and everything below it.
type Arrow struct {
	From   []string // the importing packages that the rule is about; empty: all
	Except []string // importing packages that are free of it
	To     []string // what must not be imported
	Why    string
}

// Arrows is the direction of imports in Sluice. Only code that ends up in a program counts, not its tests.
func Arrows() []Arrow {
	return []Arrow{
		{
			From: []string{"internal/record", "internal/fault", "internal/clock", "internal/secret", "internal/option", "internal/rawjson"},
			To:   []string{"internal/...", "cmd/..."},
			Why:  "the vocabulary sits at the bottom: everybody can import it because it imports nobody",
		},
		{
			From: []string{"internal/source/..."},
			To:   []string{"internal/collect/...", "internal/lake/...", "internal/journal/...", "internal/state/...", "internal/api/...", "internal/app/..."},
			Why:  "a driver knows the contract and m365; schedule, storage and retries belong to the caller",
		},
		{
			From: []string{"internal/query/..."},
			To:   []string{"internal/lake/...", "internal/state/..."},
			Why:  "a query language becomes SQL text; who runs the text is not its business",
		},
		{
			Except: []string{"internal/lake/engine/..."},
			To:     []string{"github.com/duckdb/..."},
			Why:    "DuckDB runs only in the child process: a crash of a query must not touch collecting",
		},
		{
			Except: []string{"internal/state/...", "test/soak/..."}, // the soak makes databases and breaks connections
			To:     []string{"modernc.org/sqlite/...", "github.com/jackc/pgx/...", "github.com/mattn/go-sqlite3/...", "github.com/lib/pq/..."},
			Why:    "one package opens databases, so that one package knows their settings; others take what it opened",
		},
		{
			Except: []string{"internal/journal/..."},
			To:     []string{"github.com/nats-io/..."},
			Why:    "the journal is the only hand-over between collecting and what is behind it, and hides what it is made of",
		},
		{
			Except: []string{"cmd/sluice/...", "test/...", "internal/app/..."},
			To:     []string{"internal/app/..."},
			Why:    "app sees everything, so nobody but the program may see app",
		},
		{
			From: []string{"internal/failpoint", "internal/follow/...", "internal/health/...", "internal/vault/..."},
			To: []string{
				"internal/collect/...", "internal/lake/...", "internal/state/...", "internal/api/...", "internal/app/...", "internal/config/...",
			},
			Why: "parts that others are wired to see only what they are given; package app brings them together",
		},
		{
			From: []string{"internal/filter/...", "internal/webhook/...", "internal/notify/...", "internal/consent/...", "internal/movein/..."},
			To:   []string{"internal/collect/...", "internal/lake/...", "internal/state/...", "internal/journal/...", "internal/api/...", "internal/app/..."},
			Why:  "what a connector can have besides collecting must work, and be tested, without collecting",
		},
		{
			From: []string{"internal/config/...", "internal/m365/...", "internal/source/..."},
			To:   []string{"internal/consent/...", "internal/movein/..."},
			Why:  "both make documents for config out of something else; config does not know where a document comes from",
		},
		{
			To:  []string{"internal/vault/vaulttest", "internal/api/apitest", "internal/lake/engine/enginetest", "internal/source/sourcetest"},
			Why: "helpers of tests link package testing and fixtures, which no program may contain",
		},
		{
			From: []string{"internal/..."},
			To:   []string{"cmd/...", "test/..."},
			Why:  "programs and black-box tests are users of the packages",
		},
	}
}

// Violations lists the imports of packages that the arrows forbid, one line each.
func Violations(packages []Package, arrows []Arrow) []string {
	var found []string
	for _, p := range packages {
		for _, a := range arrows {
			if len(a.From) > 0 && !matchesAny(a.From, p.Path) || matchesAny(a.Except, p.Path) {
				continue
			}
			for _, i := range p.Imports {
				if matchesAny(a.To, i.Path) {
					found = append(found, fmt.Sprintf("%s: %s must not import %s: %s", i.Position, p.Path, i.Path, a.Why))
				}
			}
		}
	}
	return found
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

func matches(pattern, path string) bool {
	if tree, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return path == pattern
}
