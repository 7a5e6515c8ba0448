package engine

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"sluice/internal/fault"
	"sluice/internal/lake/worker/wire"
	"sluice/internal/query"
)

const gateOp = "check SQL"

// gate lets a statement pass that reads the lake and does nothing else: one SELECT, whose tree names only views of the
// lake, common table expressions and allowed functions. The engine's own parser makes the tree, so what is checked is
// what is run.
func (d *database) gate(ctx context.Context, text string, tables []wire.Table) error {
	var serialized string
	row := d.conn.QueryRowContext(ctx, "SELECT json_serialize_sql(CAST(? AS VARCHAR))::VARCHAR", text)
	if err := row.Scan(&serialized); err != nil {
		return fault.Wrap(fault.Config, gateOp, err)
	}
	var tree struct {
		Error      bool   `json:"error"`
		Type       string `json:"error_type"`
		Message    string `json:"error_message"`
		Statements []any  `json:"statements"`
	}
	if err := json.Unmarshal([]byte(serialized), &tree); err != nil {
		return fault.Wrap(fault.Internal, gateOp, err)
	}
	switch {
	case tree.Error && tree.Type == "parser":
		return fault.New(fault.Config, gateOp, tree.Message).
			WithHint(`names with dots, and the view "all", need double quotes: SELECT "event.action" FROM "all"`)
	case tree.Error:
		return fault.New(fault.Config, gateOp, "only SELECT statements are allowed")
	case len(tree.Statements) != 1:
		return fault.Newf(fault.Config, gateOp, "expected one statement, found %d", len(tree.Statements))
	}
	g := &gatekeeper{allowed: map[string]bool{query.All: true}}
	for _, t := range tables {
		g.allowed[t.Name] = true
	}
	for _, name := range expressions(tree.Statements, nil) {
		if !plainName.MatchString(name) || catalogName.MatchString(name) {
			return fault.Newf(fault.Config, gateOp, "the common table expression %q needs another name", name)
		}
		g.allowed[strings.ToLower(name)] = true
	}
	return g.walk(tree.Statements, "")
}

var (
	plainName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// Names of the engine's own catalogue, which a common table expression must not make usable elsewhere.
	catalogName = regexp.MustCompile(`(?i)^(duckdb_|pragma_|sqlite_|pg_|sluice_raw|information_schema)`)
)

// expressions collects the names of all common table expressions of a tree.
func expressions(node any, names []string) []string {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			names = expressions(n, names)
		}
	case map[string]any:
		for key, n := range node {
			if m, ok := n.(map[string]any); ok && key == "cte_map" {
				for _, entry := range list(m["map"]) {
					names = append(names, field(entry, "key"))
				}
			}
			if key == "cte_name" {
				if s, ok := n.(string); ok && s != "" {
					names = append(names, s)
				}
			}
			names = expressions(n, names)
		}
	}
	return names
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func field(v any, key string) string {
	m, _ := v.(map[string]any)
	s, _ := m[key].(string)
	return s
}

type gatekeeper struct{ allowed map[string]bool }

// sources are the kinds of table references. Any other kind is refused, also one that a later version invents.
var sources = []string{"BASE_TABLE", "JOIN", "SUBQUERY", "TABLE_FUNCTION", "EXPRESSION_LIST", "EMPTY", "EMPTY_FROM", "PIVOT", "SHOW_REF"}

// walk checks a node that stands under key.
func (g *gatekeeper) walk(node any, key string) error {
	switch node := node.(type) {
	case []any:
		for _, n := range node {
			if err := g.walk(n, key); err != nil {
				return err
			}
		}
	case map[string]any:
		if err := g.check(node, key); err != nil {
			return err
		}
		for k, n := range node {
			if k == "function" && node["type"] == "TABLE_FUNCTION" { // checked above; its arguments are not
				if err := g.walk(n.(map[string]any)["children"], "children"); err != nil {
					return err
				}
				continue
			}
			if err := g.walk(n, k); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *gatekeeper) check(node map[string]any, key string) error {
	typ := field(node, "type")
	switch class := field(node, "class"); {
	case class == "FUNCTION" || class == "WINDOW":
		return checkFunction(node, allowedFunctions, "function")
	case class != "":
		return nil
	case typ == "BASE_TABLE":
		return g.checkTable(node)
	case typ == "TABLE_FUNCTION":
		f, ok := node["function"].(map[string]any)
		if !ok {
			return fault.New(fault.Config, gateOp, "this table function is not allowed")
		}
		return checkFunction(f, allowedTableFunctions, "table function")
	case typ == "SHOW_REF":
		if node["query"] == nil {
			return fault.New(fault.Config, gateOp, "SHOW is not allowed; DESCRIBE and SUMMARIZE of a view are")
		}
	case (key == "from_table" || key == "left" || key == "right" || key == "source") &&
		!slices.Contains(sources, typ) && !strings.HasSuffix(typ, "_NODE"): // nodes of queries are walked like any other
		return fault.Newf(fault.Config, gateOp, "a source of kind %s is not allowed", typ)
	}
	return nil
}

func (g *gatekeeper) checkTable(node map[string]any) error {
	name := field(node, "table_name")
	if field(node, "schema_name") != "" || field(node, "catalog_name") != "" || !g.allowed[strings.ToLower(name)] {
		known := make([]string, 0, len(g.allowed))
		for n := range g.allowed {
			known = append(known, n)
		}
		slices.Sort(known)
		return fault.Newf(fault.Config, gateOp, "unknown table %q: expected one of %s", name, strings.Join(known, ", "))
	}
	return nil
}

func checkFunction(node map[string]any, allowed map[string]bool, what string) error {
	name := strings.ToLower(field(node, "function_name"))
	schema := field(node, "schema")
	if field(node, "catalog") != "" || (schema != "" && schema != "main") || (!allowed[name] && !operatorName.MatchString(name)) {
		return fault.Newf(fault.Config, gateOp, "the %s %s is not allowed", what, name).
			WithHint("queries may use functions that compute; those that read files, settings or the catalogue are refused")
	}
	return nil
}

// operatorName matches names that consist of punctuation, such as || and ~~.
var operatorName = regexp.MustCompile(`^[^\w\s]+$`)
